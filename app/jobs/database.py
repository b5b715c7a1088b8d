"""One SQLite file, written ahead (WAL), used by several threads of this process."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import RLock
from typing import Any

from blipdiff.errors import ConfigError
from blipdiff.outputs import writing

_SECONDS_TO_WAIT = 30.0  # for another process that writes


class Database:
    """Transactions that are done whole or not at all, whatever becomes of the process."""

    def __init__(self, path: Path, tables: str) -> None:
        """Raises: OutputError when the folder cannot be made, ConfigError for a file that is no database."""
        self.path = path
        self._access = RLock()
        self._depth = 0
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._connection = sqlite3.connect(
                path, timeout=_SECONDS_TO_WAIT, isolation_level=None, check_same_thread=False
            )
            self._connection.row_factory = sqlite3.Row
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._connection.executescript(tables)
        except sqlite3.DatabaseError as error:
            raise ConfigError(f"{path} cannot be used: {error}.") from error

    @classmethod
    def whole(cls, path: Path, tables: str) -> "Database":
        """One that can be made again from what it was made of: a damaged file is put aside, and a new one begun."""
        try:
            data = cls(path, tables)
            if str(data.rows("PRAGMA quick_check")[0][0]) == "ok":
                return data
            data.close()
        except ConfigError:
            pass
        for suffix in ("", "-wal", "-shm"):
            damaged = Path(f"{path}{suffix}")
            if damaged.exists():
                damaged.replace(f"{path}{suffix}.damaged")
        return cls(path, tables)

    @contextmanager
    def changing(self) -> Iterator[None]:
        """A block whose changes are made together; one inside another belongs to that."""
        with self._access:
            if self._depth == 0:
                self._connection.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield
            except BaseException:
                self._depth -= 1
                if self._depth == 0:
                    self._connection.execute("ROLLBACK")
                raise
            self._depth -= 1
            if self._depth == 0:
                self._connection.execute("COMMIT")

    def change(self, sentence: str, values: Sequence[Any] = ()) -> int:
        """Changes rows; gives how many."""
        with self._access:
            return self._connection.execute(sentence, values).rowcount

    def rows(self, sentence: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """What is asked for."""
        with self._access:
            return self._connection.execute(sentence, values).fetchall()

    def row(self, sentence: str, values: Sequence[Any] = ()) -> sqlite3.Row | None:
        """The first row of what is asked for."""
        with self._access:
            found: sqlite3.Row | None = self._connection.execute(sentence, values).fetchone()
            return found

    def close(self) -> None:
        """Lets go of the file."""
        with self._access, suppress(sqlite3.Error):
            self._connection.close()
