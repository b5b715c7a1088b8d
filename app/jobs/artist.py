"""Where a worker's jobs are drawn: what it asks for, and the answer of this process, with the models of one device.

Another place (`app.cluster`) answers in the same words; the worker knows of none.
"""

import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeAlias, cast

from app.jobs.facts import Facts
from app.jobs.memory import halved
from app.jobs.models import Models, free_memory
from app.jobs.previews import PreviewBudget, shown
from blipdiff.errors import BlipdiffError, OutOfMemoryError, is_out_of_memory
from blipdiff.sampling.stopping import until_stopped
from pipelines.job import Job, run
from pipelines.requests import likely_steps
from pipelines.task import Notice, Progress, Result, Sheet


@dataclass(frozen=True, slots=True)
class Begun:
    """The model is open, and the job is drawn from its first picture on: what came of it before is drawn again."""


@dataclass(frozen=True, slots=True)
class Moved:
    """A U-Net call is done; `previews` are JPEG files in the order of `seeds`, where some are shown."""

    step: int  # of the whole job, from 1
    steps: int
    seeds: tuple[int, ...]
    previews: tuple[bytes, ...] = ()


Told: TypeAlias = Begun | Notice | Moved | Result | Sheet


class Artist(Protocol):
    """What draws a worker's jobs, one at a time."""

    @property
    def models(self) -> Models:
        """Those that may be asked for, and that are open where the workshop is."""

    @property
    def loaded(self) -> dict[str, int]:
        """Bytes of weights of the models that are open where it draws."""

    def warm(self, is_stopped: Callable[[], bool]) -> None:
        """Opens the first model, or has it opened and waits no longer than `is_stopped` says.

        Raises: what opening it raises.
        """

    def is_open(self, model: str) -> bool:
        """Whether the model is open where it draws, as far as that is known. Raises: as `Models.named`."""

    def facts(self, model: str) -> Facts | None:
        """What there is to tell of a model, None where it is not open. Raises: as `Models.named`."""

    def drawn(self, job: Job, model: str, previews: int, is_stopped: Callable[[], bool]) -> Generator[Told, None, None]:
        """What comes of a job; it ends, within a step, once `is_stopped` says so.

        previews: that are shown of a run whatever they cost; 0: none at all

        Raises: what drawing it raises.
        """


class Here:
    """Draws in this process, with the models of one device."""

    def __init__(self, models: Models, placed: Callable[[Job], Job] = lambda job: job) -> None:
        """placed: finds the files that a job names"""
        self.models = models
        self._placed = placed
        self._previews = PreviewBudget()

    @property
    def loaded(self) -> dict[str, int]:
        """As `Artist` says."""
        return self.models.loaded

    def warm(self, is_stopped: Callable[[], bool]) -> None:
        """As `Artist` says."""
        if is_stopped():
            return
        self.models.get("")

    def is_open(self, model: str) -> bool:
        """As `Artist` says."""
        return self.models.ready(model) is not None

    def facts(self, model: str) -> Facts | None:
        """As `Artist` says."""
        studio = self.models.ready(model)
        return None if studio is None else Facts.of(studio)

    def drawn(self, job: Job, model: str, previews: int, is_stopped: Callable[[], bool]) -> Generator[Told, None, None]:
        """As `Artist` says; where memory ends, without other models, then with half the batch."""
        job = self._placed(job)
        while True:
            notice = None
            try:
                yield from self._once(job, model, previews, is_stopped)
                return
            except OutOfMemoryError:  # of a task that has halved its batches itself
                raise
            except (BlipdiffError, MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                if not self.models.keep_only(model, job.added):
                    less = halved(job)
                    if less is None:
                        raise
                    job, text = less, f"{less.request.batch} at a time are tried."
                    notice = Notice(f"There is too little memory for this batch; {text}")
            free_memory()  # here, where the error no longer holds what was computed
            if notice is not None:
                yield notice

    def _once(self, job: Job, model: str, previews: int, is_stopped: Callable[[], bool]) -> Generator[Told, None, None]:
        if (warning := self.models.warning(model)) is not None:
            yield Notice(warning)
        studio = self.models.get(model, job.added)
        yield Begun()
        request = job.request
        rows = min(int(getattr(request, "batch", 1)), int(getattr(request, "count", 1)))
        steps = likely_steps(studio.resolved(request))
        every = self._previews.every(model, rows, steps, previews) if previews > 0 else 0
        studio.make_room = partial(self.models.keep_only, model, job.added)
        seeds, last = tuple[int, ...](), 0.0
        events = cast("Any", run(studio, job, preview_every=every))
        with closing(events):
            for event in until_stopped(events, is_stopped):
                if not isinstance(event, Progress):
                    yield event
                    continue
                files = tuple(shown(picture) for picture in event.previews)
                now = time.monotonic()
                if event.seeds == seeds:
                    self._previews.saw(model, len(seeds), now - last, shown=bool(files))
                seeds, last = event.seeds, now
                yield Moved(event.step, event.steps, event.seeds, files)
