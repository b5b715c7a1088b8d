"""The tab that draws scenes: boxes on a canvas, a subject in each."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import gradio as gr

from app.settings import Settings
from app.ui import markup, parts
from app.ui.drawing import Changes, Run, followed
from app.ui.events import on_cancel, on_draw
from app.ui.files import served
from app.ui.orders import Order, Orders
from app.ui.slots import LETTERS, connect_slots, filled, place_slots
from blipdiff.errors import ConfigError, SubjectError
from blipdiff.filenames import short_name
from blipdiff.latents import size_factor
from pipelines.requests import parameters
from pipelines.results import Picture, save_new_picture
from pipelines.scene import Placed, draw_scene
from pipelines.scene_request import SceneRequest
from pipelines.studio import Studio
from pipelines.subject_library import SubjectLibrary

_DECLARED = parameters(SceneRequest)
_FIELDS = ("prompt", "count", "softness", "regions_stop", "steps", "guidance", "seed", "width", "height")
_PROMPT = "a {balloon} and a {coffee} on a grass field"
_BOXES = ((0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0), (0.0, 0.5, 0.5, 1.0), (0.5, 0.5, 1.0, 1.0))


def scene_tab(studio: Studio, settings: Settings, orders: Orders) -> list[Any]:
    """Builds the tab in the current Blocks; gives its lists of library subjects."""
    examples = sorted((Path(str(files("blipdiff"))) / "assets" / "subjects").glob("*.png"))
    own = int(studio.model.unet.config.sample_size) * size_factor(studio.model.vae)
    default = SceneRequest(prompt=_PROMPT, guidance=studio.model.guidance)
    fields: dict[str, Any] = {}
    with gr.Row(elem_classes="workbench"):
        with gr.Column(scale=5, min_width=300):
            fields["prompt"] = parts.control("prompt", _DECLARED["prompt"], _PROMPT, elem_id="scene-prompt")
            slots = place_slots("scene", 4, examples)
            with gr.Accordion("Settings", open=False):
                for name in _FIELDS[1:]:
                    value = {"width": 2 * own, "height": own}.get(name, getattr(default, name))
                    fields[name] = parts.control(
                        name, _DECLARED[name], value, elem_id=f"scene-{name.replace('_', '-')}"
                    )
                    if name in ("width", "height"):
                        fields[name].value = str(value)
        with gr.Column(scale=8, min_width=300):
            gr.HTML(_canvas(2 * own, own), elem_id="scene-canvas-holder")
            boxes = gr.Textbox(
                json.dumps(_BOXES[:4]), elem_id="scene-boxes", elem_classes="unseen", label="Boxes", show_label=False
            )
            free = gr.Checkbox(
                False, label="No boxes", info="Look for the words' places in the first steps.", elem_id="scene-free"
            )
            with gr.Row():
                draw = gr.Button("Draw scene", variant="primary", elem_id="scene-draw", min_width=120)
                cancel = gr.Button("Cancel", elem_id="scene-cancel", min_width=80)
            status = gr.HTML(
                markup.message("Put each subject's word in braces, and drag its box."), elem_id="scene-status"
            )
            gallery = gr.Gallery(
                label="Scenes",
                show_label=False,
                columns=2,
                object_fit="contain",
                interactive=False,
                elem_id="scene-gallery",
            )
    events = _Events(studio, settings, list(fields), status, gallery)
    every = [boxes, free, *(control for slot in slots for control in slot.inputs), *fields.values()]
    on_draw(draw, orders, status, events.draw, every, [status, gallery])
    on_cancel(cancel, orders, status)
    connect_slots(slots, SubjectLibrary(settings.library))
    return [slot.kept for slot in slots]


class _Events:
    """The tab's handlers."""

    def __init__(self, studio: Studio, settings: Settings, names: list[str], status: Any, gallery: Any) -> None:
        self._studio, self._settings, self._names = studio, settings, names
        self._library = SubjectLibrary(settings.library)
        self._status, self._gallery = status, gallery

    def draw(self, order: Order, boxes: str, is_free: bool, *values: Any) -> Run:
        """The scene's pictures, saved in the output folder."""
        shown: list[tuple[str, str]] = []

        def begin() -> Callable[[], Any]:
            request, placed = self._asked(boxes, is_free, values)
            return partial(draw_scene, self._studio, request, placed)

        def finished(event: Picture) -> Changes:
            stem = f"{short_name(event.request['category'])}-{event.seed}"
            path = save_new_picture(event, self._settings.output, stem)
            shown.append((served(path), f"seed {event.seed}"))
            return {self._gallery: list(shown)}

        def ended() -> Changes:
            text = f"{len(shown)} {'picture' if len(shown) == 1 else 'pictures'}, saved in {self._settings.output}."
            return {self._status: markup.message(text, "good")}

        return (yield from followed(order, self._status, begin, finished, ended))

    def _asked(self, boxes: str, is_free: bool, values: Sequence[Any]) -> tuple[SceneRequest, list[Placed]]:
        subjects, typed = filled(values[:12], self._library), dict(zip(self._names, values[12:], strict=True))
        if not subjects:
            raise SubjectError("There is no subject yet; add a photo or choose one of the library.")
        for name in ("seed", "width", "height"):
            typed[name] = _whole(typed[name], _DECLARED[name].label, empty=name != "seed")
        request = SceneRequest(**typed, arrange="found" if is_free else "row")
        words = {word.lower() for word in request.parsed.words}
        used = [one for one in subjects if one.word.lower() in words] or subjects
        places = _boxes(boxes)
        return request, [Placed(one.word, one.reference, None if is_free else places[one.place]) for one in used]


def _boxes(text: str) -> list[tuple[float, float, float, float]]:
    try:
        found = [tuple(float(side) for side in box) for box in json.loads(text)]
    except (ValueError, TypeError) as error:
        raise ConfigError("The boxes cannot be read; reload the page.") from error
    if len(found) != len(LETTERS) or any(len(box) != 4 for box in found):
        raise ConfigError("The boxes cannot be read; reload the page.")
    return found  # type: ignore[return-value]


def _whole(value: Any, label: str, *, empty: bool) -> int | None:
    text = str(value if value is not None else "").strip()
    if not text and empty:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > 30:
        raise ConfigError(f"{label} is '{text[:30]}'; give a whole number of 0 or more.")
    return int(text)


def _canvas(width: int, height: int) -> str:
    boxes = "".join(
        f'<div class="box {letter}" data-place="{place}" tabindex="0" role="group" '
        f'aria-label="Box of subject {letter}: arrows move it, Shift and arrows resize it">'
        f'{letter}<span class="grip" aria-hidden="true"></span></div>'
        for place, letter in enumerate(LETTERS)
    )
    return f'<div id="scene-canvas" class="canvas" style="aspect-ratio: {width} / {height}">{boxes}</div>'
