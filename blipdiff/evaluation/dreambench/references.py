"""Photos as references, in the variants that published figures differ in: as they are, on white, masked."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from blipdiff.cut_out import cut_out
from blipdiff.errors import ImageError
from blipdiff.images import open_picture
from blipdiff.outputs import written_file

RAW, WHITE, MASKED = "raw", "white ground", "masked reference"
VARIANTS = (RAW, WHITE, MASKED)

_SIDE = 320  # pixels of the longer side on which masks are found: encoders see 224


def found_mask(photo: Path, kept: Path) -> Image.Image | None:
    """Where in its photo the subject is: the mask in the file `kept`, or the one that is found, and kept there.

    None where no subject stands out. Raises: ImageError for a damaged mask, OutputError where none can be kept.
    """
    if kept.is_file():
        return open_picture(kept).convert("L")
    picture = open_picture(photo)
    small = picture.copy()
    small.thumbnail((_SIDE, _SIDE))
    try:
        mask = cut_out(small).mask.resize(picture.size, Image.Resampling.BICUBIC)
    except ImageError:
        return None
    with written_file(kept) as part:
        mask.save(part, format="PNG")
    return mask


def reference_variants(photo: Path, mask: Image.Image | None, mean: tuple[int, int, int]) -> Mapping[str, Image.Image]:
    """The photo as it is, its ground white, and its ground of the encoder's mean colour, which it reads as nothing.

    The last two are missing where no mask is given.
    """
    picture = open_picture(photo)
    if mask is None:
        return {RAW: picture}
    return {RAW: picture, WHITE: _on(picture, mask, (255, 255, 255)), MASKED: _on(picture, mask, mean)}


def _on(picture: Image.Image, mask: Image.Image, colour: tuple[int, int, int]) -> Image.Image:
    share = np.asarray(mask.resize(picture.size), np.float32)[..., None] / 255
    mixed = share * np.asarray(picture, np.float32) + (1 - share) * np.asarray(colour, np.float32)
    return Image.fromarray(np.clip(mixed + 0.5, 0, 255).astype(np.uint8))
