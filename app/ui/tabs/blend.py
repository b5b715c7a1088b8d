"""The tab that blends: up to four subjects, their weights by sliders or on a pad, one picture, a path or a map."""

import base64
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import gradio as gr

from app.ui import markup
from app.ui.bench import Bench, Room
from app.ui.events import ON_MODEL, on_change
from app.ui.files import served
from app.ui.runs import Changes
from app.ui.slots import LETTERS, connect_slots, filled, place_slots
from app.ui.views import View
from blipdiff.conditioning.paths import square_shares
from blipdiff.errors import BlipdiffError, ConfigError, SubjectError
from pipelines.job import Job
from pipelines.task import Task

_MOST_FRAMES = 60  # of a path on the page
_PREVIEW_STEPS = 6
_SHOWN = {".webp": "image/webp", ".gif": "image/gif"}  # films that a picture's place can play


def blend_tab(room: Room, task: Task) -> None:
    """Builds the tab in the current Blocks."""
    bench = Bench(room, task, {"per_second": 8.0}, without=("shape",))
    form = bench.form
    with bench.workbench():
        with bench.asking():
            slots = place_slots("blend", len(LETTERS), room.examples)
            weights = [
                gr.Slider(
                    0, 1, float(place < 2) / 2, step=0.01, label=f"Weight of {letter}", elem_id=f"blend-w-{letter}"
                )
                for place, letter in enumerate(LETTERS)
            ]
            form.place("prompt", "prompt_to")
            bench.place_settings()
            path, one, map_ = bench.place_actions(
                "Two subjects or more, each with its word.", path="Draw path", one="Draw picture", map="Draw map"
            )
        with bench.seeing():
            gr.HTML(_pad(), elem_id="blend-pad-holder")
            place = gr.Textbox("0.5,0", elem_id="blend-xy", elem_classes="unseen", label="Place", show_label=False)
            live = gr.Checkbox(
                True,
                label="Live preview",
                info=f"{_PREVIEW_STEPS} steps, whenever a weight changes.",
                elem_id="blend-live",
            )
            downloads = gr.File(label="Grid and film", file_count="multiple", interactive=False, elem_id="blend-files")
            bench.place_results(columns=4, show=lambda _job, view: _sheets(bench, downloads, view))
    subjects = [control for slot in slots for control in slot.inputs]

    def asked(shape: str, *values: Any) -> Job:
        slots_, weights_, typed = values[: len(subjects)], values[len(subjects) : -1], values[-1]
        given = {"shape": shape} if shape == "path" else {"shape": shape, "prompt_to": None}
        request = form.request(typed, **given)
        if shape == "path" and request.frames > _MOST_FRAMES:
            raise ConfigError(f"A path on the page has up to {_MOST_FRAMES} frames; the command line draws more.")
        found = filled(slots_, room.library)
        weighted = shape == "one"
        return Job.of(
            request, subject=[replace(it, weight=float(weights_[number]) if weighted else None) for number, it in found]
        )

    def preview(is_live: bool, visit: gr.Request, *values: Any) -> Iterator[Changes]:
        """The blend as it stands, in few steps; nothing where live previews are off or subjects are missing."""
        given, typed = values[: len(subjects) + len(weights)], values[len(subjects) + len(weights) :]
        try:
            job = asked("one", *given, typed)
            job = replace(job, request=replace(job.request, steps=min(job.request.steps, _PREVIEW_STEPS)))
            job.opened()
        except BlipdiffError:
            is_live = False
        yield from bench.runs.trial(visit, job, lambda view: _seen(bench, view)) if is_live else [gr.skip()]

    for button, shape in ((one, "one"), (path, "path"), (map_, "map")):
        bench.connect(button, partial(asked, shape), [*subjects, *weights], [downloads])
    bench.connect_rest(lambda _job: _given_again(), [])
    on_change(place.change, _weights_at, [place, *subjects], weights)
    changed = [place.change, *(weight.release for weight in weights)]
    every = [live, *subjects, *weights, *form.inputs]
    on_change(changed, preview, every, [bench.on.status, bench.on.stage], ON_MODEL)
    connect_slots(slots, room.library)
    room.lists.extend(slot.kept for slot in slots)


def _given_again() -> Changes:
    raise SubjectError("Give the subjects again.")


def _seen(bench: Bench, view: View) -> Changes:
    """A trial's picture."""
    if not view.finished:
        return {}
    result = view.finished[-1].result
    return {bench.on.stage: _figure(markup.data(result.picture.image), result.label)}


def _sheets(bench: Bench, downloads: Any, view: View) -> Changes:
    """The grid and the films to fetch, and a film that plays."""
    changes: Changes = {downloads: [served(path) for _, path in view.sheets] or None}
    film = next((path for kind, path in view.sheets if kind == "film" and path.suffix in _SHOWN), None)
    if film is not None:
        source = f"data:{_SHOWN[film.suffix]};base64,{base64.b64encode(film.read_bytes()).decode()}"
        changes[bench.on.stage] = _figure(source, "The path")
    return changes


def _weights_at(place: str, *slots: Any) -> list[Any]:
    """The weights at a place of the pad, among the subjects that are there."""
    try:
        x, y = (min(max(float(part), 0.0), 1.0) for part in place.split(","))
    except ValueError:
        return [gr.skip()] * len(LETTERS)
    there = [bool(slots[3 * number] or slots[3 * number + 2]) for number in range(len(LETTERS))]
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
