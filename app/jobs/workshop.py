"""The workshop: one queue, its workers and the history of a folder, for every face that asks for pictures."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from app.jobs.artist import Artist, Here
from app.jobs.engines import Engines
from app.jobs.events import Broadcast, JobEvent, Listener
from app.jobs.facts import Facts
from app.jobs.folder_lock import locked
from app.jobs.groups import with_prompts
from app.jobs.history import History, Search
from app.jobs.line import standings
from app.jobs.models import Models
from app.jobs.own_files import OwnFiles
from app.jobs.queue import Queue
from app.jobs.servers import name_of
from app.jobs.stores import store_at
from app.jobs.tickets import ENDED, Asked, Sender, Standing, Ticket
from app.jobs.uploads import Uploads
from app.jobs.watch import Watch
from app.jobs.worker import Worker
from blipdiff.errors import ConfigError
from pipelines.job import Job
from pipelines.subject_library import SubjectLibrary

if TYPE_CHECKING:  # which loads torch
    from pipelines.studio import Studio

QUEUE = "queue.sqlite"


@dataclass(frozen=True, slots=True)
class Machine:
    """What draws here.

    models: the names that may be asked for; opened: opens one on a device, with the LoRAs and embeddings that shall be
    on it where there are some; memory: bytes of weights that each device keeps at the same time, None for no limit;
    is_warmed: whether the first model is opened before a job asks for it; shortage: says in a sentence that one will
    not fit on a device; files: those that people bring, by default in the workshop's own folder; engines: those that
    answer questions beside the bundled one, as `Engines` reads them; artists: what draws in place of these devices,
    which then serve only what the faces compute themselves
    """

    models: Sequence[str]
    opened: "Callable[..., Studio]"
    devices: Sequence[str] = ("auto",)
    memory: int | None = None
    is_warmed: bool = False
    shortage: Callable[[str, str], str | None] = lambda _name, _device: None
    files: OwnFiles | None = None
    engines: str = ""
    artists: "Callable[[Models], Sequence[Artist]] | None" = None


class Workshop:
    """Takes jobs, draws them and keeps what comes of them.

    space: bytes of pictures that are kept, None for no limit; with `results`, of those that the folder keeps
    """

    def __init__(
        self,
        folder: Path,
        machine: Machine,
        *,
        library: Path,
        space: int | None = None,
        database: str | None = None,
        results: str | None = None,
    ) -> None:
        """database: the URL of one that several servers share; results: a folder or bucket that all of them see

        Raises: OutputError when the folder cannot be used, or another program draws in it; ConfigError for a database
        or a place of results that cannot be used, MissingDependencyError without their packages.
        """
        if database is not None and results is None:
            raise ConfigError(
                "Servers that share a database name a place for their pictures that all of them see: --results FOLDER, "
                "or --results s3://BUCKET/FOLDER."
            )
        self.folder = folder
        store = None if results is None else store_at(results)
        self._lock = locked(folder)
        try:
            self.queue = Queue(database or folder / QUEUE, server=name_of(folder) if database else "")
            self.history = History(folder, space, database=database, store=store)
        except BaseException:
            self._unlock()
            raise
        self.library = SubjectLibrary(library)
        self.uploads = Uploads(folder / "uploads")
        self.engines = Engines(machine.engines)
        self.files = machine.files or OwnFiles([folder / "files"])
        self.broadcast = Broadcast()
        self.told: list[Callable[[Ticket], object]] = []  # who hears of every job that is over
        self._has_come = Event()
        self.workers = [self._worker(machine, artist) for artist in self._artists(machine)]
        self._watch = self._watching()
        for model in self.files.models():
            self.offer(model)

    def start(self) -> list[str]:
        """Begins to draw, first what was begun before; gives the jobs that were begun too often."""
        given_up = self.queue.recover()
        for worker in self.workers:
            worker.start()
        if self._watch is not None:
            self._watch.start()
        return given_up

    def close(self) -> None:
        """Ends after the step that is computed; what waits, and what is drawn, goes on at the next start."""
        for data in (self.queue.data, self.history.data):
            data.hurry()
        for worker in self.workers:
            worker.close()
        if self._watch is not None:
            self._watch.close()
        self.queue.close()
        self.history.close()
        self._unlock()

    @property
    def models(self) -> Models:
        """The models of the first device."""
        return self.workers[0].models

    def facts(self, model: str = "") -> Facts | None:
        """What there is to tell of a model; None while it is not open. Raises: ConfigError for one not offered."""
        return self.workers[0].artist.facts(model)

    def is_open(self, model: str) -> bool:
        """Whether a model is open where it would draw. Raises: ConfigError for one that is not offered."""
        return any(worker.artist.is_open(model) for worker in self.workers)

    def offer(self, model: str) -> None:
        """One more model may be asked for, on every device."""
        for worker in self.workers:
            worker.models.offer(model)

    def withdraw(self, model: str) -> None:
        """A model may no longer be asked for. Raises: ConfigError for the one that draws where nobody says which."""
        for worker in self.workers:
            worker.models.withdraw(model)

    def submit(self, job: Job, sender: Sender, asked: Asked | None = None) -> Ticket:
        """Puts a job into the line, once everything that can be wrong without a model is checked.

        Raises: BlipdiffError for a job that cannot be drawn, KeyTaken for a key that stands for another one.
        """
        asked = asked or Asked()
        model = self.models.named(asked.model)
        job = self.files.completed(job)
        job.opened()
        ticket = self.queue.add(job, sender, replace(asked, model=model))
        self.broadcast.tell(JobEvent(ticket.id, "state", ticket.state))
        self._has_come.set()
        return ticket

    def submit_all(self, job: Job, prompts: Sequence[str], sender: Sender, asked: Asked | None = None) -> list[Ticket]:
        """Puts a job into the line once for each prompt, all or none; the first one's name is the group's.

        Raises: as `submit`, and ConfigError for no prompt or too many.
        """
        asked = asked or Asked()
        jobs, model = with_prompts(job, prompts), self.models.named(asked.model)
        first = jobs[0].opened()
        for one in jobs[1:]:
            replace(one, inputs=first.inputs).opened()
        jobs = [self.files.completed(one) for one in jobs]
        tickets = self.queue.add_all(jobs, sender, replace(asked, model=model))
        for ticket in tickets:
            self.broadcast.tell(JobEvent(ticket.id, "state", ticket.state))
        self._has_come.set()
        return tickets

    def cancel(self, name: str) -> Ticket:
        """Cancels a waiting job, or stops one that is drawn within its step.

        Raises: ConfigError where there is none.
        """
        ticket = self.queue.cancel(name)
        if ticket.is_stopping:
            for worker in self.workers:
                worker.stop(name)
        elif ticket.state == "cancelled":
            self.broadcast.tell(JobEvent(name, "state", "cancelled"))
            self._over(ticket)
        return ticket

    def retry(self, name: str) -> Ticket:
        """A job that failed or was cancelled waits again. Raises: ConfigError for one that has not."""
        ticket = self.queue.retry(name)
        self.broadcast.tell(JobEvent(name, "state", "waiting"))
        self._has_come.set()
        return ticket

    def move(self, name: str, before: str | None) -> None:
        """Puts a waiting job before another one of its client. Raises: ConfigError, as `Queue.move`."""
        self.queue.move(name, before)
        self.broadcast.tell(JobEvent(name, "state", "waiting"))

    def wake(self) -> None:
        """Has the workers open their first model now, where they shall before a job asks for it."""
        self._has_come.set()

    def standings(self) -> dict[str, Standing]:
        """Where each waiting or drawing job stands."""
        return standings(self.queue, len(self.workers))

    def results(self, ticket: Ticket) -> list[str]:
        """The names of a job's pictures so far, in their order."""
        found = self.history.search(Search(job=ticket.id), most=10_000)
        return [entry.id for entry in reversed(found)]

    def follow(self, name: str) -> Listener:
        """A listener who first hears how the job stands: its notices, results and previews so far.

        Raises: ConfigError where there is none.
        """
        listener = self.broadcast.listen(name)
        try:
            ticket = self.queue.ticket(name)
        except ConfigError:
            listener.close()
            raise
        events = [JobEvent(name, "notice", text) for text in ticket.notices]
        events += [JobEvent(name, "result", name=result) for result in self.results(ticket)]
        events += [JobEvent(name, "sheet", name=sheet) for sheet in self.history.sheets(name, ticket.owner)]
        state = JobEvent(name, "state", ticket.state, error=ticket.error)
        listener.begin([*events, state] if ticket.state in ENDED else [state, *events])
        return listener

    def wait(self, name: str, seconds: float | None = None) -> Ticket:
        """The ticket once its job is over, or as it is after so many seconds."""
        listener = self.follow(name)
        try:
            while (event := listener.next(seconds)) is not None and not event.ends:
                pass
        finally:
            listener.close()
        return self.queue.ticket(name)

    def _artists(self, machine: Machine) -> Sequence[Artist]:
        if machine.artists is not None:
            return machine.artists(_models(machine, machine.devices[0]))
        return [Here(_models(machine, device), self.files.placed) for device in machine.devices]

    def _worker(self, machine: Machine, artist: Artist) -> Worker:
        return Worker(
            self.queue,
            self.history,
            self.broadcast,
            artist,
            has_come=self._has_come,
            ended=self._over,
            is_warmed=machine.is_warmed,
        )

    def _watching(self) -> Watch | None:
        """What looks at the other servers of a shared queue."""
        if self.queue.servers is None:
            return None

        def stop(name: str) -> None:
            for worker in self.workers:
                worker.stop(name)

        return Watch(
            self.queue,
            self.queue.servers,
            self.history,
            self.broadcast,
            drawing=lambda: {worker.drawing for worker in self.workers if worker.drawing is not None},
            stop=stop,
        )

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _over(self, ticket: Ticket) -> None:
        for tell in self.told:
            tell(ticket)


def _models(machine: Machine, device: str) -> Models:
    return Models(
        machine.models,
        lambda name, *added: machine.opened(name, device, *added),
        machine.memory,
        lambda name: machine.shortage(name, device),
    )
