"""The history: every result with its job. The pictures' files are what counts; the index of them can be lost.

Where there is a store, that has all files, and the folder those that were not sent yet or used last.
"""

import shutil
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import fields, replace
from pathlib import Path
from threading import RLock
from typing import Any, Literal

from app.jobs import pictures, thumbnails
from app.jobs.agreeing import agreed, put
from app.jobs.database import Data, Database, patiently
from app.jobs.databases import database_at
from app.jobs.entries import TABLES, Entry, check_result_name, entry_at
from app.jobs.favourites import Favourites
from app.jobs.pictures import BIN, PICTURES
from app.jobs.search import Board, Search, conditions
from app.jobs.shelf import TABLES as SHELF_TABLES
from app.jobs.shelf import Shelf
from app.jobs.stores import Store
from blipdiff.errors import ConfigError
from blipdiff.outputs import writing, written_file
from pipelines.job import Job
from pipelines.metadata import repeat
from pipelines.task import Result, Sheet

__all__ = ["INDEX", "Board", "History", "Search"]

INDEX = "history.sqlite"


class History:
    """The pictures of a folder, with their index.

    most: bytes of pictures that are kept; above that the oldest go, those in the bin first and favourites never; with
    a store, bytes of those that the folder keeps of it
    """

    def __init__(
        self, folder: Path, most: int | None = None, *, database: str | None = None, store: Store | None = None
    ) -> None:
        """database: the URL of one that several servers share"""
        self.folder = folder
        self.most = most
        self.changes = 0  # how often something came, went or was marked since the start
        self._access = RLock()
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self._favourites = Favourites(folder)
        self.data: Data
        if database is None:
            self.data = Database.whole(folder / INDEX, TABLES + SHELF_TABLES)
        else:
            self.data = database_at(database, TABLES + SHELF_TABLES)
        self.shelf = None if store is None else Shelf(folder, store, self.data, lambda: self.most)
        if self.shelf is None:
            self.reconcile()
        else:
            self.shelf.outbox.before = self.reconcile
            self.shelf.outbox.start()

    def reconcile(self) -> tuple[int, int]:
        """Makes the index agree with the files: gives how many entries were added, and how many taken out."""
        with self._access:
            added, lost = agreed(self.data, self.folder, self.shelf, self._favourites.names())
            self.changes += added + lost
            return added, lost

    @patiently
    def add(self, result: Result, job: str, number: int, owner: str) -> Entry:
        """Keeps a result; one of the same job and number takes the other's place.

        Raises: OutputError when it cannot be written.
        """
        name = f"{job}-{number:03d}"
        before = self.find(name)
        files = pictures.files_of(result, pictures.place_of(self.folder, job, number, owner, result.name))
        with nullcontext() if self.shelf is None else self.shelf.coming(files):
            path = pictures.save(result, self.folder, job, number, owner)
        with self._access:
            found = pictures.place(self.folder, path)
            entry = None if found is None else entry_at(found, self._below(path))
            assert entry is not None, path
            if before is not None and before.path != entry.path:
                (self.folder / before.path).unlink(missing_ok=True)
            self._put(entry)
            if self.shelf is None:
                self._keep_size()
            else:
                is_moved = before is not None and before.path != entry.path
                self.shelf.keep(files, instead_of=[before.path] if before is not None and is_moved else [])
        return entry

    def bring_in(self, file: Path, owner: str) -> Path | None:
        """Copies a picture of another history, or what stands beside one; what is there already stays.

        Call `reconcile` when all are in. Raises: OutputError when it cannot be written.
        """
        target = pictures.place_like(self.folder, file.name, owner)
        if target is None or target.exists() or self.find("-".join(file.name.split("-")[:2])) is not None:
            return None
        with writing(target), written_file(target) as part:
            shutil.copyfile(file, part)
        self.send(target)
        return target

    def send(self, path: Path) -> None:
        """A file of the folder goes to the store, if there is one."""
        if self.shelf is not None:
            self.shelf.keep([path])

    def fetch(self, path: Path) -> bool:
        """Whether a file of the folder is here, or in the store, from which it comes."""
        return path.is_file() or (self.shelf is not None and self.shelf.fetched(path))

    def __len__(self) -> int:
        row = self.data.row("SELECT count(*) AS count FROM results")
        return int(row["count"]) if row else 0

    @patiently
    def add_sheet(self, sheet: Sheet, job: str, owner: str) -> str:
        """Keeps a grid or a film; gives its name among the job's. Raises: OutputError when it cannot be written."""
        path = pictures.save_sheet(sheet, self.folder, job, owner)
        if self.shelf is not None:
            self.shelf.sheet(path, job)
        return path.name

    def sheets(self, job: str, owner: str, *, fetched: bool = False) -> dict[str, Path]:
        """A job's grids and films by name; fetched: those that are here, or can be fetched from the store now."""
        if self.shelf is None:
            return pictures.sheets(self.folder, job, owner)
        found = self.shelf.sheets(job)
        return {name: path for name, path in found.items() if self.shelf.is_here(path)} if fetched else found

    def find(self, name: str) -> Entry | None:
        """The picture of this name, if there is one."""
        row = self.data.row("SELECT * FROM results WHERE id = ?", (name,))
        return None if row is None else _entry(row)

    def entry(self, name: str) -> Entry:
        """Raises: ConfigError for a result that there is not."""
        found = self.find(check_result_name(name))
        if found is None:
            raise ConfigError(f"There is no result {name!r:.60}.")
        return found

    def file(self, entry: Entry, part: str | None = None) -> Path:
        """A picture's file, or that of what stands beside it. Raises: ConfigError where there is none."""
        path = self.folder / entry.path
        if self.shelf is not None:
            self.shelf.picture(path)
        found = path if part is None else pictures.beside(path).get(part)
        if found is None or not found.is_file():
            raise ConfigError(f"There is no {part or 'picture'} of the result {entry.id}.")
        return found

    def beside(self, entry: Entry) -> dict[str, Path]:
        """What stands beside a picture, by what it is: "before", "mask"."""
        if self.shelf is not None:
            self.shelf.picture(self.folder / entry.path)
        return pictures.beside(self.folder / entry.path)

    def job(self, entry: Entry) -> Job:
        """The job that draws this picture again, as its file tells it. Raises: ConfigError for a damaged one."""
        return repeat(self.file(entry))

    def search(
        self, asked: Search, *, most: int = 100, before: str | None = None, after: str | None = None, skip: int = 0
    ) -> list[Entry]:
        """Pictures, the latest first; `before` is the last one of the page that came before.

        after: those that are later than this one, the nearest first; skip: so many are left out
        """
        wanted, values = conditions(asked)
        for sign, name in (("<", before), (">", after)):
            if name:
                wanted.append(f"id {sign} ?")
                values.append(name)
        rows = self.data.rows(
            f"SELECT * FROM results WHERE {' AND '.join(wanted)} ORDER BY id {'' if after else 'DESC'} "
            "LIMIT ? OFFSET ?",
            (*values, most, skip),
        )
        return [_entry(row) for row in rows]

    def count(self, asked: Search) -> int:
        """How many pictures are found."""
        wanted, values = conditions(asked)
        row = self.data.row(f"SELECT count(*) AS count FROM results WHERE {' AND '.join(wanted)}", values)
        return int(row["count"]) if row else 0

    def names(self, of: Literal["task", "model"], asked: Search) -> list[str]:
        """The tasks or models of what is found."""
        wanted, values = conditions(asked)
        rows = self.data.rows(f"SELECT DISTINCT {of} FROM results WHERE {' AND '.join(wanted)} ORDER BY {of}", values)
        return [str(row[of]) for row in rows]

    def boards(self, by: Literal["day", "subject"], asked: Search) -> list[Board]:
        """The days or subjects of what is found, the latest first."""
        key = "day" if by == "day" else "subject_key"
        name = "day" if by == "day" else "max(subject)"
        wanted, values = conditions(asked)
        rows = self.data.rows(
            f"SELECT {key} AS key, {name} AS name, count(*) AS count, max(id) AS cover FROM results "
            f"WHERE {' AND '.join(wanted)} AND {key} != '' GROUP BY {key} ORDER BY cover DESC",
            values,
        )
        return [Board(str(row["key"]), str(row["name"]), int(row["count"]), str(row["cover"])) for row in rows]

    def mark(self, name: str, *, favourite: bool) -> Entry:
        """Makes a picture a favourite, or not. Raises: ConfigError where there is none."""
        entry = self.entry(name)
        with self._access:
            self.changes += 1
            self._favourites.mark(entry.id, favourite=favourite)
            if self.shelf is not None:
                self.shelf.mark(entry.id, favourite=favourite)
            self.data.change("UPDATE results SET is_favourite = ? WHERE id = ?", (favourite, entry.id))
        return self.entry(name)

    def throw_away(self, names: Iterable[str]) -> list[Entry]:
        """Puts pictures into the bin, from which they come back. Raises: ConfigError where one is not."""
        return [self._move(self.entry(name), BIN) for name in names]

    def restore(self, names: Iterable[str]) -> list[Entry]:
        """Takes pictures out of the bin. Raises: ConfigError where one is not."""
        return [self._move(self.entry(name), PICTURES) for name in names]

    def empty_bin(self, owner: str | None = None) -> int:
        """Removes for good what lies in the bin; gives how many."""
        rows = self.data.rows("SELECT * FROM results WHERE is_binned = 1 AND owner = coalesce(?, owner)", (owner,))
        for row in rows:
            self._remove(_entry(row))
        if owner is None:
            shutil.rmtree(self.folder / BIN, ignore_errors=True)
        return len(rows)

    @property
    def size(self) -> int:
        """Bytes of all pictures, without what stands beside them."""
        row = self.data.row("SELECT coalesce(sum(bytes), 0) AS size FROM results")
        return int(row["size"]) if row else 0

    def close(self) -> None:
        """Sends what waits to be sent, while that goes well, and lets go of the index."""
        if self.shelf is not None:
            self.shelf.close()
        self.data.close()

    def _put(self, entry: Entry) -> None:
        self.changes += 1
        put(self.data, entry)

    def _move(self, entry: Entry, root: str) -> Entry:
        if entry.is_binned == (root == BIN):
            return entry
        with self._access, writing(self.folder / entry.path):
            moved = pictures.moved(self.folder, self.file(entry), root)
            self._put(replace(entry, path=self._below(moved), is_binned=root == BIN))
            if self.shelf is not None:
                self.shelf.keep([*pictures.beside(moved).values(), moved], instead_of=[entry.path])
        return self.entry(entry.id)

    def _remove(self, entry: Entry) -> None:
        with self._access, writing(self.folder / entry.path):
            path = self.folder / entry.path
            for one in (*pictures.beside(path).values(), path):
                one.unlink(missing_ok=True)
            if self.shelf is not None:
                self.shelf.keep([], instead_of=[entry.path])
            thumbnails.place(self.folder, entry.id).unlink(missing_ok=True)
            self.data.change("DELETE FROM results WHERE id = ?", (entry.id,))
            self.changes += 1

    def _keep_size(self) -> None:
        """Removes the oldest where there are too many bytes; the latest one stays in any case."""
        if self.most is None or self.size <= self.most:
            return
        rows = self.data.rows("SELECT * FROM results WHERE is_favourite = 0 ORDER BY is_binned DESC, id")
        size = self.size
        for entry in map(_entry, rows[:-1]):
            if size <= self.most:
                return
            self._remove(entry)
            size -= entry.bytes

    def _below(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()


def _entry(row: Any) -> Entry:
    found = {item.name: row[item.name] for item in fields(Entry)}
    return Entry(**found | {name: bool(found[name]) for name in ("is_binned", "is_favourite")})
