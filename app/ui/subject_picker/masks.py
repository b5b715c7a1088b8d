"""Cut-outs as the page shows and corrects them: the ground is grey, and what is wrong is painted over."""

import base64
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from app.ui.texts import retold, said
from blipdiff.cut_out import cut_out, reduced
from blipdiff.errors import BlipdiffError, ImageError
from blipdiff.images import as_layers, as_rgb

MORE, LESS = "#16a34a", "#dc2626"  # brushes: what belongs to the subject, what does not
CANVAS_SIDE = 1024  # pixels at most

_GROUND, _GREYED = "#64748b", 0.7  # what is left out, and how much of it is covered
_SOLID = 128  # alpha from which a place counts as painted
_SHOWN_SIDE = 320


@dataclass(frozen=True, slots=True, eq=False)
class Outlined:
    """A photo for the canvas, and where its subject was found: "L", of the same size; `note` says how sure that is."""

    canvas: Image.Image
    mask: Image.Image
    note: str
    is_sure: bool


def outlined_photo(photo: Image.Image, mask: Image.Image | None = None) -> Outlined:
    """Where the subject of a photo is: where `mask` says, else looked for. What is not found can be painted."""
    layers = as_layers(photo)
    small = as_rgb(layers)
    small.thumbnail((CANVAS_SIDE, CANVAS_SIDE))
    try:
        found = cut_out(layers, mask=mask)
    except BlipdiffError as error:
        nothing = Image.new("L", small.size)
        return Outlined(
            _greyed(small, nothing),
            nothing,
            said("{why} Or paint the subject here.", why=retold(str(error))),
            is_sure=False,
        )
    told = {
        "given": said("As it was corrected."),
        "alpha": said("Taken from the picture's own transparency."),
        "plain ground": said("Found by the plain ground."),
        "segmenter": said("Found by a segmenter."),
        "grabcut": said("Found by its colours alone, which may be wrong: correct it where it is."),
    }[found.way]
    outline = found.mask.resize(small.size)
    return Outlined(_greyed(small, outline), outline, told, found.sure)


def _greyed(photo: Image.Image, mask: Image.Image) -> Image.Image:
    """A photo whose ground is grey, so that one sees what is left out."""
    ground = Image.blend(photo.convert("L").convert("RGB"), Image.new("RGB", photo.size, _GROUND), _GREYED)
    return Image.composite(photo, ground, mask)


def corrected(found: Image.Image, strokes: Image.Image | None) -> Image.Image | None:
    """A mask with what was painted on it: what comes to the subject, and what does not belong to it.

    strokes: RGBA; None where nothing was painted
    """
    if strokes is None:
        return None
    pixels = np.asarray(strokes.convert("RGBA").resize(found.size, Image.Resampling.NEAREST)).astype(int)
    is_painted = pixels[..., 3] >= _SOLID
    if not is_painted.any():
        return None
    more = pixels[..., 1] >= pixels[..., 0]
    return Image.fromarray(np.where(is_painted, more * 255, np.asarray(found)).astype(np.uint8))


def shown_cut_out(photo: Image.Image, mask: Image.Image) -> str:
    """The subject without its ground, as the source of a picture on the page; empty where there is none."""
    try:
        found = cut_out(photo, mask=mask)
    except ImageError:
        return ""
    return layers_data(found.image)


def layers_data(layers: Image.Image) -> str:
    """A picture with its transparency, inside the page."""
    stream = io.BytesIO()
    reduced(layers, _SHOWN_SIDE).save(stream, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"


def packed(mask: Image.Image) -> bytes:
    """A mask as a visit keeps it."""
    stream = io.BytesIO()
    mask.save(stream, format="PNG")
    return stream.getvalue()


def unpacked(data: bytes) -> Image.Image:
    """What `packed` made of one."""
    mask = Image.open(io.BytesIO(data))
    mask.load()
    return mask
