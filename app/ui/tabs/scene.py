"""The tab that draws scenes: boxes on a canvas, a subject in each."""

import json
from dataclasses import replace
from typing import Any

import gradio as gr

from app.ui.bench import Bench, Room
from app.ui.slots import LETTERS, Slots
from blipdiff.errors import ConfigError, SubjectError
from pipelines.inputs import Box
from pipelines.job import Job
from pipelines.task import Task

_PROMPT = "a {balloon} and a {coffee} on a grass field"
_BOXES = ((0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0), (0.0, 0.5, 0.5, 1.0), (0.5, 0.5, 1.0, 1.0))


def scene_tab(room: Room, task: Task) -> None:
    """Builds the tab in the current Blocks."""
    width, height = 2 * room.own_size, room.own_size
    own = {"prompt": _PROMPT, "width": width, "height": height}
    bench = Bench(room, task, own, without=("arrange",))
    with bench.workbench():
        with bench.asking():
            bench.form.place("prompt")
            slots = Slots("scene", room)
            bench.place_settings()
            [draw] = bench.place_actions("Put each subject's word in braces, and drag its box.", draw="Draw scene")
        with bench.seeing():
            gr.HTML(_canvas(width, height), elem_id="scene-canvas-holder")
            boxes = gr.Textbox(
                json.dumps(_BOXES), elem_id="scene-boxes", elem_classes="unseen", label="Boxes", show_label=False
            )
            free = gr.Checkbox(
                False, label="No boxes", info="Look for the words' places in the first steps.", elem_id="scene-free"
            )
            bench.place_results()

    def asked(text: str, is_free: bool, *values: Any) -> Job:
        *given, typed = values
        subjects = slots.given(given)
        if not subjects:
            raise SubjectError("There is no subject yet; add a photo or choose one of the library.")
        request = bench.form.request(typed, arrange="found" if is_free else "row")
        words = {word.lower() for word in request.parsed.words}
        used = [one for one in subjects if one[1].word.lower() in words] or subjects
        places = _boxes(text)
        return Job.of(request, subject=[replace(one, box=None if is_free else places[place]) for place, one in used])

    bench.connect(draw, asked, [boxes, free, *slots.inputs])
    bench.connect_rest(lambda _job: _given_again(), [])


def _given_again() -> dict[Any, Any]:
    raise SubjectError("Give each subject and its box again.")


def _boxes(text: str) -> list[Box]:
    try:
        found = [tuple(float(side) for side in box) for box in json.loads(text)]
    except (ValueError, TypeError) as error:
        raise ConfigError("The boxes cannot be read; reload the page.") from error
    if len(found) != len(LETTERS) or any(len(box) != 4 for box in found):
        raise ConfigError("The boxes cannot be read; reload the page.")
    return found  # type: ignore[return-value]


def _canvas(width: int, height: int) -> str:
    boxes = "".join(
        f'<div class="box {letter}" data-place="{place}" tabindex="0" role="group" '
        f'aria-label="Box of subject {letter}: arrows move it, Shift and arrows resize it">'
        f'{letter}<span class="grip" aria-hidden="true"></span></div>'
        for place, letter in enumerate(LETTERS)
    )
    return f'<div id="scene-canvas" class="canvas" style="aspect-ratio: {width} / {height}">{boxes}</div>'
