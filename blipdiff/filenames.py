"""Names of files: what a text becomes as one, on every system and in every script."""

import glob
import re
import unicodedata
from pathlib import Path

LONGEST = 200  # bytes of a stem: systems allow 255 for a name, a number and an ending take their part
_MOST_LETTERS = 80
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?$", re.IGNORECASE)


def file_stem(text: str, most_letters: int = _MOST_LETTERS) -> str:
    """`text` as the name of a file without its ending: letters, marks and digits of any script, `_`, `.` and `-`."""
    composed = unicodedata.normalize("NFC", text)
    fit = "".join(letter if is_letter(letter) or letter in "_.-" else " " for letter in composed)
    clean = cut_to_bytes(re.sub(" +", "-", fit).strip("-.")[:most_letters], LONGEST) or "picture"
    return f"{clean}_" if is_reserved(clean) else clean


def short_name(text: str) -> str:
    """`text` as one part of a longer name: 40 letters at most."""
    return cut_to_bytes(file_stem(text, 40), 80)


def is_letter(letter: str) -> bool:
    """Whether it is a letter, a mark or a digit of any script; vowel signs are marks, without which words break."""
    return unicodedata.category(letter)[0] in "LMN"


def is_reserved(name: str) -> bool:
    """Whether Windows keeps the name for a device."""
    return _RESERVED.match(name) is not None


def cut_to_bytes(text: str, most: int) -> str:
    """The beginning of a text that takes `most` bytes in UTF-8, whole letters only."""
    return text.encode("utf-8", "ignore")[:most].decode("utf-8", "ignore")


def paths_now(folder: Path, pattern: str) -> list[Path]:
    """What lies in a folder in which others write and remove at the same time; hidden ones are left out.

    `Path.glob` raises FileNotFoundError where a folder goes while it is read.
    """
    found = glob.iglob(f"{glob.escape(str(folder))}/{pattern}", recursive=True)  # noqa: PTH207
    return [Path(path) for path in found]
