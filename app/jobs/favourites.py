"""Favourites, written down beside the pictures, so that they outlast the index."""

import json
from pathlib import Path
from threading import Lock

from blipdiff.outputs import writing, written_file

FILE = "favourites.jsonl"
_MOST_LINES = 10_000  # before what was said and taken back is left out


class Favourites:
    """A file of one line for each change, of which the last one counts."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._access = Lock()

    def mark(self, name: str, *, favourite: bool) -> None:
        """Writes a change down. Raises: OutputError when it cannot be written."""
        with self._access, writing(self._path), self._path.open("a", encoding="utf-8") as file:
            file.write(_line(name, favourite))

    def names(self) -> set[str]:
        """All favourites; a line that was not written whole is none."""
        with self._access:
            try:
                lines = self._path.read_text(encoding="utf-8", errors="replace").splitlines()
            except OSError:
                return set()
        found: dict[str, bool] = {}
        for line in lines:
            try:
                told = json.loads(line)
                found[str(told["id"])] = bool(told["favourite"])
            except (ValueError, TypeError, KeyError, RecursionError):
                continue
        names = {name for name, is_one in found.items() if is_one}
        if len(lines) > _MOST_LINES + len(names):
            with self._access, written_file(self._path) as part:
                part.write_text("".join(_line(name, True) for name in sorted(names)), encoding="utf-8")
        return names


def _line(name: str, favourite: bool) -> str:
    return json.dumps({"id": name, "favourite": favourite}) + "\n"
