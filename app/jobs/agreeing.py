"""The history's index is made to agree with the files: those of the folder, or of the store."""

from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

from app.jobs import pictures
from app.jobs.database import Data, upsert
from app.jobs.entries import COLUMNS, Entry, entry_at
from app.jobs.shelf import Shelf


def agreed(data: Data, folder: Path, shelf: Shelf | None, favourites: Set[str]) -> tuple[int, int]:
    """How many entries were added to the index, and how many taken out of it.

    favourites: the names of those that the folder knows of

    Raises: OutputError where the store is away; the index is as it was then.
    """
    rows = data.rows("SELECT id, path, bytes, made FROM results")
    known = {str(row["path"]): row for row in rows}
    if shelf is None:
        added, seen = _found_in(folder, known)
    else:
        added, seen = shelf.found({path: int(row["bytes"]) for path, row in known.items()})
        favourites = favourites | shelf.favourites() if added else favourites
    back = {one.id for one in added}
    lost = [(str(row["id"]), path) for path, row in known.items() if path not in seen and row["id"] not in back]
    with data.changing():
        for one in lost:
            data.change("DELETE FROM results WHERE id = ? AND path = ?", one)
        for entry in added:
            put(data, entry)
        for name in favourites & back:
            data.change("UPDATE results SET is_favourite = 1 WHERE id = ?", (name,))
    return len(added), len(lost)


def put(data: Data, entry: Entry) -> None:
    """The index has this entry, and no other one of its name."""
    data.change(upsert("results", COLUMNS), [getattr(entry, name) for name in COLUMNS])


def stamp(data: Data) -> str:
    """Something that is another one when pictures came, went or were marked, whoever did that."""
    row = data.row(
        "SELECT count(*) AS count, max(id) AS last, sum(is_binned) AS binned, sum(is_favourite) AS marked FROM results"
    )
    return "" if row is None else str(tuple(row[name] for name in ("count", "last", "binned", "marked")))


def _found_in(folder: Path, known: Mapping[str, Any]) -> tuple[list[Entry], set[str]]:
    """The pictures that are new in the folder, and the paths of all."""
    seen, names, added = set[str](), set[str](), list[Entry]()
    for found in pictures.places(folder):
        path = found.path.relative_to(folder).as_posix()
        if found.id in names:  # a copy, under another owner or day: the first one counts
            continue
        names.add(found.id)
        seen.add(path)
        row, about = known.get(path), found.path.stat()
        if row is None or (row["bytes"], row["made"]) != (about.st_size, about.st_mtime_ns):
            entry = entry_at(found, path)
            if entry is not None:
                added.append(entry)
    return added, seen
