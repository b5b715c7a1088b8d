"""What is on its way to the store: marks in the history's database, and a thread that sends what they name."""

import logging
import secrets
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread

from app.jobs.database import Data, upsert
from app.jobs.stores import Store
from blipdiff.errors import BlipdiffError, OutputError

TABLES = """
CREATE TABLE IF NOT EXISTS sends (
    server TEXT NOT NULL, path TEXT NOT NULL, kind TEXT NOT NULL, mark TEXT NOT NULL, PRIMARY KEY (server, path));
CREATE INDEX IF NOT EXISTS sends_by_path ON sends (path);
"""
_COMING, _PUT, _REMOVE = "coming", "put", "remove"  # is being written; is whole; a picture with all beside it is gone
_SECONDS_BETWEEN, _MOST_SECONDS = 1.0, 30.0  # attempts
_SECONDS_TO_END = 60.0
_AT_ONCE = 200
_LOG = logging.getLogger("blipdiff.jobs")


class Outbox:
    """Sends a folder's files to a store, as often as it takes; what a killed process had not sent, the next one sends.

    trouble: what went wrong last, None while all goes well; failures, sent: how often since the start
    """

    def __init__(self, folder: Path, store: Store, data: Data, server: str) -> None:
        """server: what the folder is called among those that share the database"""
        self.trouble: str | None = None
        self.failures = self.sent = 0
        self.before: Callable[[], object] = lambda: None  # called before anything is sent, until it succeeds
        self._folder, self._store, self._data, self._server = folder, store, data, server
        self._wake, self._is_ending = Event(), Event()
        self._thread = Thread(target=self._work, name="outbox", daemon=True)
        data.change("UPDATE sends SET kind = ? WHERE server = ? AND kind = ?", (_PUT, server, _COMING))

    def start(self) -> None:
        """Begins to send."""
        self._thread.start()

    def coming(self, names: Sequence[str]) -> None:
        """These files will be written: whatever becomes of this process, what there is of them is sent."""
        self._mark(_COMING, names)

    def forget(self, names: Sequence[str]) -> None:
        """These files could not be written."""
        with suppress(sqlite3.OperationalError):  # the next process finds that they are not there
            for name in names:
                self._data.change(
                    "DELETE FROM sends WHERE server = ? AND path = ? AND kind = ?", (self._server, name, _COMING)
                )

    def keep(self, names: Sequence[str], *, instead_of: Sequence[str] = ()) -> None:
        """These files are whole and are sent; the pictures `instead_of`, with what stands beside them, go."""
        with self._data.changing():
            self._mark(_PUT, names)
            self._mark(_REMOVE, instead_of)
        self._wake.set()

    def waiting(self) -> int:
        """How many files of this folder are not sent yet."""
        row = self._data.row("SELECT count(*) AS count FROM sends WHERE server = ?", (self._server,))
        return int(row["count"]) if row else 0

    def on_the_way(self, name: str | None = None) -> set[str]:
        """The files, or whether this one is among them, that some server has not sent yet."""
        wanted = "" if name is None else " AND path = ?"
        values = (_REMOVE,) if name is None else (_REMOVE, name)
        return {str(row["path"]) for row in self._data.rows(f"SELECT path FROM sends WHERE kind != ?{wanted}", values)}

    def close(self) -> None:
        """Sends what waits, while that goes well, and ends; the rest is sent after the next start."""
        self._is_ending.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(_SECONDS_TO_END)

    def _mark(self, kind: str, names: Sequence[str]) -> None:
        sentence = upsert("sends", ("server", "path", "kind", "mark"), key=2)
        try:
            for name in names:
                self._data.change(sentence, (self._server, name, kind, secrets.token_hex(8)))
        except sqlite3.OperationalError as error:  # the disk is full, say
            raise OutputError(f"{self._folder} cannot be written: {error}.") from error

    def _work(self) -> None:
        is_ready, pause, end = False, _SECONDS_BETWEEN, float("inf")
        while True:
            is_last = self._is_ending.is_set()  # what was asked for before the end is seen by a look that begins now
            if is_last and end == float("inf"):
                end = time.monotonic() + _SECONDS_TO_END
            try:
                if not is_ready:
                    self.before()
                    is_ready = True
                is_done = self._sent_some()
                self.trouble, pause = None, _SECONDS_BETWEEN
            except Exception as error:  # a fault of ours or of a library's, too, is tried again and not forgotten
                self._failed(error)
                if self._is_ending.wait(pause):
                    return
                pause = min(2 * pause, _MOST_SECONDS)
                continue
            if is_last and (is_done or time.monotonic() > end):
                return
            if is_done and not self._is_ending.is_set():
                self._wake.wait(_MOST_SECONDS)
                self._wake.clear()

    def _failed(self, error: Exception) -> None:
        told = str(error) if isinstance(error, BlipdiffError) else f"Sending has a fault: {type(error).__name__}."
        if self.trouble is None:
            unknown = None if isinstance(error, BlipdiffError) else error
            _LOG.warning("%s Pictures are kept in %s meanwhile.", told, self._folder, exc_info=unknown)
        self.trouble, self.failures = told, self.failures + 1

    def _sent_some(self) -> bool:
        """Sends some of what waits; whether that was all."""
        rows = self._data.rows(
            "SELECT path, kind, mark FROM sends WHERE server = ? AND kind != ? ORDER BY kind, path LIMIT ?",
            (self._server, _COMING, _AT_ONCE),
        )
        for row in rows:
            name = str(row["path"])
            if row["kind"] == _REMOVE:
                for one, _size in list(self._store.sizes(name.removesuffix("png"))):
                    self._store.remove(one)
            elif (self._folder / name).is_file():
                self._put(name)
            self._data.change(
                "DELETE FROM sends WHERE server = ? AND path = ? AND mark = ?", (self._server, name, row["mark"])
            )
            self.sent += 1
        return len(rows) < _AT_ONCE

    def _put(self, name: str) -> None:
        try:
            self._store.put(self._folder / name, name)
        except OutputError:
            if (self._folder / name).is_file():  # else it went meanwhile
                raise
