"""The tab that edits: a source, the words to swap, the subject; before and after, and the mask."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from app.cli.edit import saved
from app.cli.files import check_writable
from app.settings import Settings
from app.ui import markup
from app.ui.drawing import Changes, call_off, followed
from app.ui.edit_words import swapped_words, words_of
from app.ui.files import served
from app.ui.orders import Orders
from app.ui.request_form import RequestForm
from app.ui.subjects import looked_through, references
from blipdiff.errors import ConfigError
from blipdiff.images import open_picture
from pipelines.edit_request import EditRequest
from pipelines.edit_run import Edited, SourcePhoto, run_edit
from pipelines.generate import picture_size
from pipelines.studio import Studio

PHOTO, GENERATED = "A photo", "The prompt's own picture"

_SILENT = {"show_progress": "hidden", "api_visibility": "private"}
_MAIN = ("strength", "keep_background", "seed")
_MASK = ("blend", "blend_softness", "blend_start", "blend_words", "mask_map", "mask_use", "local_blend", "blend_level")
_HOLD = ("cross_stop", "self_stop", "fresh_noise", "self_level", "method", "word_weights", "word_stops", "preset")
_RUN = ("steps", "guidance", "scheduler", "inversion", "hold_source", "target_prompt", "negative", "fit")
_SIZE = ("width", "height")


@dataclass(frozen=True, slots=True)
class EditLayout:
    """Every component that an event reads or changes."""

    kind: Any
    photo: Any
    canvas: Any
    sentence: Any
    words: Any
    instead: Any
    subject: Any
    strip: Any
    form: RequestForm
    edit: Any
    cancel: Any
    status: Any
    slider: Any
    mask: Any
    maps: Any
    files: Any
    take_over: Any
    source: Any  # the last source's file, to paint on


def edit_tab(studio: Studio, settings: Settings, orders: Orders) -> EditLayout:
    """Builds the tab in the current Blocks; gives its components."""
    on = _lay_out(
        RequestForm(EditRequest, "edit", {"guidance": studio.model.guidance, "steps": 20, "keep_background": True})
    )
    events = EditEvents(studio, settings.output, orders, on)
    at_once = {**_SILENT, "concurrency_limit": None}
    on.sentence.change(events.find_words, on.sentence, on.words, **at_once)
    on.subject.change(events.look_at_subject, on.subject, [on.strip, on.subject], **at_once)
    on.photo.change(events.to_canvas, on.photo, on.canvas, **at_once)
    asked = [on.kind, on.photo, on.canvas, on.sentence, on.words, on.instead, on.subject, *on.form.controls.values()]
    shown = [on.status, on.slider, on.mask, on.maps, on.files, on.source]
    on.edit.click(events.edit, asked, shown, **_SILENT, concurrency_id="model", concurrency_limit=1)
    on.cancel.click(call_off(orders, on.status), None, on.status, **at_once)
    on.kind.change(lambda kind: kind == PHOTO, on.kind, on.form.controls["keep_background"], **at_once)
    on.take_over.click(events.to_canvas, on.source, on.canvas, **at_once)
    return on


def _lay_out(form: RequestForm) -> EditLayout:
    with gr.Row(elem_classes="workbench"):
        with gr.Column(scale=5, min_width=300):
            kind = gr.Radio([PHOTO, GENERATED], value=PHOTO, label="Source", elem_id="edit-kind")
            photo = gr.Image(
                label="Photo", type="filepath", sources=["upload", "clipboard"], height=240, elem_id="edit-photo"
            )
            with gr.Accordion("Paint where the edit may happen", open=False, elem_id="edit-painting"):
                canvas = gr.ImageEditor(
                    label="The source",
                    type="pil",
                    image_mode="RGBA",
                    sources=(),
                    brush=gr.Brush(colors=["#ffffff"], color_mode="fixed"),
                    transforms=(),
                    layers=False,
                    height=340,
                    elem_id="edit-canvas",
                )
            sentence = gr.Textbox(
                label="What the picture shows", placeholder="a cat sits on a sofa", max_lines=2, elem_id="edit-sentence"
            )
            words = gr.CheckboxGroup(
                [], label="Swap", info="Click on the words for what is swapped.", elem_id="edit-words"
            )
            instead = gr.Textbox(label="For", placeholder="dog", max_lines=1, elem_id="edit-instead")
            subject = gr.File(
                label="In the look of this subject",
                file_count="multiple",
                file_types=["image", ".safetensors"],
                height=120,
                elem_id="edit-subject",
            )
            strip = gr.HTML(markup.subjects(()))
            form.place(*_MAIN)
            for title, names in (("Mask", _MASK), ("What is held", _HOLD), ("Settings", (*_RUN, *_SIZE))):
                with gr.Accordion(title, open=False):
                    form.place(*names)
        with gr.Column(scale=8, min_width=300):
            with gr.Row():
                edit = gr.Button("Edit", variant="primary", elem_id="edit-draw", min_width=120)
                cancel = gr.Button("Cancel", elem_id="edit-cancel", min_width=80)
            status = gr.HTML(markup.message("Give a source, click on a word, and say what it becomes."))
            slider = gr.ImageSlider(
                label="Before and after", interactive=False, format="png", height=420, elem_id="edit-slider"
            )
            with gr.Row():
                mask = gr.Image(label="Mask: white was edited", interactive=False, format="png", elem_id="edit-mask")
                maps = gr.Image(label="Where each word was seen", interactive=False, format="png", elem_id="edit-maps")
            take_over = gr.Button("Paint on this source", size="sm", elem_id="edit-take-over")
            files = gr.File(label="Files", file_count="multiple", interactive=False, elem_id="edit-files")
    source = gr.State(None)
    return EditLayout(
        kind,
        photo,
        canvas,
        sentence,
        words,
        instead,
        subject,
        strip,
        form,
        edit,
        cancel,
        status,
        slider,
        mask,
        maps,
        files,
        take_over,
        source,
    )


class EditEvents:
    """The tab's handlers, on one studio and one output folder."""

    def __init__(self, studio: Studio, output: Path, orders: Orders, on: EditLayout) -> None:
        self._studio, self._output, self._orders, self._on = studio, output, orders, on

    def find_words(self, sentence: str) -> Any:
        """The sentence's words, to be clicked on."""
        return gr.CheckboxGroup(choices=words_of(sentence), value=[])

    def look_at_subject(self, paths: list[str] | None) -> Changes:
        """Shows what was dropped; what cannot be used is said and left out."""
        found = looked_through(paths or [])
        for complaint in found.complaints:
            gr.Warning(complaint)
        changes: Changes = {self._on.strip: markup.subjects(found.tiles)}
        return changes | ({self._on.subject: list(found.paths) or None} if found.complaints else {})

    def to_canvas(self, source: str | None) -> Any:
        """The photo, or the source of the last edit, to be painted on."""
        return None if source is None else {"background": source, "layers": [], "composite": None}

    def edit(
        self,
        visit: gr.Request,
        kind: str,
        photo: str | None,
        canvas: Mapping[str, Any] | None,
        sentence: str,
        clicked: list[int],
        instead: str,
        paths: list[str] | None,
        *typed: Any,
    ) -> Iterator[Changes]:
        """The edit, saved in the output folder and shown beside its source."""
        paths, ended = paths or [], []

        def begin() -> tuple[EditRequest, Callable[[], Any]]:
            swapped = swapped_words(sentence, clicked, instead)
            request = EditRequest(
                **self._on.form.values(typed),
                source=swapped.source,
                target=swapped.target,
                prompt=swapped.prompt,
                focus=swapped.focus,
                category=instead.strip() or swapped.named,
            )
            given = references(paths, request.subject_category)
            check_writable(self._output)
            if kind == GENERATED:
                mask = painted(canvas, picture_size(self._studio.model, request))
                return request, partial(self._events, request, given, [], mask)
            if photo is None:
                raise ConfigError("There is no photo yet; add one, or choose the prompt's own picture.")
            source = SourcePhoto(open_picture(photo), Path(photo).stem)
            return request, partial(self._events, request, given, [source], painted(canvas, source.image.size))

        def shown(edited: Edited) -> Changes:
            found = saved(edited, self._output)
            ended.append(found["path"])
            return {
                self._on.slider: (served(found["before"]), served(found["path"])),
                self._on.mask: served(found["mask"]) if "mask" in found else None,
                self._on.maps: served(found["maps"]),
                self._on.files: [served(path) for path in found.values()],
                self._on.source: served(found["before"]),
            }

        def end() -> Changes:
            return {self._on.status: markup.message(f"Saved as {ended[-1]}.", "good")}

        yield from followed(visit, self._orders, self._on.status, begin, shown, end)

    def _events(
        self, request: EditRequest, given: list[Any], photos: list[SourcePhoto], mask: Image.Image | None
    ) -> Any:
        subject = self._studio.subject(given, fit=request.fit) if given else None
        return run_edit(self._studio, request, subject, photos, mask=mask)


def painted(canvas: Mapping[str, Any] | None, size: tuple[int, int]) -> Image.Image | None:
    """What was painted on the canvas, in white on black and of the source's size; None for nothing."""
    layers = [] if canvas is None else canvas.get("layers") or []
    opaque = [np.asarray(layer.convert("RGBA"))[..., 3] for layer in layers]
    if not any(layer.any() for layer in opaque):
        return None
    return Image.fromarray(np.maximum.reduce(opaque)).resize(size)
