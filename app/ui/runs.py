"""The jobs of a tab: a click becomes a job in the line, and what is known of jobs becomes what the tab shows."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any, cast

import gradio as gr

from app.ui import markup
from app.ui.files import readable_settings, served, without_folder
from app.ui.notices import notice
from app.ui.parts import Changes, Parts, Seen
from app.ui.room import Room
from app.ui.texts import retold, said, told_html
from app.ui.views import Drawn, View, how_far, outcome
from app.ui.visits import sender_of
from blipdiff.errors import BlipdiffError
from blipdiff.sampling.stopping import until_stopped
from pipelines.job import Job, run
from pipelines.metadata import read_metadata
from pipelines.task import Event, Progress, Result

MOST_PICTURES = 64  # in the gallery; the files of older ones stay where they are

_UNCHANGED: Changes = gr.skip()


def picture_alone(one: Drawn) -> list[Seen]:
    """What the gallery shows of a result: its picture."""
    caption = retold(one.label) if one.label else said("seed {seed}", seed=one.entry.seed)
    return [Seen(served(one.path), caption, one.entry.seed, one.entry.id)]


class Runs:
    """The handlers of one tab, and how its jobs are shown.

    tiles: what the gallery shows of a result; show: what else on the tab changes where there are new results
    """

    def __init__(
        self,
        task: str,
        room: Room,
        on: Parts,
        *,
        welcome: str = "",
        tiles: Callable[[Drawn], list[Seen]] = picture_alone,
        show: Callable[[Job, View], Changes] = lambda _job, _view: {},
    ) -> None:
        self._task, self._room, self.on, self._welcome = task, room, on, welcome
        self.tiles, self.show = tiles, show

    def ask(
        self, visit: gr.Request, browser: str, model: str, pictures: Sequence[Seen], asked: Callable[[], Job]
    ) -> tuple[Changes, Job | None]:
        """Checks what was asked for, and puts it into the line; None where nothing was put there.

        How it goes is told by `app.ui.follower` alone, so that nothing overtakes its end.
        """
        try:
            job = asked()
            self._room.submit(job, sender_of(browser, visit), model)
        except BlipdiffError as error:
            text = without_folder(str(error))
            notice(text)
            return self.at_rest(text, "bad", pictures), None
        self._room.visits.call_off_trial(str(visit.session_hash))
        return {}, job

    def cancel(self, visit: gr.Request, browser: str, pictures: Sequence[Seen]) -> Changes:
        """Takes back the browser's job of this tab that is drawn, or else the one that was asked for last."""
        was_trial, sender = self._room.visits.call_off_trial(str(visit.session_hash)), sender_of(browser, visit)
        found = self._room.workshop.queue.tickets(
            owner=sender.owner, client=sender.client, states=("waiting", "drawing")
        )
        mine = sorted((one for one in found if one.task == self._task), key=lambda one: one.state != "drawing")
        if not mine:
            text = said("The preview is stopped.") if was_trial else said("Nothing is being drawn.")
            return self.at_rest(text, "plain", pictures)
        self._room.workshop.cancel(mine[0].id)
        return _UNCHANGED  # its own last word must not be overtaken

    def trial(self, visit: gr.Request, model: str, job: Job, shown: Callable[[Result], Changes]) -> Iterator[Changes]:
        """Draws a job in passing by this model, keeps nothing, and makes way for what is asked for by a click."""
        called_off = self._room.visits.begins_trial(str(visit.session_hash))
        try:
            events = cast("Any", run(self._room.studio(model), job))
            with closing(events):
                for event in until_stopped(events, called_off.is_set):
                    yield _passing(event, self.on, shown)
            text, kind = said("A preview in {steps} steps.", steps=job.request.steps), "plain"
        except BlipdiffError as error:
            text, kind = without_folder(str(error)), "bad"
        yield _UNCHANGED if called_off.is_set() else {self.on.status: markup.message(text, kind)}

    def choose(self, pictures: Sequence[Seen], event: gr.SelectData) -> Changes:
        """The details of the picture that was clicked."""
        return self.details(pictures[event.index])

    def details(self, picture: Sequence[Any]) -> Changes:
        """What there is to know of a picture of the gallery."""
        one, on = Seen(*picture), self.on
        try:
            metadata = readable_settings(read_metadata(one.path))
        except BlipdiffError as error:
            notice(without_folder(str(error)))
            return _UNCHANGED
        return {
            on.details: gr.Accordion(said("The selected picture, seed {seed}", seed=one.seed)),
            on.metadata: metadata,
            on.download: gr.DownloadButton(value=one.path),
            on.chosen: one,
        }

    def at_rest(self, text: str, kind: str, pictures: Sequence[Any]) -> Changes:
        """The tab when nothing is being drawn."""
        return {
            self.on.status: markup.message(text, kind),
            self.on.cancel: gr.Button(variant="secondary"),
            self.on.stage: "" if pictures else told_html(self._welcome),
        }

    def at_work(self, view: View, *, is_model_open: bool, is_stage_new: bool = True) -> Changes:
        """The tab while a job waits or is drawn."""
        changes: Changes = {self.on.status: how_far(view, is_model_open=is_model_open)}
        if is_stage_new:
            changes[self.on.cancel] = gr.Button(variant="stop")
            if view.seeds:
                changes[self.on.stage] = markup.previews(view.seeds, view.previews)
        return changes

    def at_end(self, view: View, pictures: Sequence[Seen]) -> Changes:
        """The tab when a job is over."""
        text, kind = outcome(view)
        return self.at_rest(without_folder(text), kind, pictures)

    def gallery(self, pictures: Sequence[Seen]) -> Changes:
        """The pictures of this browser, the newest first."""
        kept = list(pictures[:MOST_PICTURES])
        shown = [(one[0], one[1]) for one in kept]
        gallery = gr.Gallery(shown, columns=markup.columns(len(shown)), selected_index=None)
        return {self.on.pictures: kept, self.on.gallery: gallery}


def _passing(event: Event, on: Parts, shown: Callable[[Result], Changes]) -> Changes:
    """What a trial's event changes."""
    if isinstance(event, Progress):
        text = said("Step {step} of {steps}", step=event.step, steps=event.steps)
        return {on.status: markup.progress(text, event.step, event.steps)}
    return shown(event) if isinstance(event, Result) else _UNCHANGED
