"""Which server draws which job of a shared queue: each says all the time that it lives, else its jobs are others'."""

import secrets
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from app.jobs.database import Data, upsert
from blipdiff.outputs import written_file

LEASE_SECONDS = 30.0  # a server that said nothing for so long is gone
TABLES = """
CREATE TABLE IF NOT EXISTS servers (name TEXT PRIMARY KEY, seen REAL NOT NULL);
CREATE TABLE IF NOT EXISTS drawn (job TEXT PRIMARY KEY, server TEXT NOT NULL);
"""
_NOW = "(SELECT CAST(extract(epoch FROM clock_timestamp()) AS DOUBLE PRECISION))"  # one clock for all servers


class Drawers(Protocol):
    """Who draws the jobs of a queue."""

    def took(self, job: str) -> None:
        """This server draws a job from now on."""

    def may_end(self, job: str, /) -> bool:
        """Whether what becomes of a job is this server's to say: no other one has taken it meanwhile."""

    def left(self, jobs: Sequence[str]) -> list[str]:
        """Those of some jobs being drawn that nobody draws any more."""

    def let_go(self, job: str) -> None:
        """The queue keeps this job no longer, or it waits again."""


class OneServer:
    """A queue that one process alone draws from: what is being drawn when it starts was left."""

    def took(self, job: str) -> None:
        """Nobody else could."""

    def may_end(self, _job: str) -> bool:
        """Always."""
        return True

    def left(self, jobs: Sequence[str]) -> list[str]:
        """All of them."""
        return list(jobs)

    def let_go(self, job: str) -> None:
        """Nothing is kept of it."""


def name_of(folder: Path) -> str:
    """What the server of this folder is called, now and after each start. Raises: OutputError."""
    path = folder / "server"
    if not path.is_file():
        with written_file(path, replace=False) as part:
            part.write_text(f"{socket.gethostname()[:60]}-{secrets.token_hex(6)}", encoding="utf-8")
    return path.read_text(encoding="utf-8").strip()


class Servers:
    """The servers of a shared queue, of which this is one."""

    def __init__(self, data: Data, name: str) -> None:
        """name: as the folder has it, in which one process alone draws: what it drew before is nobody's now"""
        self.name = name
        self._data = data
        self._last = 0.0
        data.change("DELETE FROM drawn WHERE server = ?", (name,))
        self.beat()

    def beat(self) -> None:
        """This server lives; written down a few times within each lease."""
        now = time.monotonic()
        if self._last and now - self._last < LEASE_SECONDS / 6:
            return
        self._data.change(
            f"INSERT INTO servers VALUES (?, {_NOW}) ON CONFLICT (name) DO UPDATE SET seen = excluded.seen",
            (self.name,),
        )
        self._last = now

    def took(self, job: str) -> None:
        """This server draws a job from now on."""
        self._data.change(upsert("drawn", ("job", "server")), (job, self.name))

    def may_end(self, job: str) -> bool:
        """Whether no other server draws it."""
        row = self._data.row("SELECT server FROM drawn WHERE job = ?", (job,))
        return row is None or row["server"] == self.name

    def elsewhere(self, jobs: Sequence[str]) -> set[str]:
        """Those of some jobs that other servers have taken."""
        marks = ", ".join("?" * len(jobs))
        rows = self._data.rows(
            f"SELECT job FROM drawn WHERE server != ? AND job IN ({marks or 'NULL'})", (self.name, *jobs)
        )
        return {str(row["job"]) for row in rows}

    def mine(self) -> list[str]:
        """The jobs being drawn that this server has taken."""
        rows = self._data.rows(
            "SELECT id FROM jobs JOIN drawn ON drawn.job = jobs.id WHERE state = 'drawing' AND server = ?", (self.name,)
        )
        return [str(row["id"]) for row in rows]

    def left(self, jobs: Sequence[str]) -> list[str]:
        """Those whose server has not said for a lease's time that it lives; they are nobody's from now on."""
        if not jobs:
            return []
        self._data.change(f"DELETE FROM servers WHERE seen < {_NOW} - ?", (2880 * LEASE_SECONDS,))
        rows = self._data.rows(
            "SELECT id FROM jobs LEFT JOIN drawn ON drawn.job = jobs.id LEFT JOIN servers ON servers.name = server "
            f"WHERE state = 'drawing' AND (seen IS NULL OR seen < {_NOW} - ?)",
            (LEASE_SECONDS,),
        )
        found = [str(row["id"]) for row in rows]
        for job in found:
            self.let_go(job)
        return found

    def let_go(self, job: str) -> None:
        """The queue keeps this job no longer, or it waits again."""
        self._data.change("DELETE FROM drawn WHERE job = ?", (job,))

    def leave(self) -> None:
        """This server ends: what it was drawing is free at once."""
        self._data.change("DELETE FROM servers WHERE name = ?", (self.name,))
