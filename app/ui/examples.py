"""Examples that are drawn with one click, where a tab has no pictures yet."""

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import gradio as gr
from PIL import Image

from app.ui.events import AT_ONCE, SILENT, on_click
from app.ui.files import served
from app.ui.form import Form
from app.ui.parts import Changes
from app.ui.room import Room
from app.ui.subjects import category_of
from blipdiff.images import open_picture
from pipelines.job import Job, run
from pipelines.pictures import save_picture
from pipelines.task import Result, task_named

SCENE, GROUND = "on a grass field", "on a white background"


def place_example(name: str) -> Any:
    """The button in the current Blocks; the style sheet hides it once there are pictures."""
    return gr.Button("Try an example", size="sm", elem_id=name, elem_classes="try")


def connect_example(
    button: Any, fill: Callable[..., Changes], outputs: Sequence[Any], draw: Any, how: dict[str, Any] = AT_ONCE
) -> None:
    """A click fills the fields, and then clicks on the button that draws."""
    filled = on_click(button, fill, None, list(outputs), how)
    filled.success(None, None, None, js=f"() => document.getElementById('{draw.elem_id}').click()", **SILENT)


def connect_inputs_example(
    button: Any,
    room: Room,
    form: Form,
    fills: Sequence[tuple[Sequence[Any], Callable[[Path], Changes]]],
    scene: str,
    draw: Any,
) -> None:
    """A bundled photo in each of a task's fields, what it shows, and where it is drawn.

    fills: of each field what changes, and how for a photo
    """
    photo = room.examples[0]
    said = {"category": category_of(photo), "prompt": scene}
    words = {form.controls[name]: text for name, text in said.items() if name in form.controls}

    def fill() -> Changes:
        given: Changes = {}
        for _, filled in fills:
            given |= filled(photo)
        return given | words

    connect_example(button, fill, [*(one for outputs, _ in fills for one in outputs), *words], draw)


def connect_slots_example(button: Any, slots: Any, draw: Any) -> None:
    """The bundled photos in their places."""
    connect_example(button, slots.example, [*slots.photos, *slots.words], draw)


def drawn_example(room: Room) -> str:
    """A picture with its settings, drawn by the first model for a tab that begins with one."""
    photo = room.examples[0]
    request = task_named("generate").request(category=category_of(photo), prompt=SCENE, count=1, seed=1)
    with closing(cast("Any", run(room.studio(), Job.of(request, subject=photo)))) as events:
        result = next(event for event in events if isinstance(event, Result))
    with TemporaryDirectory(prefix="blipdiff-") as folder:
        return served(save_picture(result.picture, Path(folder) / f"{category_of(photo)}.png"))


def half_of(photo: Path) -> Image.Image:
    """A mask of a photo's upper half."""
    picture = open_picture(photo)
    mask = Image.new("L", picture.size)
    mask.paste(255, (0, 0, picture.width, picture.height // 2))
    return mask
