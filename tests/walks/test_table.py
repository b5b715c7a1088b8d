"""The files that ARCHITECTURE.md names are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = [line for line in (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
NAMED = re.compile(r"`([\w./*-]+(?:\.(?:py|toml|js|css)|/))`")


def missing(row: str) -> list[str]:
    """The files and folders that a row names and that are not there: from the top, or beside one named before."""
    places, found = [ROOT, ROOT / "blipdiff"], []
    for name in NAMED.findall(row):
        there = next((path for place in places for path in sorted(place.glob(name))), None)
        if there is None:
            found.append(name)
        else:
            places.append(there if there.is_dir() else there.parent)
    return found


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip())
def test_what_a_row_names_is_there(row: str) -> None:
    assert missing(row) == []


def test_a_name_that_is_not_there_is_found() -> None:
    assert missing("| a | `blipdiff/images.py`, `latents.py`, `nothing.py`, `blipdiff/none/` |") == [
        "nothing.py",
        "blipdiff/none/",
    ]
