"""The tab that blends: up to four subjects, their weights by sliders or on a pad, one picture, a path or a map."""

import base64
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gradio as gr

from app.settings import Settings
from app.ui import markup, parts
from app.ui.drawing import Changes, Run, followed
from app.ui.events import ON_MODEL, on_cancel, on_change, on_draw, preview_of
from app.ui.files import served
from app.ui.orders import Order, Orders
from app.ui.slots import LETTERS, Filled, connect_slots, filled, library_names, place_slots
from blipdiff.conditioning.paths import square_shares
from blipdiff.errors import ConfigError, SubjectError
from blipdiff.filenames import short_name
from pipelines.blend import Blended, Frame, blend
from pipelines.blend_request import BlendRequest
from pipelines.requests import parameters
from pipelines.results import save_new_picture
from pipelines.sheets import labelled_grid, save_animation
from pipelines.studio import Studio
from pipelines.subject_library import SubjectLibrary

_DECLARED = parameters(BlendRequest)
_FIELDS = ("prompt", "prompt_to", "frames", "side", "how", "words", "spacing", "steps", "guidance", "seed")
_OPTIONAL = ("prompt_to",)
_MOST_FRAMES = 60  # of a path on the page
_PREVIEW_STEPS = 6
_LIVE = f"{_PREVIEW_STEPS} steps, whenever a weight changes."


def blend_tab(studio: Studio, settings: Settings, orders: Orders) -> list[Any]:
    """Builds the tab in the current Blocks; gives its lists of library subjects."""
    examples = sorted((Path(str(files("blipdiff"))) / "assets" / "subjects").glob("*.png"))
    fields: dict[str, Any] = {}
    with gr.Row(elem_classes="workbench"):
        with gr.Column(scale=5, min_width=300):
            slots = place_slots("blend", 4, examples)
            weights = [
                gr.Slider(
                    0, 1, 0.5 if place < 2 else 0.0, step=0.01, label=f"Weight of {letter}", elem_id=f"blend-w-{letter}"
                )
                for place, letter in enumerate(LETTERS)
            ]
            for name in ("prompt", "prompt_to"):
                fields[name] = _control(name, studio)
            with gr.Accordion("Settings", open=False, elem_id="blend-settings"):
                for name in _FIELDS[2:]:
                    fields[name] = _control(name, studio)
        with gr.Column(scale=8, min_width=300):
            gr.HTML(_pad(), elem_id="blend-pad-holder")
            place = gr.Textbox("0.5,0", elem_id="blend-xy", elem_classes="unseen", label="Place", show_label=False)
            live = gr.Checkbox(
                True,
                label="Live preview",
                info=f"{_PREVIEW_STEPS} steps, whenever a weight changes.",
                elem_id="blend-live",
            )
            with gr.Row():
                one = gr.Button("Draw picture", elem_id="blend-one", min_width=90)
                path = gr.Button("Draw path", variant="primary", elem_id="blend-path", min_width=90)
                map_ = gr.Button("Draw map", elem_id="blend-map", min_width=90)
                cancel = gr.Button("Cancel", elem_id="blend-cancel", min_width=80)
            status = gr.HTML(markup.message("Two subjects or more, each with its word."), elem_id="blend-status")
            stage = gr.HTML("", elem_id="blend-stage")
            gallery = gr.Gallery(
                label="Frames",
                show_label=False,
                columns=5,
                object_fit="contain",
                interactive=False,
                elem_id="blend-gallery",
            )
            downloads = gr.File(label="Grid and film", file_count="multiple", interactive=False, elem_id="blend-files")
    events = _Events(studio, settings, orders, list(fields), status, stage, gallery, downloads)
    subjects = [control for slot in slots for control in slot.inputs]
    every = [*subjects, *weights, *fields.values()]
    shown = [status, stage, gallery, downloads]
    for button, shape in ((one, "one"), (path, "path"), (map_, "map")):
        on_draw(button, orders, status, partial(events.draw, shape), every, shown)
    on_cancel(cancel, orders, status)
    on_change(place.change, events.weights_at, [place, *subjects], weights)
    changed = [place.change, *(weight.release for weight in weights)]
    on_change(changed, events.preview, [live, *every], [status, stage], ON_MODEL)
    connect_slots(slots, SubjectLibrary(settings.library))
    return [slot.kept for slot in slots]


