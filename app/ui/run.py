"""One run as the page sees it: the studio's events become views, and finished pictures become files."""

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from PIL import Image

from app.cli.files import check_writable
from blipdiff.filenames import short_name
from blipdiff.sampling.stopping import until_stopped
from pipelines.requests import GenerateRequest
from pipelines.results import Picture, save_new_picture
from pipelines.studio import Event, Notice, Progress, Reference, Studio

_PREVIEWS_PER_BATCH = 10
_PAUSE = 0.1  # seconds: a fast model makes more steps than a page can show


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """What there is to see at one moment of a run."""

    step: int = 0  # U-Net calls done; 0 while the subject and the words are read
    steps: int = 0
    seconds_left: float | None = None  # None before there is something to measure
    seeds: tuple[int, ...] = ()  # of the pictures being drawn
    previews: tuple[tuple[int, Image.Image], ...] | None = None  # (seed, picture); None: as they were
    finished: tuple[tuple[Path, int], ...] = ()  # (file, seed) of all that are saved so far
    notices: tuple[str, ...] = ()  # new sentences for the user
    was_stopped: bool = False


def views(
    studio: Studio,
    request: GenerateRequest,
    references: Sequence[Reference],
    folder: Path,
    *,
    is_stopped: Callable[[], bool] = lambda: False,
    clock: Callable[[], float] = time.monotonic,
) -> Generator[View]:
    """Draws the request's pictures into `folder`; `is_stopped` is asked after every step.

    Raises: BlipdiffError, at any view.
    """
    check_writable(folder)  # before the work, not after it
    view = View(seeds=request.seeds()[: request.batch], previews=())
    yield view
    subject = studio.subject(references, fit=request.fit)
    pace = _Pace(clock)
    events = studio.run(request, subject, preview_every=_preview_every(request.steps))
    with closing(cast("Generator[Event]", events)):
        for event in until_stopped(events, is_stopped):
            if isinstance(event, Notice):
                yield replace(view, notices=(event.text,))
            elif isinstance(event, Picture):
                view = replace(view, finished=(*view.finished, (_saved(event, folder), event.seed)))
                yield view
            else:
                view = _moved_on(view, event, pace.seconds_left(event))
                if pace.is_due(important=view.previews is not None or event.step == event.steps):
                    yield view
                view = replace(view, previews=None)
            if is_stopped():
                yield replace(view, was_stopped=True)
                return
    if len(view.finished) < request.count and is_stopped():  # within a step
        yield replace(view, was_stopped=True)


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
    shown = tuple(zip(event.seeds, event.previews, strict=True)) if event.previews else None
    if shown is None and event.seeds != view.seeds:
        shown = ()  # another batch begins: the frames are empty again
    return replace(
        view, step=event.step, steps=event.steps, seconds_left=seconds_left, seeds=event.seeds, previews=shown
    )


def _preview_every(steps: int) -> int:
    return max(1, round(steps / _PREVIEWS_PER_BATCH))


def _saved(picture: Picture, folder: Path) -> Path:
    return save_new_picture(picture, folder, f"{short_name(picture.request['category'])}-{picture.seed}")
