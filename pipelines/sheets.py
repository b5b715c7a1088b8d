"""Many pictures as one: labelled grids, and films (WebP and GIF by Pillow, MP4 by PyAV or imageio-ffmpeg)."""

import subprocess
from collections.abc import Callable, Sequence
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from blipdiff.errors import ConfigError, MissingDependencyError, OutputError
from blipdiff.images import as_rgb
from blipdiff.outputs import written_file

LOOPS = ("there and back", "round", "once")
SUFFIXES = (".webp", ".gif", ".mp4")
_INSTALL = "MP4 needs PyAV or imageio-ffmpeg: pip install 'blipdiff[video]'"
_REST = 4  # frames' time that a loop rests at either end
_UNITS = {".gif": 10, ".webp": 1}  # milliseconds in which a format counts a frame's time
_SHORTEST = 20  # milliseconds; browsers show a frame of 10 or less for 100
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
            fitted = ImageOps.contain(as_rgb(picture), (width, height), Image.Resampling.LANCZOS)
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


def check_film(per_second: float, loop: str) -> None:
    """Passes for a speed and a loop that there are.

    Raises: ConfigError for others.
    """
    if not 0.1 <= per_second <= 60:
        raise ConfigError(f"A film of {per_second} frames a second was asked for; it goes from 0.1 to 60.")
    if loop not in LOOPS:
        raise ConfigError(f"The film's loop is '{loop}'; choose one of: {', '.join(LOOPS)}.")


def looped(frames: Sequence[Image.Image], loop: str = "there and back") -> list[Image.Image]:
    """The frames as they are shown again and again: "there and back", "round" (the last leads to the first), "once".

    There and back rests a little at both ends, which are the subjects themselves.
    """
    if loop != "there and back" or len(frames) < 2:
        return list(frames)
    there = [frames[0]] * _REST + list(frames[1:-1]) + [frames[-1]] * _REST
    return [*there, *reversed(frames[1:-1])]


def timed(count: int, per_second: float, unit: int) -> list[tuple[int, int]]:
    """Which of `count` frames are shown, each with its milliseconds, whole units that add up to the film's own time.

    A frame that would stay for less than browsers allow is left out, and the next one stays for its time too.
    """
    found, begun = [], 0
    for number in range(count):
        ended = round((number + 1) * 1000 / per_second / unit) * unit
        if number == count - 1:
            ended = max(ended, begun + _SHORTEST)
        if ended - begun >= _SHORTEST:
            found.append((number, ended - begun))
            begun = ended
    return found


def save_animation(
    frames: Sequence[Image.Image], path: Path, *, per_second: float = 12.0, loop: str = "there and back"
) -> Path:
    """Writes an animated .webp, .gif or .mp4, whole or not at all.

    Raises: ConfigError for another ending or no speed, MissingDependencyError for an MP4 without an encoder,
    OutputError when the file cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ConfigError(f"A film ends in {', '.join(SUFFIXES)}; {path.name} does not.")
    check_film(per_second, loop)
    shown = looped([as_rgb(frame) for frame in frames], loop)
    encoder = mp4_encoder() if suffix == ".mp4" else None
    with written_file(path) as part:
        if encoder is not None:
            encoder([_even(frame) for frame in shown], part, per_second)
        else:
            times = timed(len(shown), per_second, _UNITS[suffix])
            first, *others = (shown[number] for number, _ in times)
            first.save(
                part,
                format=suffix[1:].upper(),
                save_all=True,
                append_images=others,
                duration=[stays for _, stays in times],
                **_looks(suffix, loop),
            )
    return path


def _looks(suffix: str, loop: str) -> dict[str, Any]:
    """A format's settings. A GIF that is shown once says nothing of loops: a count of 1 is one repetition more."""
    if suffix == ".webp":
        return {"quality": 90, "method": 4, "loop": 1 if loop == "once" else 0}
    return {"optimize": False} | ({} if loop == "once" else {"loop": 0})


def mp4_encoder() -> Callable[[Sequence[Image.Image], Path, float], None]:
    """What writes H.264 here.

    Raises: MissingDependencyError where nothing does.
    """
    if find_spec("av") is not None:
        return _by_pyav
    if find_spec("imageio_ffmpeg") is not None:
        return _by_ffmpeg
    raise MissingDependencyError(f"{_INSTALL}.")


def _by_pyav(frames: Sequence[Image.Image], path: Path, per_second: float) -> None:
    import av

    try:
        with av.open(str(path), "w", format="mp4") as file:
            stream = file.add_stream("libx264", rate=Fraction(per_second).limit_denominator(1000))
            stream.width, stream.height = frames[0].size
            stream.pix_fmt = "yuv420p"
            stream.options = {"crf": "18"}
            for frame in frames:
                file.mux(stream.encode(av.VideoFrame.from_image(frame)))
            file.mux(stream.encode())
    except (av.FFmpegError, ValueError) as error:  # a build without this encoder
        raise OutputError(f"{path.name} cannot be encoded: {error}.") from error


def _by_ffmpeg(frames: Sequence[Image.Image], path: Path, per_second: float) -> None:
    import imageio_ffmpeg

    width, height = frames[0].size
    read = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{per_second:g}", "-i", "-"]
    write = ["-c:v", "libx264", "-crf", "18", "-pix_fmt", "yuv420p", "-f", "mp4", str(path)]
    pixels = b"".join(np.asarray(frame).tobytes() for frame in frames)
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error", *read, *write]
    ended = subprocess.run(command, input=pixels, capture_output=True, check=False)
    if ended.returncode != 0:
        raise OutputError(f"{path.name} cannot be encoded: {ended.stderr.decode(errors='replace').strip()[-300:]}")


def _even(frame: Image.Image) -> Image.Image:
    """H.264 with its usual colours wants even sides: one row or column of pixels is left out."""
    width, height = frame.size
    return frame if width % 2 == 0 and height % 2 == 0 else frame.crop((0, 0, width & ~1, height & ~1))
