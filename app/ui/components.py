"""Gradio's components where their reading of what the browser sends would change it or refuse too much.

A photo stays the file that was uploaded: Gradio's own makes transparent parts black and 16 bits white, and takes any
size. A choice may be one that was offered a moment ago: the server's list can be newer than the page's.
"""

import base64
import binascii
import io
from abc import ABCMeta
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache
from PIL import Image

from app.ui.notices import refusal
from app.ui.texts import retold, said
from blipdiff.errors import ImageError
from blipdiff.picture_files import decoding, picture_of

_MOST_PAINTED = 4_000_000  # pixels; the page's canvas has one at most

PREVIEW = ".preview.png"  # behind the name of the file that it shows


def _kind(base: Any, name: str, **methods: Any) -> Any:
    """A kind of `base`, made without its metaclass: that writes a stub beside the source whenever it is imported."""
    looks = {"is_template": True, "__module__": __name__, **methods}
    return ABCMeta.__new__(type(base), name, (base,), looks)


def _file(self: Any, payload: Any) -> str | None:
    """The uploaded file's path, of which nothing is opened; for a preview, that of the file that it shows."""
    if payload is None:
        return None
    if payload.url and payload.url.startswith("data:"):
        return _from_data(payload.url, self.GRADIO_CACHE)
    if payload.path is None:
        return None
    original = str(payload.path).removesuffix(PREVIEW)
    return original if Path(original).is_file() else str(payload.path)


def _from_data(url: str, folder: str) -> str:
    head, _, body = url.partition(",")
    try:
        content = base64.b64decode(body, validate=True) if head.endswith(";base64") else b""
    except binascii.Error:
        content = b""  # read as a damaged picture is
    kind = head.removeprefix("data:image/").partition(";")[0]
    return str(save_bytes_to_cache(content, f"picture.{kind if kind.isalnum() else 'png'}", folder))


def _check_painted(data: bytes) -> None:
    """Passes for what a canvas of this page can be; a larger one would be held in memory while its order waits."""
    with decoding("what was painted"), Image.open(io.BytesIO(data)) as seen:
        size = seen.size
    if size[0] * size[1] > _MOST_PAINTED:
        told = {"width": size[0], "height": size[1], "most": _MOST_PAINTED // 10**6}
        raise ImageError(said("What was painted is {width} x {height} pixels, above {most} megapixels.", **told))


def _layer(_self: Any, file: Any, flatten_on_white: bool = False) -> Image.Image | None:
    """A painted layer as RGBA; None for the background and the picture with its strokes, which nobody asks for."""
    if file is None or flatten_on_white:
        return None
    try:
        data = bytes(file) if isinstance(file, bytes | bytearray | memoryview) else Path(file.path).read_bytes()
        _check_painted(data)
        return picture_of(data, "What was painted").convert("RGBA")
    except (OSError, ImageError) as reason:
        raise refusal(said("{reason} Paint it again.", reason=retold(str(reason)))) from reason


def _as_sent(_self: Any, payload: Any) -> Any:
    """What was chosen; the handlers check it."""
    return payload


Photo = _kind(gr.Image, "Photo", preprocess=_file)
Canvas = _kind(gr.ImageEditor, "Canvas", convert_and_format_image=_layer)
Marks = _kind(gr.CheckboxGroup, "Marks", preprocess=_as_sent)
OneOf = _kind(gr.Radio, "OneOf", preprocess=_as_sent)
Listed = _kind(gr.Dropdown, "Listed", preprocess=_as_sent)
