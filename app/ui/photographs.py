"""Whether a picture looks like a photograph: a guess from its pixels, for a hint that nothing hangs on."""

from pathlib import Path

import numpy as np
from PIL import Image

from blipdiff.errors import BlipdiffError
from blipdiff.images import as_rgb, open_picture

_SIDE = 256  # pixels at which it is looked at
_EQUAL = 0.3  # share of neighbours that are the same: photographs up to 0.18, drawn things 0.53 and more


def looks_like_photograph(picture: Image.Image) -> bool:
    """Whether neighbouring pixels hardly ever are the same, as light and lenses have it; drawings have even areas.

    A photograph of something on an even ground, or one that was cut out, passes for a drawing.
    """
    small = as_rgb(picture)
    small.thumbnail((_SIDE, _SIDE))
    pixels = np.asarray(small)
    if pixels.shape[1] < 2:
        return False
    same = (pixels[:, 1:] == pixels[:, :-1]).all(axis=-1)
    return float(same.mean()) < _EQUAL


def any_photograph(paths: list[str]) -> bool:
    """Whether one of these files looks like a photograph; what is no picture does not."""
    for path in paths:
        try:
            if looks_like_photograph(open_picture(Path(path))):
                return True
        except BlipdiffError:  # a card; or it is told where it is used
            continue
    return False
