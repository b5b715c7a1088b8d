"""The queue: jobs in a file, which lasts whatever becomes of the process; turns are taken fairly among clients."""

import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from app.jobs.contents import Contents
from app.jobs.database import DatabaseAway, patiently
from app.jobs.databases import database_at
from app.jobs.groups import Groups
from app.jobs.keys import Keys
from app.jobs.pace import Pace
from app.jobs.packing import packed, unpacked
from app.jobs.records import NEXT, TABLES, cost_of, count_of, ticket_of
from app.jobs.servers import TABLES as SHARED_TABLES
from app.jobs.servers import Drawers, OneServer, Servers
from app.jobs.tickets import FAULT, Asked, Sender, State, Ticket, new_name
from blipdiff.errors import BlipdiffError, ConfigError
from pipelines.job import Job

MOST_ATTEMPTS = 20  # how often a job may be begun by processes that did not end it
SUSPECT = 3  # after so many, all others go first
_KEPT_ENDED = 10_000  # tickets of ended jobs, with what they hold
_FORGOTTEN_AT_ONCE = 100
_LOWEST = -1000  # priority, below all that are asked for


class Queue:
    """All jobs of one folder, or of all `servers` that share a database."""

    def __init__(self, place: Path | str, clock: Callable[[], float] = time.time, server: str = "") -> None:
        """place: a file, or the URL of a database that several servers share, of which this one is called `server`"""
        self.data = self._data = database_at(place, TABLES if isinstance(place, Path) else TABLES + SHARED_TABLES)
        self.servers = None if isinstance(place, Path) else Servers(self._data, server)
        self._drawers: Drawers = self.servers or OneServer()
        self._contents, self._keys = Contents(self._data), Keys(self._data)
        self.pace = Pace(self._data)
        self.groups = Groups(self._data)
        self._clock = clock

    def add(self, job: Job, sender: Sender, asked: Asked) -> Ticket:
        """The ticket of a new job, or of the one that was asked for under the same key.

        Raises: KeyTaken for a key that stands for another job.
        """
        text = packed(job)
        with self._data.changing():
            known = self._keys.job(sender.owner, asked)
            if known is not None:
                return self.ticket(known)
            name, now = new_name(), self._clock()
            last = self._data.row("SELECT max(position) AS last FROM jobs")
            position = ((last["last"] if last else None) or 0) + 1
            self._data.change(
                "INSERT INTO jobs (id, owner, client, source, name, task, model, priority, position, count, "
                "cost, job, created, webhook, previews, state) "
                f"VALUES ({', '.join('?' * 15)}, 'waiting')",
                (name, sender.owner, sender.client, sender.source, asked.name, job.task, asked.model, asked.priority,
                 position, count_of(job), cost_of(job), text.text, now, asked.webhook, asked.previews),
            )  # fmt: skip
            self._contents.keep(name, text.contents)
            self._keys.keep(sender.owner, asked, name)
            return self.ticket(name)

    def add_all(self, jobs: Sequence[Job], sender: Sender, asked: Asked) -> list[Ticket]:
        """The tickets of jobs that belong together, all of them or none; the first one's name is the group's."""
        with self._data.changing():
            keys = [None if asked.key is None else f"{asked.key}#{number}" for number in range(len(jobs))]
            found = [self.add(job, sender, replace(asked, key=key)) for job, key in zip(jobs, keys, strict=True)]
            self.groups.keep(found[0].id, [one.id for one in found])
            return found

    def find(self, name: str) -> Ticket | None:
        """The ticket of this name, if there is one."""
        row = self._data.row("SELECT * FROM jobs WHERE id = ?", (name,))
        return None if row is None else ticket_of(row)

    def ticket(self, name: str) -> Ticket:
        """Raises: ConfigError for a job that there is not."""
        found = self.find(name)
        if found is None:
            raise ConfigError(f"There is no job {name!r:.60}.")
        return found

    def named(self, names: Sequence[str]) -> list[Ticket]:
        """The tickets of these names, of those that there are."""
        marks = ", ".join("?" * len(names)) or "NULL"
        return [ticket_of(row) for row in self._data.rows(f"SELECT * FROM jobs WHERE id IN ({marks})", names)]

    def job(self, name: str) -> Job:
        """The job itself. Raises: ConfigError where there is none, or it is damaged."""
        row = self._data.row("SELECT job FROM jobs WHERE id = ?", (name,))
        if row is None:
            raise ConfigError(f"There is no job {name!r:.60}.")
        return unpacked(row["job"], self._contents.text)

    def tickets(
        self,
        *,
        owner: str | None = None,
        client: str | None = None,
        states: Sequence[State] = (),
        source: str | None = None,
        most: int = 100,
    ) -> list[Ticket]:
        """Tickets, the latest first; waiting ones are in no particular order (`app.jobs.line` has that)."""
        wanted, values = ["1 = 1"], list[Any]()
        for name, value in (("owner", owner), ("client", client), ("source", source)):
            if value is not None:
                wanted.append(f"{name} = ?")
                values.append(value)
        if states:
            wanted.append(f"state IN ({', '.join('?' * len(states))})")
            values += states
        rows = self._data.rows(
            f"SELECT * FROM jobs WHERE {' AND '.join(wanted)} ORDER BY id DESC LIMIT ?", (*values, most)
        )
        return [ticket_of(row) for row in rows]

    def count(self, states: Sequence[State], owner: str | None = None) -> int:
        """How many jobs are in these states."""
        asked = f"state IN ({', '.join('?' * len(states))}) AND owner = coalesce(?, owner)"
        row = self._data.row(f"SELECT count(*) AS count FROM jobs WHERE {asked}", (*states, owner))
        return int(row["count"]) if row else 0

    def take(self) -> tuple[Ticket, Job] | None:
        """The next job, which is being drawn from now on; one that cannot be read has failed."""
        while (name := self._next()) is not None:
            try:
                return self.ticket(name), self.job(name)
            except DatabaseAway:
                return None  # it is put back when the database is there again
            except BlipdiffError as error:
                self.end(name, "failed", str(error))
        return None

    def _next(self) -> str | None:
        with suppress(DatabaseAway), self._data.changing():
            row = self._data.row(NEXT)
            if row is None:
                return None
            name = str(row["id"])
            self._data.change(
                "INSERT INTO served VALUES (?, (SELECT coalesce(max(turn), 0) + 1 FROM served)) "
                "ON CONFLICT (client) DO UPDATE SET turn = excluded.turn",
                (row["whose"],),
            )
            self._data.change(
                "UPDATE jobs SET state = 'drawing', started = ?, attempts = attempts + 1, step = 0 WHERE id = ?",
                (self._clock(), name),
            )
            self._drawers.took(name)
            return name
        return None

    def moved_on(self, name: str, step: int, steps: int) -> None:
        """Writes down how far a job is."""
        self._data.change("UPDATE jobs SET step = ?, steps = ? WHERE id = ?", (step, steps, name))

    @patiently
    def note(self, name: str, text: str) -> None:
        """Adds a sentence for whoever sent the job."""
        with self._data.changing():
            notices = [*self.ticket(name).notices, text]
            self._data.change("UPDATE jobs SET notices = ? WHERE id = ?", (json.dumps(notices), name))

    @patiently
    def end(self, name: str, state: State, error: str | None = None, *, seconds: float | None = None) -> Ticket:
        """A job is over; `seconds` is how long it took, where that says something of the next ones."""
        with self._data.changing():
            if not self._drawers.may_end(name):
                return self.ticket(name)
            self._data.change(
                "UPDATE jobs SET state = ?, error = ?, ended = ?, is_stopping = 0 WHERE id = ? AND state NOT IN "
                "('done', 'failed', 'cancelled')",
                (state, error, self._clock(), name),
            )
            if seconds is not None:
                one = self.ticket(name)
                self.pace.learn(one.task, one.model, seconds / max(1.0, self.cost(name)))
            self._forget_old()
            return self.ticket(name)

    def cancel(self, name: str) -> Ticket:
        """A waiting job is cancelled, one that is drawn is asked to stop; one that is over stays what it is."""
        with self._data.changing():
            now = self._clock()
            self._data.change(
                "UPDATE jobs SET state = 'cancelled', ended = ? WHERE id = ? AND state = 'waiting'", (now, name)
            )
            self._data.change("UPDATE jobs SET is_stopping = 1 WHERE id = ? AND state = 'drawing'", (name,))
            return self.ticket(name)

    def retry(self, name: str) -> Ticket:
        """A job that failed or was cancelled waits again, behind all others.

        Raises: ConfigError for one that has not.
        """
        with self._data.changing():
            if self.ticket(name).state not in ("failed", "cancelled"):
                raise ConfigError("Only a job that failed or was cancelled is tried again.")
            self._data.change(
                "UPDATE jobs SET state = 'waiting', started = NULL, ended = NULL, attempts = 0, error = NULL, "
                "notices = '[]', step = 0, is_stopping = 0, position = (SELECT max(position) + 1 FROM jobs) "
                "WHERE id = ?",
                (name,),
            )
            return self.ticket(name)

    def move(self, name: str, before: str | None) -> None:
        """Puts a waiting job before another one of its client, or behind all of its client's.

        Raises: ConfigError for jobs that do not wait, or are not one client's.
        """
        with self._data.changing():
            one, other = self.ticket(name), None if before is None else self.ticket(before)
            if one.state != "waiting" or (other is not None and other.state != "waiting"):
                raise ConfigError("Only jobs that wait have a place in the line.")
            if other is not None and (other.owner, other.client) != (one.owner, one.client):
                raise ConfigError("A job moves among those of its own client alone.")
            rows = self._data.rows(
                "SELECT id, position FROM jobs WHERE state = 'waiting' AND owner = ? AND client = ? ORDER BY position",
                (one.owner, one.client),
            )
            names = [str(row["id"]) for row in rows if row["id"] != name]
            names.insert(len(names) if before is None else names.index(before), name)
            for place, moved in zip([row["position"] for row in rows], names, strict=True):
                self._data.change("UPDATE jobs SET position = ? WHERE id = ?", (place, moved))

    def set_priority(self, name: str, priority: int) -> None:
        """Jobs of a higher priority go first, whoever's they are."""
        self._data.change("UPDATE jobs SET priority = ? WHERE id = ?", (priority, name))

    def put_back(self, name: str) -> None:
        """A job that was begun waits again, as if it had not been."""
        if not self._drawers.may_end(name):
            return
        self._data.change(
            "UPDATE jobs SET state = 'waiting', started = NULL, attempts = attempts - 1 "
            "WHERE id = ? AND state = 'drawing'",
            (name,),
        )

    def recover(self) -> list[str]:
        """Jobs that a process was drawing when it ended wait again, first of their client; call it before drawing.

        Of a shared queue, those of servers that are gone.

        One that ends the program again and again lets all others go first. Gives those that were begun too often,
        which have failed.
        """
        given_up = []
        with self._data.changing():
            drawing = {one.id: one for one in self.tickets(states=("drawing",), most=10**6)}
            for one in [drawing[name] for name in self._drawers.left(list(drawing))]:
                if one.is_stopping:
                    self.end(one.id, "cancelled")
                elif one.attempts >= MOST_ATTEMPTS:
                    self.end(one.id, "failed", f"{FAULT}ended {one.attempts} times while it was drawn.")
                    given_up.append(one.id)
                else:
                    self._data.change("UPDATE jobs SET state = 'waiting', started = NULL WHERE id = ?", (one.id,))
                    if one.attempts >= SUSPECT:
                        self.set_priority(one.id, _LOWEST - one.attempts)
        return given_up

    def waiting(self) -> list[tuple[Ticket, float]]:
        """All that wait, each with its cost, by priority and position."""
        rows = self._data.rows("SELECT * FROM jobs WHERE state = 'waiting' ORDER BY priority DESC, position")
        return [(ticket_of(row), float(row["cost"])) for row in rows]

    def turns(self) -> dict[str, int]:
        """When each client had its last turn, counted."""
        return {str(row["client"]): int(row["turn"]) for row in self._data.rows("SELECT * FROM served")}

    def cost(self, name: str) -> float:
        """Steps times pictures."""
        row = self._data.row("SELECT cost FROM jobs WHERE id = ?", (name,))
        return float(row["cost"]) if row else 0.0

    def close(self) -> None:
        """Lets go of the file, or of the database, which hears that this server ends."""
        if self.servers is not None:
            with suppress(DatabaseAway):
                self.servers.leave()
        self._data.close()

    def _forget_old(self) -> None:
        rows = self._data.rows(
            "SELECT id FROM jobs WHERE state IN ('done', 'failed', 'cancelled') ORDER BY id DESC LIMIT ? OFFSET ?",
            (_FORGOTTEN_AT_ONCE, _KEPT_ENDED),
        )
        for row in rows:
            self._data.change("DELETE FROM jobs WHERE id = ?", (row["id"],))
            for part in (self._keys, self._contents, self.groups, self._drawers):
                part.let_go(str(row["id"]))
