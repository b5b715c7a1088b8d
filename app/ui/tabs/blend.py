"""The tab that blends: up to four subjects, their weights by sliders or on a pad, one picture, a path or a map."""

import base64
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import gradio as gr

from app.ui import markup
from app.ui.bench import Bench
from app.ui.events import ON_MODEL, on_change
from app.ui.examples import connect_slots_example, place_example
from app.ui.files import served
from app.ui.parts import Changes
from app.ui.room import Room
from app.ui.subject_picker.picker import place_detail
from app.ui.subject_picker.slots import LETTERS, SubjectSlots
from app.ui.texts import retold, said
from app.ui.views import View
from blipdiff.conditioning.paths import square_shares
from blipdiff.errors import BlipdiffError, ConfigError
from pipelines.job import Job
from pipelines.task import Result, Task

_MOST_FRAMES = 60  # of a path on the page
_PREVIEW_STEPS = 6
_STEPS = ("Two subjects are there to begin with; give your own in their places.", "Press Draw path.")
_SHOWN = {".webp": "image/webp", ".gif": "image/gif"}  # films that a picture's place can play


class BlendTab(Bench):
    """Built in the current Blocks."""

    def __init__(self, room: Room, task: Task) -> None:
        super().__init__(room, task, {"per_second": 8.0}, without=("shape",))
        with self.workbench():
            with self.asking():
                self.slots = SubjectSlots(room, "blend")
                gr.HTML(_pad(), elem_id="blend-pad-holder")
                place = gr.Textbox("0.5,0", elem_id="blend-xy", elem_classes="unseen", label="Place", show_label=False)
                self.weights = [_weight(at, letter) for at, letter in enumerate(LETTERS)]
                told = said("{steps} steps, whenever a weight changes.", steps=_PREVIEW_STEPS)
                live = gr.Checkbox(True, label="Live preview", info=told, elem_id="blend-live")
                self.form.place("prompt", "prompt_to")
                place_detail(self.form)
                self.place_settings()
                buttons = self.place_actions(
                    "Two subjects or more, each with its word.", path="Draw path", one="Draw picture", map="Draw map"
                )
            with self.seeing():
                welcome = markup.welcome(*_STEPS)
                self.place_stage(welcome)
                example = place_example(self.id("try"))
                self.place_results(welcome, columns=4, show=self._sheets)
                self.files = gr.File(
                    label="Grid and film", file_count="multiple", interactive=False, elem_id="blend-files"
                )
        given = [*self.slots.inputs, *self.weights]
        for button, shape in zip(buttons, ("path", "one", "map"), strict=True):
            self.connect(button, partial(self.asked, shape), given)
        self.slots.connect()
        connect_slots_example(example, self.slots, buttons[0])
        self.connect_rest(self.recalled, [*self.slots.outputs, *self.weights], self.slots.takes, [self.files])
        on_change(place.change, _weights_at, [place, *self.slots.photos], self.weights)
        changed = [place.change, *(weight.release for weight in self.weights)]
        shown = [self.on.status, self.on.stage]
        read = [live, room.model_choice, *given, *self.form.inputs]
        on_change(changed, self.preview, read, shown, ON_MODEL)

    def asked(self, shape: str, *values: Any) -> Job:
        """One picture at the weights, a path, or a map."""
        (*given, typed), count = values, len(self.slots.inputs)
        subjects = self.slots.given(given[:count])
        request = self.form.request(typed, shape=shape, **({} if shape == "path" else {"prompt_to": None}))
        if shape == "path" and request.frames > _MOST_FRAMES:
            text = "A path on the page has up to {most} frames; the command line draws more."
            raise ConfigError(said(text, most=_MOST_FRAMES))
        weights = given[count:]
        return Job.of(
            request,
            subject=[replace(one, weight=float(weights[place]) if shape == "one" else None) for place, one in subjects],
        )

    def preview(self, is_live: bool, model: str, visit: gr.Request, *values: Any) -> Iterator[Changes]:
        """The blend as it stands, in few steps; nothing where live previews are off or subjects are missing."""
        count = len(self.slots.inputs) + len(self.weights)
        try:
            job = self.asked("one", *values[:count], values[count:])
            job = replace(
                job, request=replace(job.request, steps=min(job.request.steps or _PREVIEW_STEPS, _PREVIEW_STEPS))
            )
            job.opened()
        except BlipdiffError:
            is_live = False
        yield from self.runs.trial(visit, model, job, self._seen) if is_live else [gr.skip()]

    def recalled(self, job: Job) -> Changes:
        """The subjects with their weights. Raises: SubjectError for one that is kept nowhere."""
        given = job.given("subject")
        shares = [0.5 if one.weight is None else one.weight for one in given] + [0.0] * len(LETTERS)
        return {**self.slots.recalled(given), **dict(zip(self.weights, shares, strict=False))}

    def _seen(self, result: Result) -> Changes:
        """A trial's picture."""
        return {self.on.stage: _figure(markup.data(result.picture.image), retold(result.label))}

    def _sheets(self, _job: Job, view: View) -> Changes:
        """The grid and the films to fetch, and a film that plays."""
        changes: Changes = {self.files: [served(path) for path in view.sheets.values()] or None}
        film = next((path for path in view.sheets.values() if path.stem == "film" and path.suffix in _SHOWN), None)
        if film is not None:
            source = f"data:{_SHOWN[film.suffix]};base64,{base64.b64encode(film.read_bytes()).decode()}"
            changes[self.on.stage] = _figure(source, said("The path"))
        return changes


def _weight(place: int, letter: str) -> Any:
    return gr.Slider(
        0,
        1,
        0.5 if place < 2 else 0.0,
        step=0.01,
        label=said("Weight of {what}", what=letter),
        elem_id=f"blend-w-{letter}",
    )


def _weights_at(place: str, *photos: str | None) -> list[Any]:
    """The weights at a place of the pad, among the subjects that are there."""
    try:
        x, y = (min(max(float(part), 0.0), 1.0) for part in place.split(","))
    except ValueError:
        return [gr.skip()] * len(LETTERS)
    there = [bool(one) for one in photos]
    shares = [share if is_there else 0.0 for share, is_there in zip(square_shares(x, y), there, strict=True)]
    total = sum(shares)
    return [round(share / total, 3) for share in shares] if total > 0 else [float(one) for one in there]


def _pad() -> str:
    corners = "".join(f'<span class="corner {letter}">{letter}</span>' for letter in LETTERS)
    return (
        '<div id="blend-pad" class="pad" tabindex="0" role="application" '
        'aria-label="Weights: move between the corners A, B, C and D with the pointer or the arrow keys">'
        f'{corners}<span class="dot" style="left:50%;top:0%"></span></div>'
    )


def _figure(source: str, caption: str) -> str:
    words = markup.escaped(caption)
    return f'<figure class="blended"><img src="{source}" alt="{words}"><figcaption>{words}</figcaption></figure>'
