"""Examples that are drawn with one click, where a tab has no pictures yet."""

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from app.ui.events import SILENT, on_click
from app.ui.files import served
from app.ui.form import Form
from app.ui.parts import Changes
from app.ui.room import Room
from app.ui.subjects import category_of

SCENE = "on a grass field"


def place_example(name: str) -> Any:
    """The button in the current Blocks; the style sheet hides it once there are pictures."""
    return gr.Button("Try an example", size="sm", elem_id=name, elem_classes="try")


def connect_example(button: Any, fill: Callable[[], Changes], outputs: Sequence[Any], draw: Any) -> None:
    """A click fills the fields, and then clicks on the button that draws."""
    filled = on_click(button, fill, None, list(outputs))
    filled.success(None, None, None, js=f"() => document.getElementById('{draw.elem_id}').click()", **SILENT)


def connect_subject_example(button: Any, room: Room, files: Any, form: Form, draw: Any) -> None:
    """A bundled photo, what it shows, and where it is drawn; nothing where there is no button."""
    if button is None:
        return
    photo = room.examples[0]
    said = {"category": category_of(photo), "prompt": SCENE}
    words = {form.controls[name]: text for name, text in said.items() if name in form.controls}

    def fill() -> Changes:
        return {files: [served(photo)], **words}

    connect_example(button, fill, [files, *words], draw)
