"""The tab that shows attention: a picture, and where each word and the subject were seen in it."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from app.cli.attend import saved
from app.cli.files import check_writable
from app.settings import Settings
from app.ui import markup
from app.ui.drawing import Changes, Run, followed
from app.ui.events import on_cancel, on_draw
from app.ui.files import served
from app.ui.orders import Order, Orders
from app.ui.photos import FILE_TYPES
from app.ui.request_form import RequestForm
from app.ui.subjects import CARD_SUFFIX, references
from blipdiff.errors import SubjectError
from pipelines.attend import Attended, run_attend
from pipelines.requests import GenerateRequest
from pipelines.studio import Studio


def attend_tab(studio: Studio, settings: Settings, orders: Orders) -> None:
    """Builds the tab in the current Blocks."""
    form = RequestForm(GenerateRequest, "attend", {"guidance": studio.model.guidance, "count": 1})
    with gr.Row(elem_classes="workbench"):
        with gr.Column(scale=5, min_width=300):
            subject = gr.File(
                label="Subject",
                file_count="multiple",
                file_types=[*FILE_TYPES, CARD_SUFFIX],
                height=150,
                elem_id="attend-subject",
            )
            form.place("category", "prompt", "seed")
            with gr.Accordion("Settings", open=False):
                form.place("steps", "guidance", "scheduler", "negative", "target", "width", "height")
        with gr.Column(scale=8, min_width=300):
            with gr.Row():
                draw = gr.Button("Show", variant="primary", elem_id="attend-draw", min_width=120)
                cancel = gr.Button("Cancel", elem_id="attend-cancel", min_width=80)
            status = gr.HTML(markup.message("Add a subject and a prompt."))
            gallery = gr.Gallery(
                label="The picture, then where the subject and each word were seen",
                columns=4,
                object_fit="contain",
                interactive=False,
                elem_id="attend-gallery",
            )
    events = _Events(studio, settings.output, form, status, gallery)
    on_draw(draw, orders, status, events.attend, [subject, *form.controls.values()], [status, gallery])
    on_cancel(cancel, orders, status)


class _Events:
    """The tab's handler."""

    def __init__(self, studio: Studio, output: Path, form: RequestForm, status: Any, gallery: Any) -> None:
        self._studio, self._output, self._form = studio, output, form
        self._status, self._gallery = status, gallery

    def attend(self, order: Order, paths: list[str] | None, *typed: Any) -> Run:
        """Draws the picture and shows its maps, saved in the output folder."""
        paths = paths or []

        def begin() -> Callable[[], Any]:
            if not paths:
                raise SubjectError("There is no subject yet; add a photo or a subject card.")
            request = GenerateRequest(**self._form.values(typed), count=1)
            given = references(paths, request.category)
            check_writable(self._output)
            return partial(self._events, request, given)

        def shown(attended: Attended) -> Changes:
            picture, _sheet, *maps = saved(attended, self._output, metadata=True, each=True)
            names = ["the picture", *(one.word for one in attended.maps)]
            tiles = [(served(path), name) for path, name in zip([picture, *maps], names, strict=True)]
            return {self._gallery: gr.Gallery(tiles, selected_index=None)}

        def end() -> Changes:
            return {self._status: markup.message(f"Saved in {self._output}.", "good")}

        return (yield from followed(order, self._status, begin, shown, end))

    def _events(self, request: GenerateRequest, given: list[Any]) -> Any:
        return run_attend(self._studio, request, self._studio.subject(given, fit=request.fit))