class _Events:
    """The tab's handlers."""

    def __init__(self, studio: Studio, settings: Settings, orders: Orders, names: list[str], *shown: Any) -> None:
        self._studio, self._settings, self._orders, self._names = studio, settings, orders, names
        self._library = SubjectLibrary(settings.library)
        self._status, self._stage, self._gallery, self._downloads = shown

    def draw(self, shape: str, order: Order, *values: Any) -> Run:
        """Draws one picture, a path or a map, and saves it in the output folder."""
        frames: list[Frame] = []
        done: list[Blended] = []

        def begin() -> Callable[[], Any]:
            subjects, weights, request = self._asked(shape, values)
            references = [one.reference for one in subjects]
            given = weights if shape == "one" else None
            return partial(blend, self._studio, request, references, weights=given)

        def shown(event: Any) -> Changes:
            if isinstance(event, Blended):
                done.append(event)
                return {self._status: gr.skip()}
            frames.append(event)
            return {self._stage: _picture(event, f"{len(frames)} drawn: {event.label}")}

        return (yield from followed(order, self._status, begin, shown, lambda: self._finished(done[-1])))

    def preview(self, is_live: bool, visit: gr.Request, *values: Any) -> Iterator[Changes]:
        """The blend as it stands, in few steps; nothing where live previews are off or subjects are missing."""
        try:
            if not is_live:
                raise SubjectError("Previews are off.")
            subjects, weights, request = self._asked("one", values)
        except (ConfigError, SubjectError):
            yield gr.skip()
            return
        request = replace(request, steps=min(request.steps, _PREVIEW_STEPS))
        start = partial(blend, self._studio, request, [one.reference for one in subjects], weights=weights)
        name, order = preview_of(str(visit.session_hash)), Order((), ())
        if not self._orders.place(name, order):
            yield gr.skip()
            return
        self._orders.begin(name)
        try:
            last = yield from followed(
                order, self._status, lambda: start,
                lambda event: gr.skip() if isinstance(event, Blended) else {self._stage: _picture(event, event.label)},
                lambda: {self._status: markup.message(f"A preview in {request.steps} steps.")},
            )  # fmt: skip
        finally:
            self._orders.end(name)
        yield last

    def weights_at(self, place: str, *slots: Any) -> list[float]:
        """The weights at a place of the pad, among the subjects that are there."""
        try:
            x, y = (min(max(float(part), 0.0), 1.0) for part in place.split(","))
        except ValueError:
            return [gr.skip()] * 4
        there = [bool(slots[3 * number] or slots[3 * number + 2]) for number in range(4)]
        shares = [share if is_there else 0.0 for share, is_there in zip(square_shares(x, y), there, strict=True)]
        total = sum(shares)
        return [round(share / total, 3) for share in shares] if total > 0 else [float(one) for one in there]

    def _asked(self, shape: str, values: Sequence[Any]) -> tuple[list[Filled], list[float], BlendRequest]:
        slots, weights, typed = values[:12], values[12:16], dict(zip(self._names, values[16:], strict=True))
        subjects = filled(slots, self._library)
        given: dict[str, Any] = {name: typed[name] or None if name in _OPTIONAL else typed[name] for name in typed}
        if shape != "path":
            given["prompt_to"] = None
        given["seed"] = _whole(given["seed"], "Seed")
        if shape == "path" and given["frames"] > _MOST_FRAMES:
            raise ConfigError(f"A path on the page has up to {_MOST_FRAMES} frames; the command line draws more.")
        request = BlendRequest(shape=shape, **given)
        request.check_subjects(len(subjects))
        return subjects, [float(weights[one.place]) for one in subjects], request

    def _finished(self, result: Blended) -> Changes:
        first = result.frames[0].picture
        stem = short_name("-".join(dict.fromkeys(str(word) for word in first.request["categories"])))
        output = self._settings.output
        saved = [save_new_picture(frame.picture, output, f"{stem}-{first.seed}") for frame in result.frames]
        gallery = [(served(path), frame.label) for path, frame in zip(saved, result.frames, strict=True)]
        files_: list[str] = []
        stage: Any = gr.skip()
        if len(result.frames) > 1:
            rows = [[(frame.picture.image, frame.label) for frame in row] for row in result.rows]
            with TemporaryDirectory(prefix="blipdiff-") as folder:
                grid = Path(folder) / "grid.png"
                labelled_grid(rows, across=9 if len(rows) == 1 else None).save(grid)
                files_.append(served(grid))
                if len(rows) == 1:
                    film = save_animation(
                        [frame.picture.image for frame in result.frames], Path(folder) / "path.webp", per_second=8
                    )
                    files_.append(served(film))
                    stage = _film(film.read_bytes())
        text = f"{len(saved)} {'picture' if len(saved) == 1 else 'pictures'}, saved in {output}."
        return {
            self._status: markup.message(text, "good"),
            self._gallery: gallery,
            self._downloads: files_ or None,
            self._stage: stage,
        }


def refreshed(settings: Settings, count: int) -> list[Any]:
    """The lists of library subjects as they are now."""
    names = library_names(SubjectLibrary(settings.library))
    return [gr.Dropdown(choices=names) for _ in range(count)]


def _control(name: str, studio: Studio) -> Any:
    default = {"guidance": studio.model.guidance, "frames": 9}.get(name, getattr(BlendRequest(), name))
    return parts.control(name, _DECLARED[name], default, elem_id=f"blend-{name.replace('_', '-')}")


def _whole(value: Any, label: str) -> int:
    text = str(value).strip()
    if not (text.isascii() and text.isdigit()) or len(text) > 30:
        raise ConfigError(f"{label} is '{text[:30]}'; give a whole number of 0 or more.")
    return int(text)


def _pad() -> str:
    corners = "".join(f'<span class="corner {letter}">{letter}</span>' for letter in LETTERS)
    return (
        '<div id="blend-pad" class="pad" tabindex="0" role="application" '
        'aria-label="Weights: move between the corners A, B, C and D with the pointer or the arrow keys">'
        f'{corners}<span class="dot" style="left:50%;top:0%"></span></div>'
    )


def _picture(frame: Frame, caption: str) -> str:
    return _figure(markup.data(frame.picture.image), caption)


def _film(webp: bytes) -> str:
    return _figure(f"data:image/webp;base64,{base64.b64encode(webp).decode()}", "The path, there and back")


def _figure(source: str, caption: str) -> str:
    words = markup.escaped(caption)
    return f'<figure class="blended"><img src="{source}" alt="{words}"><figcaption>{words}</figcaption></figure>'
