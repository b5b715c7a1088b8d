"""Grids: pictures side by side with a line of words under each."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont, ImageOps

from blipdiff.errors import ConfigError

_GAP = 6  # pixels
_LARGEST_CELL = 256


def labelled_grid(rows: Sequence[Sequence[tuple[Image.Image, str]]], *, across: int | None = None) -> Image.Image:
    """Rows of pictures, each with its label below, shorter rows centred: a map's triangle looks like one.

    across: how many pictures stand in a row at most; a longer one goes on below, from the left

    Raises: ConfigError for no picture.
    """
    if not any(rows):
        raise ConfigError("A grid needs at least one picture.")
    folded = [row[first : first + across] for row in rows for first in range(0, len(row), across)] if across else rows
    width = max(picture.width for row in folded for picture, _ in row)
    height = max(picture.height for row in folded for picture, _ in row)
    scale = min(1.0, _LARGEST_CELL / max(width, height))
    width, height = max(64, round(width * scale)), round(height * scale)
    font = ImageFont.load_default(size=11)
    line = 14
    lines = {id(row): max(len(_wrapped(label, width, font)) for _, label in row) for row in folded}
    most = max(len(row) for row in folded)
    total = sum(height + lines[id(row)] * line + _GAP for row in folded) + _GAP
    sheet = Image.new("RGB", (most * (width + _GAP) + _GAP, total), "white")
    draw = ImageDraw.Draw(sheet)
    y = _GAP
    for row in folded:
        left = _GAP if across else _GAP + (most - len(row)) * (width + _GAP) // 2
        for place, (picture, label) in enumerate(row):
            x = left + place * (width + _GAP)
            fitted = ImageOps.contain(picture.convert("RGB"), (width, height), Image.Resampling.LANCZOS)
            sheet.paste(fitted, (x + (width - fitted.width) // 2, y + (height - fitted.height) // 2))
            for number, words in enumerate(_wrapped(label, width, font)):
                draw.text((x + 1, y + height + 1 + number * line), words, fill="black", font=font)
        y += height + lines[id(row)] * line + _GAP
    return sheet


def _wrapped(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
