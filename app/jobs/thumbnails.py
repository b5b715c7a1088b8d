"""Small pictures of the history's pictures, each made once, when it is first looked at."""

from pathlib import Path
from threading import Semaphore

from blipdiff.images import open_picture, thumbnail
from blipdiff.outputs import written_file

FOLDER = "thumbnails"
_SIDE = 320  # pixels: sharp where they stand, also on dense screens
_QUALITY = 80
_AT_WORK = Semaphore(2)  # large pictures that are in memory at the same time


def place(folder: Path, name: str) -> Path:
    """Where the small picture of a result lies, or will."""
    return folder / FOLDER / name[-6:-4] / f"{name}.webp"


def made(folder: Path, name: str, picture: Path) -> Path:
    """The small picture's file, made where it is missing or older than the picture.

    Raises: ImageError for a picture that cannot be read, OutputError where it cannot be written.
    """
    path = place(folder, name)
    if _is_newer(path, picture):
        return path
    with _AT_WORK:
        small = thumbnail(open_picture(picture), _SIDE)
        with written_file(path) as part:
            small.save(part, format="WEBP", quality=_QUALITY)
    return path


def _is_newer(path: Path, picture: Path) -> bool:
    try:
        return path.stat().st_mtime_ns >= picture.stat().st_mtime_ns
    except OSError:
        return False
