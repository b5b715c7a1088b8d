"""A job's run as the page sees it: its events become views, and what is finished becomes files."""

import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

from PIL import Image

from app.outputs import check_writable, save_result, save_sheet
from blipdiff.sampling.stopping import until_stopped
from pipelines.job import Job, run
from pipelines.studio import Studio
from pipelines.task import Event, Notice, Progress, Result, Sheet

_PREVIEWS_PER_BATCH = 10
_PAUSE = 0.1  # seconds: a fast model makes more steps than a page can show


@dataclass(frozen=True, slots=True, eq=False)
class Finished:
    """A result and its files: "path", and those beside it by what they are; none where nothing is saved."""

    result: Result
    paths: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """What there is to see at one moment of a run."""

    step: int = 0  # U-Net calls done; 0 while the inputs are read
    steps: int = 0
    seconds_left: float | None = None  # None before there is something to measure
    seeds: tuple[int, ...] = ()  # of the pictures being drawn
    previews: tuple[Image.Image, ...] | None = None  # of those seeds; empty: not yet; None: as they were
    finished: tuple[Finished, ...] = ()  # all so far
    sheets: tuple[tuple[str, Path], ...] = ()  # (kind, file) of all so far
    notices: tuple[str, ...] = ()  # new sentences for the user
    was_stopped: bool = False


def views(
    studio: Studio,
    job: Job,
    folder: Path | None,
    *,
    is_stopped: Callable[[], bool] = lambda: False,
    clock: Callable[[], float] = time.monotonic,
) -> Generator[View]:
    """Runs the job and saves its results in `folder`; `is_stopped` is asked within every step.

    folder: None for a trial: nothing is saved, and its steps show no previews

    Raises: BlipdiffError, at any view.
    """
    if folder is not None:
        check_writable(folder)  # before the work, not after it
    view = View(seeds=_first_seeds(job), previews=())
    yield view
    pace, is_told = _Pace(clock), True
    events = run(studio, job, preview_every=0 if folder is None else _preview_every(job))
    with closing(cast("Generator[Event]", events)):
        for event in until_stopped(events, is_stopped):
            if isinstance(event, Notice):
                yield replace(view, notices=(event.text,))
            elif isinstance(event, Progress):
                view = _moved_on(view, event, pace.seconds_left(event))
                if pace.is_due(important=view.previews is not None or event.step == event.steps):
                    yield view
                view = replace(view, previews=None)
            else:
                view = _with_more(view, event, folder)
                is_told = pace.is_due(important=False)  # many may come at once
                if is_told:
                    yield view
            if is_stopped():
                yield replace(view, was_stopped=True)
                return
    if is_stopped():  # within a step
        yield replace(view, was_stopped=True)
    elif not is_told:
        yield view


class _Pace:
    """How fast the run is, and how often it is worth telling."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._first: tuple[int, float] | None = None  # the first step pays for warming up, and is not measured
        self._told = -_PAUSE

    def seconds_left(self, event: Progress) -> float | None:
        now = self._clock()
        if self._first is None:
            self._first = (event.step, now)
            return None
        step, since = self._first
        return (now - since) / (event.step - step) * (event.steps - event.step)

    def is_due(self, *, important: bool) -> bool:
        now = self._clock()
        if not important and now - self._told < _PAUSE:
            return False
        self._told = now
        return True


def _moved_on(view: View, event: Progress, seconds_left: float | None) -> View:
    shown = event.previews or (() if event.seeds != view.seeds else None)  # of another batch: the frames are empty
    return replace(
        view, step=event.step, steps=event.steps, seconds_left=seconds_left, seeds=event.seeds, previews=shown
    )


def _with_more(view: View, event: Result | Sheet, folder: Path | None) -> View:
    if isinstance(event, Result):
        one = Finished(event, {} if folder is None else save_result(event, folder))
        return replace(view, finished=(*view.finished, one))
    return view if folder is None else replace(view, sheets=(*view.sheets, (event.kind, save_sheet(event, folder))))


def _first_seeds(job: Job) -> tuple[int, ...]:
    """Of the pictures that are drawn first, for a request that has seeds."""
    request = job.request
    return tuple(request.seeds()[: request.batch]) if hasattr(request, "seeds") else ()


def _preview_every(job: Job) -> int:
    steps = getattr(job.request, "steps", None)
    return 0 if steps is None else max(1, round(steps / _PREVIEWS_PER_BATCH))
