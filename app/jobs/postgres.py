"""One PostgreSQL database for several servers, asked in the same sentences as the SQLite file of one."""

import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

from app.jobs.database import DatabaseAway, is_patient
from blipdiff.errors import ConfigError, MissingDependencyError

SCHEMA = 1  # of the tables; a program reads those of its own version and of earlier ones
_LOCK = 0x626C6970  # of PostgreSQL's own numbers for locks: one change at a time, as in a file
_SECONDS_TO_CONNECT, _SECONDS_BETWEEN = 5, 0.5
_MOST_CONNECTIONS = 10
_ENDS = "idle_in_transaction_session_timeout=20000"  # ms, of a server that was stopped in the middle of a change
_TYPES = {"INTEGER": "BIGINT", "REAL": "DOUBLE PRECISION", "TEXT": 'TEXT COLLATE "C"'}  # sorted as SQLite does
_WORDS = {"instr(": "strpos(", "char(10)": "chr(10)"}
_VERSION = "CREATE TABLE IF NOT EXISTS blipdiff_schema (version INTEGER NOT NULL)"
_ORDERED = "groups"  # whose rows are read in the order in which they came: SQLite's rowid


class SharedDatabase:
    """Transactions that are done whole or not at all, one after the other among all that use the database."""

    def __init__(self, url: str, tables: str) -> None:
        """Raises: ConfigError for another kind of URL, for a database that does not answer, and for one that a newer
        version keeps; MissingDependencyError without the packages.
        """
        self.errors, self.is_away = 0, False
        self._engine, self._shown = _engine(url)
        self._own = threading.local()
        self._is_ending = threading.Event()
        try:
            with self.changing():
                self._check_version()
                for sentence in filter(None, map(str.strip, tables.split(";"))):
                    self.change(_declared(sentence))
                if f"EXISTS {_ORDERED} " in tables:
                    self.change(f"ALTER TABLE {_ORDERED} ADD COLUMN IF NOT EXISTS rowid BIGSERIAL")
        except ConfigError:
            self._engine.dispose()
            raise

    @contextmanager
    def changing(self) -> Iterator[None]:
        """A block whose changes are made together; one inside another belongs to that.

        Raises: DatabaseAway where it does not answer; then nothing of the block was changed.
        """
        if self._connection is not None:
            yield
            return
        with self._answering(), self._engine.begin() as connection:
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            self._own.connection = connection
            try:
                yield
            finally:
                self._own.connection = None

    def change(self, sentence: str, values: Sequence[Any] = ()) -> int:
        """Changes rows; gives how many. Raises: DatabaseAway where it does not answer."""
        return int(self._done(sentence, values).rowcount)

    def rows(self, sentence: str, values: Sequence[Any] = ()) -> Sequence[Any]:
        """What is asked for. Raises: DatabaseAway where it does not answer."""
        return self._done(sentence, values, gives=True)  # type: ignore[no-any-return]

    def row(self, sentence: str, values: Sequence[Any] = ()) -> Any | None:
        """The first row of what is asked for. Raises: DatabaseAway where it does not answer."""
        found = self.rows(sentence, values)
        return found[0] if found else None

    def waits(self) -> bool:
        """Whether this thread waits for a database that is away, outside of a transaction: after a while."""
        if not is_patient() or self._connection is not None:
            return False
        return not self._is_ending.wait(_SECONDS_BETWEEN)

    def hurry(self) -> None:
        """Nobody waits any longer."""
        self._is_ending.set()

    def close(self) -> None:
        """Lets go of all connections."""
        self._is_ending.set()
        self._engine.dispose()

    @property
    def _connection(self) -> Any:
        return getattr(self._own, "connection", None)

    def _done(self, sentence: str, values: Sequence[Any], *, gives: bool = False) -> Any:
        told, given = _translated(sentence), tuple(map(_plain, values))
        while True:
            try:
                with self._answering():
                    if self._connection is not None:
                        found = self._connection.exec_driver_sql(told, given)
                        return found.mappings().all() if gives else found
                    with self._engine.begin() as connection:
                        found = connection.exec_driver_sql(told, given)
                        return found.mappings().all() if gives else found
            except DatabaseAway:
                if not self.waits():
                    raise

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """A block in which a database that does not answer is told in a sentence."""
        from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
        from sqlalchemy.exc import TimeoutError as Busy

        try:
            yield
            self.is_away = False
        except (DBAPIError, Busy) as error:
            lost = isinstance(error, (OperationalError, InterfaceError, Busy)) or error.connection_invalidated
            if not lost:
                raise ConfigError(f"{self._shown} cannot be used: {_reason(error)}.") from error
            self.errors, self.is_away = self.errors + 1, True
            raise DatabaseAway(f"{self._shown} does not answer: {_reason(error)}.") from error

    def _check_version(self) -> None:
        self.change(_declared(_VERSION))
        found = self.row("SELECT max(version) AS version FROM blipdiff_schema")
        version = None if found is None else found["version"]
        if version is None:
            self.change("INSERT INTO blipdiff_schema VALUES (?)", (SCHEMA,))
        elif int(version) > SCHEMA:
            raise ConfigError(
                f"{self._shown} is kept by a newer blipdiff (its tables are of version {version}, this one reads "
                f"{SCHEMA}); update blipdiff here."
            )


