"""An artist whose jobs are drawn on whichever replica has room; the worker that asks it stays where the queue is."""

import logging
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any

from app.cluster.errors import TWICE, ClusterError, LostError
from app.cluster.passing import Failed, Report, Sent, received
from app.cluster.replica import Order
from app.jobs.artist import Told
from app.jobs.facts import Facts
from app.jobs.models import Models, called
from app.jobs.packing import packed
from blipdiff.sampling.stopping import Stopped
from pipelines.job import Job
from pipelines.task import Notice

AGAIN = "Whoever drew this is gone; it is drawn again on another device."
_SECONDS_TO_LOOK = 0.1  # whether a run is stopped, while nothing comes of it
_SECONDS_TO_END = 10.0  # for a replica to hear that it is
_SECONDS_TO_KNOW = 1.0  # for which it is taken for known which replicas live
_LOG = logging.getLogger("blipdiff.cluster")


class Known:
    """What all replicas have told of themselves, for as long as they live."""

    def __init__(self, living: Callable[[], set[str] | None]) -> None:
        """living: the names of the replicas that live, None where that cannot be told"""
        self._living = living
        self._reports: dict[str, Report] = {}
        self._facts: dict[str, Facts] = {}
        self._access = Lock()
        self._looked = -_SECONDS_TO_KNOW  # when it was asked last who lives

    def take(self, report: Report) -> None:
        """A replica tells what it holds."""
        with self._access:
            self._reports[report.replica] = report
            self._facts.update(report.facts)

    def facts(self, model: str) -> Facts | None:
        """What there is to tell of a model that was open somewhere."""
        return self._facts.get(model)

    def is_open(self, model: str) -> bool:
        """Whether a replica had it open when it was heard of last."""
        with self._access:
            return any(model in one.loaded for one in self._reports.values())

    def loaded(self) -> dict[str, Mapping[str, int]]:
        """Bytes of weights by model, the least recently used first, of each replica that lives."""
        now = time.monotonic()
        if now - self._looked > _SECONDS_TO_KNOW and (living := self._living()) is not None:
            with self._access:
                self._looked = now
                self._reports = {name: one for name, one in self._reports.items() if name in living}
        with self._access:
            return {name: self._reports[name].loaded for name in sorted(self._reports)}


class Away:
    """Sends a job to a replica; where that is lost in the middle, to another one, once."""

    def __init__(self, handle: Any, models: Models, known: Known, number: int, *, is_warm: bool) -> None:
        """handle: Serve's, for streams; number: of this artist among all; is_warm: whether a replica is kept for it"""
        self.models = models
        self._handle, self._known, self._number, self._is_warm = handle, known, number, is_warm

    @property
    def loaded(self) -> dict[str, int]:
        """As `Artist` says: what the replica of this number holds."""
        found = list(self._known.loaded().values())
        return dict(found[self._number]) if self._number < len(found) else {}

    def warm(self, is_stopped: Callable[[], bool]) -> None:
        """As `Artist` says, on a replica that is kept anyway."""
        if self._is_warm:
            for _ in self._heard(self._asked(self.models.names[0]).warm.remote(), is_stopped):
                pass

    def is_open(self, model: str) -> bool:
        """As `Artist` says."""
        name = self.models.named(model)
        return self._known.is_open(name) or self.models.ready(name) is not None

    def facts(self, model: str) -> Facts | None:
        """As `Artist` says."""
        name = self.models.named(model)
        if (known := self._known.facts(name)) is not None:
            return known
        studio = self.models.ready(name)
        return None if studio is None else Facts.of(studio)

    def drawn(self, job: Job, model: str, previews: int, is_stopped: Callable[[], bool]) -> Generator[Told, None, None]:
        """As `Artist` says."""
        text = packed(job)
        order = Order(text.text, text.contents, model, called(model, job.added), previews)
        try:
            yield from self._once(order, order.held, is_stopped)
            return
        except LostError as error:
            _LOG.info("A replica was lost: %s", error)
        if is_stopped():
            return
        yield Notice(AGAIN)
        try:
            yield from self._once(order, "", is_stopped)  # Serve still takes the lost one for the model's, for a while
        except LostError as error:
            raise ClusterError(TWICE) from error

    def _once(self, order: Order, held: str, is_stopped: Callable[[], bool]) -> Generator[Told, None, None]:
        asked = self._asked(held).draw.remote(order)
        with closing(self._heard(asked, is_stopped)) as items:
            yield from items

    def _asked(self, held: str) -> Any:
        return self._handle.options(stream=True, multiplexed_model_id=held)

    def _heard(self, response: Any, is_stopped: Callable[[], bool]) -> Generator[Told, None, None]:
        """What comes, until it ends, is stopped or is left. Raises: LostError, and what a run raises."""
        stream = _Stream(response)
        has_ended = False
        try:
            for item in stream.items(is_stopped):
                if isinstance(item, Report):
                    self._known.take(item)
                    for name in item.loaded:
                        self.models.troubles.pop(name, None)
                    self.models.troubles.update(item.troubles)
                elif isinstance(item, Failed):
                    raise item.error()
                else:
                    yield item
            has_ended = not is_stopped()
        except Stopped:
            return
        finally:
            if not has_ended:
                stream.stop()


class _Stream:
    """A replica's answer, read in a thread of its own, so that whoever waits can stop."""

    def __init__(self, response: Any) -> None:
        self._response = response
        self._items: SimpleQueue[Any] = SimpleQueue()
        self._thread = Thread(target=self._read, name="replica", daemon=True)
        self._thread.start()

    def items(self, is_stopped: Callable[[], bool]) -> Iterator[Report | Failed | Told]:
        """What comes; ends early once `is_stopped` says so. Raises: LostError, ClusterError."""
        while not is_stopped():
            try:
                item = self._items.get(timeout=_SECONDS_TO_LOOK)
            except Empty:
                continue
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item

    def stop(self) -> None:
        """Has the replica stop within its step, and does not wait for one that is lost."""
        self._response.cancel()
        self._thread.join(_SECONDS_TO_END)

    def _read(self) -> None:
        try:
            for item in self._response:
                self._items.put(_fetched(item))
            self._items.put(None)
        except BaseException as error:  # a thread's own end is told to nobody else
            self._items.put(_what(error))


def _fetched(item: Sent) -> Any:
    import ray

    return item if isinstance(item, Report | Failed) else received(item, ray.get)


def _what(error: BaseException) -> BaseException:
    """What an error of Ray's means for the run."""
    from ray import exceptions
    from ray.serve.exceptions import DeploymentUnavailableError, RequestCancelledError

    text = " ".join(str(error).split())[:300]
    if isinstance(error, RequestCancelledError | exceptions.TaskCancelledError):
        return Stopped()
    if isinstance(error, DeploymentUnavailableError):
        return ClusterError(f"The program finds no replica that draws: {text}")
    if isinstance(error, exceptions.RayTaskError):
        return ClusterError(f"The program has a fault on a replica: {type(error.cause).__name__}.")
    if isinstance(error, exceptions.RayError):
        return LostError(f"{type(error).__name__}: {text}")
    return ClusterError(f"The program lost its cluster: {type(error).__name__}: {text}")
