"""The tab that edits: a source, the words to swap, the subject; before and after, and the mask."""

from collections.abc import Callable, Mapping
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
from app.ui.components import Canvas, Marks
from app.ui.drawing import Changes, Run, followed
from app.ui.edit_words import swapped_words
from app.ui.events import ON_PHOTOS, SILENT, on_cancel, on_change, on_click, on_draw
from app.ui.files import served
from app.ui.notices import notice
from app.ui.orders import Order, Orders
from app.ui.photos import FILE_TYPES, photo_field, to_paint_on
from app.ui.request_form import RequestForm
from app.ui.subjects import CARD_SUFFIX, looked_through, references
from blipdiff.errors import ConfigError
from blipdiff.images import open_picture
from pipelines.edit_request import EditRequest
from pipelines.edit_run import Edited, SourcePhoto, run_edit
from pipelines.generate import picture_size
from pipelines.studio import Studio

PHOTO, GENERATED = "A photo", "The prompt's own picture"

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
    events = EditEvents(studio, settings.output, on)
    on.sentence.change(None, [on.sentence, on.words], on.words, js="blipdiff.words", **SILENT)
    on_change(on.subject.change, events.look_at_subject, on.subject, [on.strip, on.subject], ON_PHOTOS)
    on_change(on.kind.change, lambda kind: kind == PHOTO, on.kind, on.form.controls["keep_background"])
    on_change(on.photo.change, to_paint_on, on.photo, on.canvas, ON_PHOTOS)
    asked = [on.kind, on.photo, on.canvas, on.sentence, on.words, on.instead, on.subject, *on.form.controls.values()]
    shown = [on.status, on.slider, on.mask, on.maps, on.files, on.source]
    on_draw(on.edit, orders, on.status, events.edit, asked, shown)
    on_cancel(on.cancel, orders, on.status)
    on_click(on.take_over, to_paint_on, on.source, on.canvas, ON_PHOTOS)
    return on


def _lay_out(form: RequestForm) -> EditLayout:
    with gr.Row(elem_classes="workbench"):
        with gr.Column(scale=5, min_width=300):
            kind = gr.Radio([PHOTO, GENERATED], value=PHOTO, label="Source", elem_id="edit-kind")
            photo = photo_field("Photo", "edit-photo", 240).photo
            with gr.Accordion("Paint where the edit may happen", open=False, elem_id="edit-painting"):
                canvas = Canvas(
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
            words = Marks([], label="Swap", info="Click on the words for what is swapped.", elem_id="edit-words")
            instead = gr.Textbox(label="For", placeholder="dog", max_lines=1, elem_id="edit-instead")
            subject = gr.File(
                label="In the look of this subject",
                file_count="multiple",
                file_types=[*FILE_TYPES, CARD_SUFFIX],
                height=150,
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
                label="Before and after",
                interactive=False,
                format="png",
                height=420,
                elem_id="edit-slider",
                elem_classes="compared",
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

    def __init__(self, studio: Studio, output: Path, on: EditLayout) -> None:
        self._studio, self._output, self._on = studio, output, on

    def look_at_subject(self, paths: list[str] | None) -> Changes:
        """Shows what was dropped; what cannot be used is said and left out."""
        found = looked_through(paths or [])
        for complaint in found.complaints:
            notice(complaint)
        changes: Changes = {self._on.strip: markup.subjects(found.tiles)}
        return changes | ({self._on.subject: list(found.paths) or None} if found.complaints else {})

    def edit(
        self,
        order: Order,
        kind: str,
        photo: str | None,
        canvas: Mapping[str, Any] | None,
        sentence: str,
        clicked: list[int],
        instead: str,
        paths: list[str] | None,
        *typed: Any,
    ) -> Run:
        """The edit, saved in the output folder and shown beside its source."""
        paths, ended = paths or [], []

        def begin() -> Callable[[], Any]:
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
                return partial(self._events, request, given, [], mask)
            if photo is None:
                raise ConfigError("There is no photo yet; add one, or choose the prompt's own picture.")
            source = SourcePhoto(open_picture(photo), Path(photo).stem)
            return partial(self._events, request, given, [source], painted(canvas, source.image.size))

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

        return (yield from followed(order, self._on.status, begin, shown, end))

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
