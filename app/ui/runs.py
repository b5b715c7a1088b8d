"""The runs of a tab: a click becomes a job in the queue, the job views, and views what the page shows."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import gradio as gr

from app.outputs import PICTURE
from app.ui import markup
from app.ui.events import BUSY, preview_of
from app.ui.files import readable_settings, served, without_folder
from app.ui.notices import bug, notice
from app.ui.orders import Order, Orders
from app.ui.views import Finished, View, views
from blipdiff.errors import BlipdiffError
from pipelines.job import Job
from pipelines.metadata import read_metadata
from pipelines.studio import Studio

Changes: TypeAlias = dict[Any, Any]

_UNCHANGED: Changes = gr.skip()
_MOST_PICTURES = 64  # of one visit; the files of older ones stay where they are


class Seen(NamedTuple):
    """A picture in the gallery: its copy for the browser, which nobody moves, what stands under it, its seed."""

    path: str
    caption: str
    seed: int


@dataclass(frozen=True, slots=True)
class Parts:
    """Every component that a run changes, and what the page remembers of it during one visit."""

    status: Any
    cancel: Any
    stage: Any  # pictures being drawn
    gallery: Any  # pictures that are done
    details: Any  # of the selected one
    metadata: Any
    download: Any
    pictures: Any  # those of the gallery, the newest first
    chosen: Any  # the one of them whose details are shown, or None

    @property
    def shown(self) -> list[Any]:
        """All of them, for the outputs of a run."""
        return [
            self.status, self.cancel, self.stage, self.gallery, self.pictures, self.details, self.metadata,
            self.download, self.chosen,
        ]  # fmt: skip


def picture_alone(finished: Finished) -> list[Seen]:
    """What the gallery shows of a result: its picture."""
    seed = finished.result.picture.seed
    return [Seen(served(finished.paths[PICTURE]), finished.result.label or f"seed {seed}", seed)]


class Runs:
    """The handlers of one tab, on one studio, one output folder and one queue.

    tiles: what the gallery shows of a result; show: what else on the tab a view changes, where it has new results
    """

    def __init__(
        self,
        tab: str,
        studio: Studio,
        output: Path,
        orders: Orders,
        on: Parts,
        *,
        welcome: str = "",
        tiles: Callable[[Finished], list[Seen]] = picture_alone,
        show: Callable[[Job, View], Changes] = lambda _job, _view: {},
    ) -> None:
        self._tab, self._studio, self._output, self._orders, self._on = tab, studio, output, orders, on
        self._welcome, self._tiles, self._show = welcome, tiles, show

    def ask(self, visit: gr.Request, pictures: Sequence[Seen], asked: Callable[[], Job]) -> tuple[Changes, Job | None]:
        """Checks what was asked for, and puts it in the queue; `draw` draws it. None where nothing was put there."""
        try:
            job = asked()
            job.opened()
        except BlipdiffError as error:
            return self._mended(error, pictures), None
        if not self._orders.place(_name(visit), Order(job, self._tab)):
            notice(BUSY)
            return _UNCHANGED, None
        self._orders.call_off(preview_of(_name(visit)))
        waiting = markup.progress("Waiting for the model", None, 1)
        return {self._on.status: waiting, self._on.cancel: gr.Button(variant="stop")}, job

    def draw(self, visit: gr.Request, older: Sequence[Seen]) -> Iterator[Changes]:
        """Draws what the tab asked for last. It alone tells how far it is, so that nothing overtakes its end."""
        order = self._orders.begin(_name(visit), self._tab)
        if order is None:
            yield _UNCHANGED
            return
        try:
            last = yield from self._drawn(order, older)
        except BlipdiffError as error:
            last = self._mended(error, older)
        except Exception as error:
            self._orders.end(_name(visit))
            yield self.at_rest(bug(error), "bad", older)
            raise
        finally:
            self._orders.end(_name(visit))
        yield last

    def trial(self, visit: gr.Request, job: Job, shown: Callable[[View], Changes]) -> Iterator[Changes]:
        """Draws a job in passing, saves nothing, and makes way for what is asked for by a click."""
        name, order = preview_of(_name(visit)), Order(job, self._tab)
        if not self._orders.place(name, order):
            yield _UNCHANGED
            return
        self._orders.begin(name, self._tab)
        try:
            with closing(views(self._studio, job, None, is_stopped=order.called_off.is_set)) as seen:
                for view in seen:
                    yield {self._on.status: _how_far(view)} | shown(view)
            text, kind = f"A preview in {job.request.steps} steps.", "plain"
        except BlipdiffError as error:
            text, kind = without_folder(str(error)), "bad"
        finally:
            self._orders.end(name)
        yield _UNCHANGED if order.called_off.is_set() else {self._on.status: markup.message(text, kind)}

    def cancel(self, visit: gr.Request, pictures: Sequence[Seen]) -> Changes:
        """Calls the visit's order off; a run that is going on tells its end itself."""
        trial = self._orders.call_off(preview_of(_name(visit)))
        place = self._orders.call_off(_name(visit))
        if place == "drawing":  # its own last word must not be overtaken
            return _UNCHANGED
        none = "Nothing is being drawn." if trial == "none" else "The preview is stopped."
        return self.at_rest("Cancelled before it began." if place == "waiting" else none, "plain", pictures)

    def leave(self, visit: gr.Request) -> None:
        """The visit's page is closed: nobody waits for its pictures."""
        self._orders.call_off(preview_of(_name(visit)))
        self._orders.call_off(_name(visit))

    def choose(self, pictures: Sequence[Seen], event: gr.SelectData) -> Changes:
        """The details of the picture that was clicked."""
        return self.details(pictures[event.index])

    def details(self, picture: Sequence[Any]) -> Changes:
        """What there is to know of a picture of the gallery."""
        one, on = Seen(*picture), self._on
        try:
            metadata = readable_settings(read_metadata(one.path))
        except BlipdiffError as error:
            notice(without_folder(str(error)))
            return _UNCHANGED
        return {
            on.details: gr.Accordion(f"The selected picture, seed {one.seed}"),
            on.metadata: metadata,
            on.download: gr.DownloadButton(value=one.path),
            on.chosen: one,
        }

    def at_rest(self, text: str, kind: str, pictures: Sequence[Any]) -> Changes:
        """The tab when nothing is being drawn."""
        return {
            self._on.status: markup.message(text, kind),
            self._on.cancel: gr.Button(variant="secondary"),
            self._on.stage: "" if pictures else self._welcome,
        }

    def _mended(self, error: BlipdiffError, pictures: Sequence[Any]) -> Changes:
        """What a person can mend, as a notice and as the status."""
        text = without_folder(str(error))
        notice(text)
        return self.at_rest(text, "bad", pictures)

    def _drawn(self, order: Order, older: Sequence[Seen]) -> Any:
        began, done = time.monotonic(), 0
        notices: list[str] = []
        tiles: list[Seen] = []
        view = View()
        with closing(views(self._studio, order.job, self._output, is_stopped=order.called_off.is_set)) as seen:
            for view in seen:
                notices += view.notices
                for text in view.notices:
                    notice(text)
                if view.was_stopped:
                    return self.at_rest(f"Cancelled after step {view.step} of {view.steps}.", "plain", [*tiles, *older])
                changes: Changes = {self._on.status: _how_far(view)}
                if view.previews is not None:
                    changes[self._on.stage] = markup.previews(view.seeds, view.previews)
                if len(view.finished) > done:
                    tiles += [tile for one in view.finished[done:] for tile in self._tiles(one)]
                    done = len(view.finished)
                    changes |= self._gallery([*tiles, *older]) | self._show(order.job, view)
                yield changes
        text = " ".join((_told(view, time.monotonic() - began), *notices))
        ended = self.at_rest(text, "good", [*tiles, *older]) | (self.details(tiles[0]) if tiles else {})
        return ended | self._show(order.job, view)

    def _gallery(self, pictures: Sequence[Seen]) -> Changes:
        kept = list(pictures[:_MOST_PICTURES])
        shown = [(one[0], one[1]) for one in kept]
        gallery = gr.Gallery(shown, columns=markup.columns(len(shown)), selected_index=None)
        return {self._on.pictures: kept, self._on.gallery: gallery}


def _name(visit: gr.Request) -> str:
    return str(visit.session_hash)


def _how_far(view: View) -> str:
    if view.step == 0:
        return markup.progress("Reading what was given", None, 1)
    if view.step == view.steps:
        return markup.progress("Finishing the pictures", view.step, view.steps)
    left = "" if view.seconds_left is None else f", about {_duration(max(1, round(view.seconds_left)))} left"
    return markup.progress(f"Step {view.step} of {view.steps}{left}", view.step, view.steps)


def _told(view: View, seconds: float) -> str:
    """The last word of a run."""
    if not view.finished:
        return "Nothing was drawn."
    paths, count = [one.paths[PICTURE] for one in view.finished], len(view.finished)
    where = f"as {paths[0]}" if count == 1 else f"in {paths[0].parent}"
    return f"{count} {'picture' if count == 1 else 'pictures'} in {_duration(seconds)}, saved {where}."


def _duration(seconds: float) -> str:
    if seconds < 10:
        return f"{seconds:.2g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
