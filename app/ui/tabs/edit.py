"""The tab that edits: a source, the words to swap, the subject; before and after, and the mask."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from app.outputs import PICTURE
from app.ui.bench import Bench, Room
from app.ui.components import Canvas, Marks
from app.ui.events import ON_PHOTOS, SILENT, on_change, on_click
from app.ui.files import served
from app.ui.notices import notice
from app.ui.photos import photo_field, to_paint_on
from app.ui.runs import Changes
from app.ui.subject_field import SubjectField
from app.ui.tabs.edit_words import sentence_of, swapped_words
from app.ui.views import View
from blipdiff.errors import ConfigError
from blipdiff.images import open_picture
from pipelines.job import Job
from pipelines.plan import picture_size
from pipelines.task import Task

PHOTO, GENERATED = "A photo", "The prompt's own picture"

_OWN = {"steps": 20, "keep_background": True}
_SAID = ("source", "target", "category", "prompt", "focus", "from_prompt")  # by the sentence and the kind of source


def edit_tab(room: Room, task: Task) -> None:
    """Builds the tab in the current Blocks."""
    bench = Bench(room, task, _OWN, without=_SAID)
    form = bench.form
    with bench.workbench():
        with bench.asking():
            kind = gr.Radio([PHOTO, GENERATED], value=PHOTO, label="Source", elem_id="edit-kind")
            photo = photo_field("Photo", "edit-photo", 240).photo
            with gr.Accordion("Paint where the edit may happen", open=False, elem_id="edit-painting"):
                canvas = _canvas()
            sentence = gr.Textbox(
                label="What the picture shows", placeholder="a cat sits on a sofa", max_lines=2, elem_id="edit-sentence"
            )
            words = Marks([], label="Swap", info="Click on the words for what is swapped.", elem_id="edit-words")
            instead = gr.Textbox(label="For", placeholder="dog", max_lines=1, elem_id="edit-instead")
            subject = SubjectField(bench.id, "In the look of this subject")
            form.place("strength", "keep_background", "seed")
            bench.place_settings()
            [edit] = bench.place_actions("Give a source, click on a word, and say what it becomes.", draw="Edit")
        with bench.seeing():
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
            source = gr.State(None)  # the last source's file, to paint on
            seen = {"slider": slider, "mask": mask, "maps": maps, "source": source}
            bench.place_results(show=lambda _job, view: _compared(seen, view))

    def asked(
        source_kind: str,
        path: str | None,
        painting: Mapping[str, Any] | None,
        said: str,
        clicked: list[int],
        target: str,
        paths: list[str] | None,
        typed: Any,
    ) -> Job:
        swapped = swapped_words(said, clicked, target)
        request = form.request(
            typed,
            source=swapped.source,
            target=swapped.target,
            prompt=swapped.prompt,
            focus=swapped.focus,
            category=target.strip() or swapped.named,
            from_prompt=source_kind == GENERATED,
        )
        given = {"subject": [Path(one) for one in paths or ()]}
        if request.from_prompt:
            return Job.of(request, mask=painted(painting, picture_size(room.studio.model, request)), **given)
        if path is None:
            raise ConfigError("There is no photo yet; add one, or choose the prompt's own picture.")
        return Job.of(request, source=Path(path), mask=painted(painting, open_picture(path).size), **given)

    def recalled(job: Job) -> Changes:
        """The sentence and the subject; the photo, and which words were clicked on, have to be given again."""
        said, target = sentence_of(job.request)
        told = {sentence: said, instead: target, kind: GENERATED if job.request.from_prompt else PHOTO}
        notice(f"Click on what was swapped, {job.request.source}; and give the photo again if it was one.")
        return told | (subject.recalled(job, room.studio.model) if job.given("subject") else {subject.files: None})

    sentence.change(None, [sentence, words], words, js="blipdiff.words", **SILENT)
    subject.connect()
    on_change(kind.input, lambda chosen: chosen == PHOTO, kind, form.controls["keep_background"])
    on_change(photo.change, to_paint_on, photo, canvas, ON_PHOTOS)
    on_click(take_over, to_paint_on, source, canvas, ON_PHOTOS)
    bench.connect(edit, asked, [kind, photo, canvas, sentence, words, instead, subject.files], list(seen.values()))
    bench.connect_rest(recalled, [kind, sentence, instead, subject.files])


def painted(canvas: Mapping[str, Any] | None, size: tuple[int, int]) -> Image.Image | None:
    """What was painted on the canvas, in white on black and of the source's size; None for nothing."""
    layers = [] if canvas is None else canvas.get("layers") or []
    opaque = [np.asarray(layer.convert("RGBA"))[..., 3] for layer in layers]
    if not any(layer.any() for layer in opaque):
        return None
    return Image.fromarray(np.maximum.reduce(opaque)).resize(size)


def _canvas() -> Any:
    return Canvas(
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


def _compared(on: Mapping[str, Any], view: View) -> Changes:
    """The newest edit beside its source, its mask, and where its words were seen."""
    if not view.finished:
        return {}
    paths = {part: served(path) for part, path in view.finished[-1].paths.items()}
    return {
        on["slider"]: (paths["before"], paths[PICTURE]),
        on["mask"]: paths.get("mask"),
        on["maps"]: paths["maps"],
        on["source"]: paths["before"],
    }
