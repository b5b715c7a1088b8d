"""Photo fields: what is uploaded is read by our own reader, and what is wrong with it is said beside it."""

from pathlib import Path
from typing import Any

import gradio as gr

from app.ui import markup
from app.ui.components import PREVIEW, Photo
from app.ui.events import ON_PHOTOS, on_change
from app.ui.files import served
from app.ui.subjects import by_name
from app.ui.texts import said
from blipdiff.errors import BlipdiffError
from blipdiff.images import open_picture
from blipdiff.picture_files import picture_file

FILE_TYPES = [
    "image", ".heic", ".heif", ".hif", ".avif", ".jp2", ".tga", ".ppm", ".pgm", ".tif", ".tiff",
]  # fmt: skip

_PREVIEW_SIDE = 1024
_SHOWN = ("PNG", "JPEG", "MPO", "WEBP", "GIF", "BMP", "AVIF", "ICO")  # what browsers show


def photo_field(label: str, name: str, height: int, example: Path | None = None, **looks: Any) -> Any:
    """A field for one photo in the current Blocks, and a note on it; `name` is its element's."""
    photo = Photo(
        label=label,
        type="filepath",
        image_mode=None,
        height=height,
        value=None if example is None else served(example),
        elem_id=name,
        elem_classes="takes-paste",
        **{"sources": ["upload", "clipboard"], **looks},
    )
    note = gr.HTML("", elem_id=f"{name}-note", elem_classes="note")
    on_change([photo.input, photo.upload, photo.clear], looked_at, photo, [photo, note], ON_PHOTOS)
    return photo


def looked_at(path: str | None) -> tuple[Any, Any]:
    """What the field shows of an upload, and a sentence on it: itself, a picture of it, or nothing where it is none."""
    if path is None:
        return gr.skip(), ""
    try:
        with picture_file(path) as picture:
            kind = str(picture.format)
        shown = open_picture(path)
    except BlipdiffError as error:
        return None, markup.message(by_name(error, [path]), "bad")
    if kind in _SHOWN:
        return gr.skip(), ""
    shown.thumbnail((_PREVIEW_SIDE, _PREVIEW_SIDE))
    preview = f"{path}{PREVIEW}"
    shown.save(preview)
    told = said("{name}, as it is read; browsers do not show such files.", name=Path(path).name)
    return preview, markup.message(told)


def to_paint_on(path: str | None) -> Any:
    """A photo on the canvas, upright and no larger than a stroke needs; nothing for one that cannot be read."""
    try:
        if path is None:
            return None
        picture = open_picture(path)
    except BlipdiffError:
        return None
    picture.thumbnail((_PREVIEW_SIDE, _PREVIEW_SIDE))
    return {"background": picture, "layers": [], "composite": None}
