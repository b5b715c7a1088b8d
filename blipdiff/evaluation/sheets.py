"""Contact sheets: pictures in rows and columns with their labels."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from blipdiff.errors import ShapeError
from blipdiff.images import as_rgb
from blipdiff.outputs import written_file

_GAP = 4
_TEXT = 12  # pixels
_LINE = 15


def contact_sheet(
    rows: Sequence[Sequence[Image.Image]], headings: Sequence[str], names: Sequence[str], side: int = 128
) -> Image.Image:
    """Each picture `side` pixels wide under its column's heading; each row's name under its first picture.

    Raises: ShapeError when rows, headings and names do not fit together.
    """
    if not rows or len(names) != len(rows) or any(len(row) != len(headings) for row in rows):
        counts = [len(row) for row in rows]
        raise ShapeError(f"Rows of {counts} pictures were given with {len(headings)} headings and {len(names)} names.")
    font = ImageFont.load_default(_TEXT)
    wrapped = [_lines(heading, side, font) for heading in headings]
    top = _LINE * max(len(lines) for lines in wrapped) + 2 * _GAP
    height = side + _LINE + _GAP
    sheet = Image.new("RGB", ((side + _GAP) * len(headings) + _GAP, top + height * len(rows)), "white")
    pen = ImageDraw.Draw(sheet)
    for column, lines in enumerate(wrapped):
        for number, line in enumerate(lines):
            pen.text((_GAP + column * (side + _GAP), _GAP + number * _LINE), line, fill="black", font=font)
    for number, (row, name) in enumerate(zip(rows, names, strict=True)):
        y = top + number * height
        for column, picture in enumerate(row):
            sheet.paste(as_rgb(picture).resize((side, side)), (_GAP + column * (side + _GAP), y))
        pen.text((_GAP, y + side), _lines(name, side, font)[0], fill="black", font=font)
    return sheet


def save_sheet(sheet: Image.Image, path: Path) -> Path:
    """Writes the sheet as PNG, whole or not at all. Raises: OutputError."""
    with written_file(path) as part:
        sheet.save(part, format="PNG", optimize=True)
    return path


def _lines(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> list[str]:
    """`text` broken between words so that each line fits; at least one line."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) > width and lines[-1]:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
