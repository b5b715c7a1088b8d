"""Painted masks: what is one, and what is none."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from PIL import Image

from blipdiff.errors import ImageError
from blipdiff.given_pictures import PictureLike, as_image
from blipdiff.images import as_rgb

_GREY = 40  # levels of 255 by which a grey pixel's channels may differ: a JPEG's do
_STRAY = 0.005  # the share of pixels that may be otherwise than a mask's are
_SOLID = 128  # alpha from which a pixel counts as painted
_RULE = "A mask is white where the edit or the subject may be, black elsewhere, and grey for a part"


def as_mask(picture: PictureLike) -> Image.Image:
    """A painted mask in one channel, 255 where it is white; see-through parts are black, as around a layer's strokes.

    Raises: ImageError for a coloured picture, and for one whose erased parts may mean either.
    """
    given = as_image(picture)
    rgb = as_rgb(given, "black")
    if given.mode in ("1", "L"):
        return rgb.convert("L")
    if given.has_transparency_data:
        _check_erased(given)
    pixels = np.asarray(rgb)
    if _share(pixels.max(2) - pixels.min(2) > _GREY) > _STRAY:
        raise ImageError(f"The mask is a coloured picture. {_RULE}; its colours say none of that.")
    return rgb.convert("L")


def _check_erased(given: Image.Image) -> None:
    """White strokes on nothing are a mask; a photo with a hole is none."""
    clear = np.asarray(given.convert("RGBA"))
    seen = clear[..., 3] >= _SOLID
    if seen.all():
        return
    grey = clear[..., :3].max(2)
    between = seen & (grey > _GREY) & (grey < 255 - _GREY)
    if _share(between) > _STRAY:
        raise ImageError(f"The mask is a picture with erased parts. {_RULE}; paint the erased parts white or black.")


def _share(places: npt.NDArray[np.bool_]) -> float:
    return float(places.mean())


def scaling_of(masks: Mapping[str, Image.Image], size: tuple[int, int]) -> list[str]:
    """A sentence for each mask, by the word that it is for, that is not of the pictures' size (W, H)."""
    return [
        f"The mask of {word!r} is {mask.width} x {mask.height} pixels, and was scaled to the picture's "
        f"{size[0]} x {size[1]}."
        for word, mask in masks.items()
        if mask.size != size
    ]
