"""A picture to paint on: what is painted is a mask, and the mask of a job that is recalled lies there to go on with."""

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from app.ui.components import Canvas
from app.ui.events import ON_PHOTOS, on_change
from app.ui.parts import Changes
from app.ui.photos import to_paint_on
from app.ui.subject_picker.masks import packed, unpacked

_SOLID = 128
_BLANK = 512  # pixels of each side, where there is no picture under a mask


class Painting:
    """Placed in the current Blocks; `name` is the canvas' element."""

    def __init__(self, name: str, label: str) -> None:
        self.canvas = Canvas(
            label=label,
            type="pil",
            image_mode="RGBA",
            sources=(),
            brush=gr.Brush(colors=["#ffffff"], color_mode="fixed"),
            transforms=(),
            layers=False,
            height=340,
            elem_id=name,
            elem_classes="paintable",
        )
        self._kept = gr.State(None)  # of a recalled job: the picture's path, None for none, and its mask, packed

    @property
    def inputs(self) -> list[Any]:
        """What `mask` reads."""
        return [self.canvas, self._kept]

    @property
    def outputs(self) -> list[Any]:
        """What `recalled` changes."""
        return [self.canvas, self._kept]

    def connect(self, picture: Any) -> None:
        """picture: the field whose picture is painted on"""
        on_change(picture.change, self.shown, [picture, self._kept], self.canvas, ON_PHOTOS)

    def shown(self, path: str | None, kept: Any = None) -> Any:
        """A picture on the canvas, with the mask that was kept for it."""
        mask = unpacked(kept[1]) if kept and kept[0] == path else None
        canvas = to_paint_on(path)
        if mask is None:
            return canvas
        if canvas is None:
            size = _fitting(mask.size)
            canvas = {"background": Image.new("RGB", size), "layers": [], "composite": None}
        return {**canvas, "layers": [_stroke(mask, canvas["background"].size)]}

    def mask(self, size: tuple[int, int], canvas: Mapping[str, Any] | None, kept: Any = None) -> Image.Image | None:
        """What is painted, in white on black of the picture's size; the mask that was kept, where it lies as it was."""
        found = painted(canvas, size)
        if found is None or not kept:
            return found
        before = unpacked(kept[1])
        return before if before.size == size and _is_same(canvas, before) else found

    def recalled(self, path: str | None, masks: Sequence[Any]) -> Changes:
        """The picture with a job's mask on it; `path` is its file, None for a picture that is drawn first."""
        kept = (path, packed(masks[0].convert("L"))) if masks else None
        return {self.canvas: self.shown(path, kept), self._kept: kept}


def painted(canvas: Mapping[str, Any] | None, size: tuple[int, int]) -> Image.Image | None:
    """What was painted on the canvas, in white on black and of the source's size; None for nothing."""
    layers = [] if canvas is None else canvas.get("layers") or []
    opaque = [np.asarray(layer.convert("RGBA"))[..., 3] for layer in layers]
    if not any(layer.any() for layer in opaque):
        return None
    return Image.fromarray(np.maximum.reduce(opaque)).resize(size)


def _is_same(canvas: Mapping[str, Any] | None, mask: Image.Image) -> bool:
    """Whether nothing was painted on a mask that was laid on the canvas; its edges come back a little softer."""
    now = painted(canvas, mask.size)
    return now is not None and bool(np.array_equal(np.asarray(now) >= _SOLID, np.asarray(mask) >= _SOLID))


def _stroke(mask: Image.Image, size: tuple[int, int]) -> Image.Image:
    """A mask as if it had been painted: white where it is, clear where it is not."""
    layer = Image.new("RGBA", size, "white")
    layer.putalpha(mask.resize(size))
    return layer


def _fitting(size: tuple[int, int]) -> tuple[int, int]:
    scale = _BLANK / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
