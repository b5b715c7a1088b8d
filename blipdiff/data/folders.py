"""Folders of photos as people have them: which files are photos, which are captions, and what else lies there."""

import codecs
import os
from dataclasses import dataclass
from pathlib import Path

from blipdiff.errors import ConfigError

PHOTO_SUFFIXES = (
    ".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif", ".heic", ".heif",
)  # fmt: skip
CAPTION_SUFFIX = ".txt"
_COPIES = "__MACOSX"  # what archives from a Mac hold besides
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True, slots=True)
class PhotoFolder:
    """The photos of a folder and its folders, and every other file that is not hidden, in the order of their names."""

    photos: tuple[Path, ...]
    others: tuple[Path, ...]


def photo_folder(folder: Path) -> PhotoFolder:
    """What a folder holds; captions belong to the photos that they are named as.

    Raises: ConfigError when there is no such folder, a part of it cannot be read, or it holds no photo.
    """
    if not folder.is_dir():
        raise ConfigError(f"There is no folder {folder} with photos.")
    found = visible_files(folder)
    photos = tuple(path for path in found if path.suffix.lower() in PHOTO_SUFFIXES)
    if not photos:
        raise ConfigError(f"{folder} holds no photo; expected files ending in {', '.join(PHOTO_SUFFIXES)}.")
    captions = {path.with_suffix("") for path in photos}
    others = (path for path in found if path.suffix.lower() not in PHOTO_SUFFIXES)
    return PhotoFolder(
        photos,
        tuple(path for path in others if path.suffix.lower() != CAPTION_SUFFIX or path.with_suffix("") not in captions),
    )


def visible_files(folder: Path) -> list[Path]:
    """Every file of a folder and its folders, in the order of their paths; hidden ones are no data.

    Raises: ConfigError for a part that cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise ConfigError(f"{error.filename} cannot be read: {error.strerror or error}.") from error

    found: list[Path] = []
    for place, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".") and name != _COPIES]
        found += [Path(place) / name for name in names if not name.startswith(".")]
    return sorted(path for path in found if path.is_file())


def captions_beside(photo: Path) -> list[str]:
    """The lines of the caption file beside a photo; none where there is no such file."""
    for suffix in (CAPTION_SUFFIX, CAPTION_SUFFIX.upper()):
        path = photo.with_suffix(suffix)
        if path.is_file():
            lines = decoded(path.read_bytes()).splitlines()
            return [line.strip() for line in lines if line.strip()]
    return []


def decoded(content: bytes) -> str:
    """Text as editors write it: UTF-8, UTF-16 or UTF-32 with their marks, UTF-16 without one, else Windows' cp1252."""
    marked = next((name for mark, name in _MARKS if content.startswith(mark)), None)
    if marked is not None:
        return content.decode(marked, "replace")
    if b"\0" in content:
        is_little = content[1::2].count(0) >= content[0::2].count(0)
        return content.decode("utf-16-le" if is_little else "utf-16-be", "replace")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")
