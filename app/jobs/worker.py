"""A worker: takes jobs from the queue, one after the other, has them drawn, and keeps and tells what comes of them."""

import logging
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from threading import Event, Thread

from app.jobs.artist import Artist, Begun, Moved, Told
from app.jobs.database import be_patient
from app.jobs.events import Broadcast, JobEvent
from app.jobs.history import History
from app.jobs.memory import TOO_LITTLE
from app.jobs.models import Models, free_memory
from app.jobs.queue import Queue
from app.jobs.tickets import FAULT, State, Ticket
from blipdiff.errors import BlipdiffError, OutputError, is_out_of_memory
from pipelines.job import Job
from pipelines.scores import TOGETHER
from pipelines.task import Notice, Result, Sheet

_SECONDS_TO_LOOK = 0.5  # where nothing says that a job has come
_SECONDS_TO_WARM = 10.0  # where neither a job has come nor anybody has woken the worker
_SECONDS_TO_WRITE = 1.0  # between two notes of how far a job is
_LOG = logging.getLogger("blipdiff.jobs")


@dataclass(slots=True)
class _Run:
    """A job that is being drawn: what came of it so far, since it was begun anew where it was."""

    ticket: Ticket
    began: float
    results: int = 0
    written: float = 0.0
    first: tuple[int, float] | None = None  # the first step pays for warming up, and is not measured
    told: set[str] = field(default_factory=set)  # results and notices, which are told once however often it is begun

    def begin(self) -> None:
        """It is drawn from its first picture on."""
        self.began, self.results, self.first = time.monotonic(), 0, None


class Worker:
    """Draws in a thread of its own, wherever its artist does."""

    def __init__(
        self,
        queue: Queue,
        history: History,
        broadcast: Broadcast,
        artist: Artist,
        *,
        has_come: Event | None = None,
        ended: Callable[[Ticket], object] = lambda _ticket: None,
        is_warmed: bool = False,
    ) -> None:
        """has_come: set when there may be a job; ended: told of each job that is over; is_warmed: the first model is
        opened before a job asks for it
        """
        self.artist = artist
        self.drawing: str | None = None
        self._queue, self._history, self._broadcast = queue, history, broadcast
        self._has_come, self._ended, self._is_warmed = has_come or Event(), ended, is_warmed
        self._is_closing = Event()
        self._stopped: str | None = None
        self._thread = Thread(target=self._work, name="worker", daemon=True)

    @property
    def models(self) -> Models:
        """Those of its artist."""
        return self.artist.models

    def start(self) -> None:
        """Begins to draw."""
        self._thread.start()

    def close(self, seconds: float = 120.0) -> None:
        """Ends after the step that is computed; its job waits for the next start."""
        self._is_closing.set()
        self._has_come.set()
        if self._thread.is_alive():
            self._thread.join(seconds)

    @property
    def is_alive(self) -> bool:
        """Whether it draws, or waits for jobs."""
        return self._thread.is_alive()

    def stop(self, job: str) -> None:
        """Stops this job where it is drawn, within its step."""
        self._stopped = job

    def _work(self) -> None:
        be_patient()
        if self._is_warmed:
            self._has_come.wait(_SECONDS_TO_WARM)  # whoever opens the page goes first
            if self._is_closing.is_set():
                return
            try:
                self.artist.warm(self._is_closing.is_set)
            except BlipdiffError as error:  # the jobs that ask for it are told
                _LOG.warning("The model %s cannot be opened: %s", self.models.names[0], error)
        while not self._is_closing.is_set():
            taken = self._queue.take()
            if taken is None:
                self._has_come.wait(_SECONDS_TO_LOOK)
                self._has_come.clear()
                continue
            try:
                self._draw(*taken)
            except Exception:  # a bug of ours or of a library's: the others' jobs go on
                _LOG.exception("The job %s ended the worker's turn.", taken[0].id)

    def _draw(self, ticket: Ticket, job: Job) -> None:
        self.drawing = ticket.id
        self._stopped = ticket.id if self._queue.ticket(ticket.id).is_stopping else None  # since it was taken
        self._broadcast.tell(JobEvent(ticket.id, "state", "drawing"))
        try:
            self._drawn(ticket, job)
        except OutputError as error:  # the disk is full, say: nothing that whoever asked can help
            self._over(ticket, "failed", f"{FAULT}cannot keep what it drew: {error}")
        except BlipdiffError as error:
            self._over(ticket, "failed", TOO_LITTLE if is_out_of_memory(error) else str(error))
        except Exception as error:
            if is_out_of_memory(error):
                self._over(ticket, "failed", TOO_LITTLE)
                free_memory()
            else:
                _LOG.exception("The job %s failed.", ticket.id)
                self._over(ticket, "failed", f"{FAULT}has a fault here: {type(error).__name__}.")
        finally:
            self.drawing = None

    def _drawn(self, ticket: Ticket, job: Job) -> None:
        found = _Run(ticket, time.monotonic())
        with closing(self.artist.drawn(job, ticket.model, ticket.previews, self._is_stopped)) as events:
            for event in events:
                self._take(found, event)
                if self._is_stopped():
                    break
        if self._is_called_off(ticket):
            self._over(ticket, "cancelled")
        elif self._is_closing.is_set():
            self._queue.put_back(ticket.id)
        else:
            self._over(ticket, "done", seconds=time.monotonic() - found.began)

    def _is_stopped(self) -> bool:
        return self._stopped == self.drawing or self._is_closing.is_set()

    def _is_called_off(self, ticket: Ticket) -> bool:
        return self._stopped == ticket.id

    def _take(self, found: _Run, event: Told) -> None:
        name = found.ticket.id
        if isinstance(event, Begun):
            found.begin()
        elif isinstance(event, Notice):
            if event.text not in found.told:
                found.told.add(event.text)
                self._say(found.ticket, event.text)
        elif isinstance(event, Moved):
            self._tell_progress(found, event)
        elif isinstance(event, Result):
            entry = self._history.add(event, name, found.results, found.ticket.owner)
            found.results += 1
            if entry.id not in found.told:
                found.told.add(entry.id)
                worth = float(event.facts.get(TOGETHER, 0.0))
                self._broadcast.tell(JobEvent(name, "result", event.label, entry.id, worth=worth))
        elif isinstance(event, Sheet):
            kept = self._history.add_sheet(event, name, found.ticket.owner)
            self._broadcast.tell(JobEvent(name, "sheet", event.kind, kept))

    def _tell_progress(self, found: _Run, event: Moved) -> None:
        name, left = found.ticket.id, None
        now = time.monotonic()
        if found.first is None:
            found.first = (event.step, now)
        else:
            step, since = found.first
            left = (now - since) / max(1, event.step - step) * (event.steps - event.step)
        if now - found.written > _SECONDS_TO_WRITE:
            self._queue.moved_on(name, event.step, event.steps)
            found.written = now
        told = JobEvent(name, "progress", step=event.step, steps=event.steps, seconds_left=left)
        previews = dict(zip(event.seeds, event.previews, strict=False))
        self._broadcast.tell(replace(told, seeds=event.seeds, previews=previews))

    def _say(self, ticket: Ticket, text: str) -> None:
        self._queue.note(ticket.id, text)
        self._broadcast.tell(JobEvent(ticket.id, "notice", text))

    def _over(self, ticket: Ticket, state: State, error: str | None = None, *, seconds: float | None = None) -> None:
        ended = self._queue.end(ticket.id, state, error, seconds=seconds)
        self._broadcast.tell(JobEvent(ticket.id, "state", state, error=error))
        self._ended(ended)
