"""One SQLite file, written ahead (WAL), used by several threads of this process; a shared one is in `postgres`."""

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from blipdiff.errors import ConfigError
from blipdiff.outputs import writing

_SECONDS_TO_WAIT = 30.0  # for another process that writes
_THREAD = threading.local()
_Given = ParamSpec("_Given")
_Found = TypeVar("_Found")


def be_patient() -> None:
    """This thread waits for a shared database that is away, from now on."""
    _THREAD.is_patient = True


def is_patient() -> bool:
    """Whether this thread waits for a shared database that is away."""
    return bool(getattr(_THREAD, "is_patient", False))


class DatabaseAway(ConfigError):
    """A shared database cannot be reached now; nothing was changed that was not changed whole."""


class Data(Protocol):
    """Tables that are asked in SQL, with `?` for values, whatever keeps them.

    errors: how often they could not be reached; is_away: whether the last attempt failed
    """

    errors: int
    is_away: bool

    def changing(self) -> AbstractContextManager[None]:
        """A block whose changes are made together; one inside another belongs to that."""

    def change(self, sentence: str, values: Sequence[Any] = ()) -> int:
        """Changes rows; gives how many."""

    def rows(self, sentence: str, values: Sequence[Any] = ()) -> Sequence[Any]:
        """What is asked for; each row gives its values by their columns' names."""

    def row(self, sentence: str, values: Sequence[Any] = ()) -> Any | None:
        """The first row of what is asked for."""

    def waits(self) -> bool:
        """Whether this thread waits for a database that is away: it has been waited for a while, try again."""

    def hurry(self) -> None:
        """Nobody waits any longer: the program ends."""

    def close(self) -> None:
        """Lets go of it."""


class Keeper(Protocol):
    """What keeps its rows in a database."""

    @property
    def data(self) -> Data:
        """Its database."""


_Kept = TypeVar("_Kept", bound=Keeper)


def patiently(
    method: Callable[Concatenate[_Kept, _Given], _Found],
) -> Callable[Concatenate[_Kept, _Given], _Found]:
    """The method, begun anew as a whole where the database went away in it and this thread waits for it."""

    @wraps(method)
    def again(self: _Kept, /, *given: _Given.args, **more: _Given.kwargs) -> _Found:
        while True:
            try:
                return method(self, *given, **more)
            except DatabaseAway:
                if not self.data.waits():
                    raise

    return again


def upsert(table: str, columns: Sequence[str], *, key: int = 1) -> str:
    """The sentence that puts a row in, or in the place of the one with the same first `key` columns."""
    named, keys = ", ".join(columns), ", ".join(columns[:key])
    kept = ", ".join(f"{name} = excluded.{name}" for name in columns[key:])
    marks = ", ".join("?" * len(columns))
    return f"INSERT INTO {table} ({named}) VALUES ({marks}) ON CONFLICT ({keys}) DO UPDATE SET {kept}"


class Database:
    """Transactions that are done whole or not at all, whatever becomes of the process."""

    def __init__(self, path: Path, tables: str) -> None:
        """Raises: OutputError when the folder cannot be made, ConfigError for a file that is no database."""
        self.path = path
        self.errors, self.is_away = 0, False
        self._access = threading.RLock()
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

    def waits(self) -> bool:
        """A file is never away."""
        return False

    def hurry(self) -> None:
        """A file is never away."""

    def close(self) -> None:
        """Lets go of the file."""
        with self._access, suppress(sqlite3.Error):
            self._connection.close()
