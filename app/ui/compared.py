"""A picture beside what came of it, one over the other under a slider."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from app.ui.files import served
from app.ui.views import View
from blipdiff.images import as_rgb, fitted
from pipelines.job import Job


def place_compared(label: str, name: str, height: int = 420) -> Any:
    """The slider in the current Blocks; the style sheet hides it while there is nothing in it."""
    return gr.ImageSlider(
        label=label, interactive=False, format="png", height=height, min_width=260, elem_id=name,
        elem_classes="compared when-there",
    )  # fmt: skip


def compared(job: Job, view: View, given: str, fit: str = "squash") -> tuple[Any, Any] | None:
    """What was given under this name, and the newest picture that came of it, in one size; None before there is one."""
    held: Sequence[Any] = job.opened().given(given) if view.drawn else ()
    if not held:
        return None
    path: Path = view.drawn[-1].path
    with Image.open(path) as picture:
        size = picture.size
    return fitted(as_rgb(held[0].image), size, fit), served(path)  # type: ignore[arg-type]
