"""The tab that draws scenes: boxes on a canvas, a subject in each."""

import json
from dataclasses import replace
from typing import Any

import gradio as gr

from app.ui import markup
from app.ui.bench import Bench
from app.ui.examples import connect_slots_example, place_example
from app.ui.parts import Changes
from app.ui.room import Room
from app.ui.subject_picker.picker import place_detail
from app.ui.subject_picker.slots import LETTERS, SubjectSlots
from app.ui.texts import said
from blipdiff.errors import ConfigError, SubjectError
from pipelines.inputs import Box
from pipelines.job import Job
from pipelines.task import Task

_PROMPT = "a {balloon} and a {coffee} on a grass field"
_STEPS = ("Put each subject's word in braces.", "Drag its box to where it shall be.", "Press Draw scene.")
_TIMES = 2  # as wide as high, unless a width is given
_WIDE = "twice the model's own if empty"
_BOXES = ((0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0), (0.0, 0.5, 0.5, 1.0), (0.5, 0.5, 1.0, 1.0))


def scene_tab(room: Room, task: Task) -> None:
    """Builds the tab in the current Blocks."""
    bench = Bench(room, task, {"prompt": _PROMPT}, without=("arrange",))
    with bench.workbench():
        with bench.asking():
            bench.form.place("prompt")
            gr.HTML(_canvas(), elem_id="scene-canvas-holder")
            boxes = gr.Textbox(
                json.dumps(_BOXES), elem_id="scene-boxes", elem_classes="unseen", label="Boxes", show_label=False
            )
            free = gr.Checkbox(
                False, label="No boxes", info="Look for the words' places in the first steps.", elem_id="scene-free"
            )
            slots = SubjectSlots(room, "scene")
            place_detail(bench.form)
            bench.place_settings(width={"placeholder": _WIDE})
            [draw] = bench.place_actions("Put each subject's word in braces, and drag its box.", draw="Draw scene")
        with bench.seeing():
            welcome = markup.welcome(*_STEPS)
            bench.place_stage(welcome)
            example = place_example(bench.id("try"))
            bench.place_results(welcome)

    room.when_known(
        bench.form.controls["width"],
        lambda facts: gr.Textbox(placeholder=said("{value} if empty", value=_TIMES * facts.width)),
    )

    def asked(text: str, is_free: bool, model: str, *values: Any) -> Job:
        *given, typed = values
        subjects = slots.given(given)
        if not subjects:
            raise SubjectError(said("There is no subject yet; add a photo, or click on one of the library."))
        request = bench.form.request(typed, arrange="found" if is_free else "row")
        if request.width is None:  # the page's scenes are wide
            facts = room.known(model)
            request = replace(request, width=_TIMES * facts.width, height=request.height or facts.height)
        words = {word.lower() for word in request.parsed.words}
        used = [one for one in subjects if one[1].word.lower() in words] or subjects
        places = _boxes(text)
        return Job.of(request, subject=[replace(one, box=None if is_free else places[place]) for place, one in used])

    def recalled(job: Job) -> Changes:
        given = job.given("subject")
        places = [one.box or usual for one, usual in zip(given, _BOXES, strict=False)]
        placed = {boxes: json.dumps([*places, *_BOXES[len(places) :]]), free: job.request.arrange == "found"}
        return placed | slots.recalled(given)

    bench.connect(draw, asked, [boxes, free, room.model_choice, *slots.inputs])
    slots.connect()
    connect_slots_example(example, slots, draw)
    bench.connect_rest(recalled, [boxes, free, *slots.outputs], slots.takes)


def _boxes(text: str) -> list[Box]:
    try:
        found = [tuple(float(side) for side in box) for box in json.loads(text)]
    except (ValueError, TypeError) as error:
        raise ConfigError(said("The boxes cannot be read; reload the page.")) from error
    if len(found) != len(LETTERS) or any(len(box) != 4 for box in found):
        raise ConfigError(said("The boxes cannot be read; reload the page."))
    return found  # type: ignore[return-value]


def _canvas() -> str:
    boxes = "".join(
        f'<div class="box {letter}" data-place="{place}" tabindex="0" role="group" '
        f'aria-label="{said("Box of subject {letter}: arrows move it, Shift and arrows resize it", letter=letter)}">'
        f'{letter}<span class="grip" aria-hidden="true"></span></div>'
        for place, letter in enumerate(LETTERS)
    )
    return f'<div id="scene-canvas" class="canvas" style="aspect-ratio: {_TIMES} / 1">{boxes}</div>'