def _engine(url: str) -> tuple[Any, str]:
    """What connects, and the database as it is named to people: without user and password."""
    try:
        import psycopg  # noqa: F401
        from sqlalchemy import create_engine
        from sqlalchemy.engine import make_url
        from sqlalchemy.exc import ArgumentError
    except ImportError as error:
        raise MissingDependencyError(
            "A database for several servers needs packages that are not installed: pip install 'blipdiff[shared]'."
        ) from error
    try:
        told = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise ConfigError("The database is no URL; expected postgresql://USER@HOST:PORT/NAME.") from error
    if told.drivername not in ("postgresql", "postgres"):
        raise ConfigError(
            f"A database of the kind {told.drivername!r:.40} is not used; expected postgresql://USER@HOST:PORT/NAME."
        )
    shown = f"The database {told.database or ''} at {told.host or told.query.get('host', 'this machine')}"
    waits = {
        "connect_timeout": _SECONDS_TO_CONNECT,
        "keepalives_idle": 10,
        "tcp_user_timeout": 15_000,
        "application_name": "blipdiff",
        "options": f"{told.query.get('options', '')} -c {_ENDS}".strip(),
    }
    made = create_engine(
        told.set(drivername="postgresql+psycopg"),
        pool_pre_ping=True,
        pool_size=_MOST_CONNECTIONS // 2,
        max_overflow=_MOST_CONNECTIONS - _MOST_CONNECTIONS // 2,
        pool_timeout=_SECONDS_TO_CONNECT * 2,
        connect_args=waits,
        hide_parameters=True,
    )
    return made, shown


@cache
def _translated(sentence: str) -> str:
    """A sentence in PostgreSQL's words."""
    for ours, theirs in _WORDS.items():
        sentence = sentence.replace(ours, theirs)
    return sentence.replace("%", "%%").replace("?", "%s")


def _declared(sentence: str) -> str:
    """A table's declaration with PostgreSQL's types."""
    return re.sub(r"\b(INTEGER|REAL|TEXT)\b", lambda found: _TYPES[found[0]], sentence)


def _plain(value: Any) -> Any:
    """A value as the columns take it: no truth values, and no letter 0, which PostgreSQL has not."""
    if isinstance(value, bool):
        return int(value)
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else value


def _reason(error: Exception) -> str:
    """The first line of what the database said, without what was asked."""
    told = str(getattr(error, "orig", None) or error).strip().splitlines() or [type(error).__name__]
    return told[0].rstrip(".")[:200]
