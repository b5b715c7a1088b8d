"""What a server of a shared queue looks at all the time: that it is known to live, that jobs of servers that are gone
are drawn, that it stops what another one was asked to stop, and that who listens here hears of jobs drawn elsewhere."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from threading import Event, Thread

from app.jobs.agreeing import stamp
from app.jobs.database import DatabaseAway
from app.jobs.events import Broadcast, JobEvent
from app.jobs.history import History, Search
from app.jobs.queue import Queue
from app.jobs.servers import Servers
from app.jobs.tickets import Ticket
from blipdiff.errors import BlipdiffError

_SECONDS_BETWEEN = 0.5
_AT_ONCE = 500
_EVERY = 4  # looks, at what changed in the history and whose server is gone
_MOST_UNCLAIMED = 40  # looks: opening a large job takes a while
_LOG = logging.getLogger("blipdiff.jobs")


@dataclass(slots=True)
class _Seen:
    """What was told of a job that another server draws."""

    state: str = ""
    step: int = 0
    notices: int = 0
    told: set[str] = field(default_factory=set)


class Watch:
    """A thread that looks.

    drawing: the jobs that this process draws; stop: stops one of them
    """

    def __init__(
        self,
        queue: Queue,
        servers: Servers,
        history: History,
        broadcast: Broadcast,
        *,
        drawing: Callable[[], set[str]],
        stop: Callable[[str], object],
    ) -> None:
        self._queue, self._servers, self._history, self._broadcast = queue, servers, history, broadcast
        self._drawing, self._stop = drawing, stop
        self._seen: dict[str, _Seen] = {}
        self._over = set[str]()  # whose end was told, while somebody still listens to them
        self._unclaimed: dict[str, int] = {}  # looks at which nobody drew what this server had taken
        self._changes = ""
        self._is_ending = Event()
        self._thread = Thread(target=self._work, name="watch", daemon=True)
        broadcast.hooks.append(self._hear)

    def start(self) -> None:
        """Begins to look; every job that waits or is drawn is looked at until it is over."""
        for one in self._queue.tickets(states=("waiting", "drawing"), most=10**6):
            self._seen[one.id] = _Seen(one.state, one.step, len(one.notices))
        self._thread.start()

    def close(self) -> None:
        """Looks no more."""
        self._is_ending.set()
        if self._thread.is_alive():
            self._thread.join(30)

    def look(self, turn: int = 0) -> None:
        """Looks once. Raises: BlipdiffError where the database or the store is away."""
        self._servers.beat()
        self._look_at_own()
        for ticket in self._others():
            self._tell(ticket)
        if turn % _EVERY == 0:
            self._queue.recover()
            self._look_at_history()

    def _work(self) -> None:
        turn, is_away = 0, False
        while not self._is_ending.wait(_SECONDS_BETWEEN):
            try:
                self.look(turn)
                turn, is_away = turn + 1, False
            except BlipdiffError as error:
                if not is_away:
                    _LOG.warning("%s%s", error, " Jobs wait for it." if isinstance(error, DatabaseAway) else "")
                is_away = True
            except Exception:  # a fault of ours or of a library's: the next look may go well
                _LOG.exception("Looking at the other servers failed.")

    def _look_at_own(self) -> None:
        """Stops what was asked to stop elsewhere; what was taken in vain, for the answer was lost, waits again."""
        mine, drawing = set(self._servers.mine()), self._drawing()
        for name in mine & drawing:
            if self._queue.ticket(name).is_stopping:
                self._stop(name)
        idle = mine - drawing
        self._unclaimed = {name: self._unclaimed.get(name, 0) + 1 for name in idle}
        for name, looks in self._unclaimed.items():
            if looks > _MOST_UNCLAIMED and name not in self._drawing():
                self._queue.put_back(name)

    def _hear(self, event: JobEvent) -> None:
        """What this process tells of jobs is not told again; called by whichever thread tells it."""
        if event.kind == "state" and event.ends:
            self._seen.pop(event.job, None)
        elif event.kind == "state":
            known = self._seen.get(event.job)
            if known is None or known.state != event.text:
                self._seen[event.job] = _Seen(event.text)

    def _others(self) -> Iterator[Ticket]:
        """The jobs that are looked at and not drawn by this process."""
        listened = self._broadcast.listened()
        self._over &= set(listened)
        names = [name for name in dict.fromkeys((*list(self._seen), *listened)) if name not in self._over]
        for first in range(0, len(names), _AT_ONCE):
            tickets = self._queue.named(self._changed(names[first : first + _AT_ONCE]))
            elsewhere = self._servers.elsewhere([one.id for one in tickets if one.state != "waiting"])
            for ticket in tickets:
                was_never_drawn = ticket.state == "cancelled" and ticket.started is None
                if ticket.state == "waiting" or was_never_drawn or ticket.id in elsewhere:
                    yield ticket

    def _changed(self, names: list[str]) -> list[str]:
        """Those of some jobs that do not simply wait as they did: most of a long line do."""
        marks = ", ".join("?" * len(names))
        rows = self._queue.data.rows(f"SELECT id, state FROM jobs WHERE id IN ({marks})", names)
        known = {name: seen.state for name, seen in list(self._seen.items())}
        return [str(row["id"]) for row in rows if (row["state"], known.get(row["id"])) != ("waiting", "waiting")]

    def _tell(self, ticket: Ticket) -> None:
        """Tells what is new of a job."""
        name, seen = ticket.id, self._seen.setdefault(ticket.id, _Seen())
        before, seen.state = seen.state, ticket.state
        if before != ticket.state and not ticket.has_ended and (before or ticket.state != "waiting"):
            self._broadcast.tell(JobEvent(name, "state", ticket.state))
        if ticket.state == "waiting":
            seen.step, seen.notices = 0, 0
            seen.told.clear()
            return
        for text in ticket.notices[seen.notices :]:
            self._broadcast.tell(JobEvent(name, "notice", text), once=True)
        seen.notices = len(ticket.notices)
        found = [entry.id for entry in reversed(self._history.search(Search(job=name), most=10_000))]
        for result in [one for one in found if one not in seen.told]:
            self._broadcast.tell(JobEvent(name, "result", name=result), once=True)
        seen.told.update(found)
        if ticket.has_ended:
            for sheet in self._history.sheets(name, ticket.owner):
                self._broadcast.tell(JobEvent(name, "sheet", name=sheet), once=True)
            self._over.add(name)
            self._broadcast.tell(JobEvent(name, "state", ticket.state, error=ticket.error))
        elif ticket.steps and ticket.step != seen.step:
            seen.step = ticket.step
            self._broadcast.tell(JobEvent(name, "progress", step=ticket.step, steps=ticket.steps))

    def _look_at_history(self) -> None:
        """Pages show anew what other servers added or removed."""
        changes = stamp(self._history.data)
        if self._changes not in ("", changes):
            self._history.changes += 1
        self._changes = changes
