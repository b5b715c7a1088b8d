"""Where an engine looked, painted over the photo."""

from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from blipdiff.images import as_rgb
from blipdiff.language.answers import Looked

Map: TypeAlias = NDArray[np.float32]  # (H, W)

_STRENGTH = 0.55  # of the colours over the photo


def heat_picture(photo: Image.Image, looked: Looked) -> Image.Image:
    """The photo in its own size under the colours of heat: blue where nothing was looked at, red where most was."""
    picture = np.asarray(as_rgb(photo))
    heat = over_photo(looked, photo.size)
    levels = np.round(255 * heat / max(float(heat.max()), 1e-12)).astype(np.uint8)
    colours = cv2.applyColorMap(levels, cv2.COLORMAP_JET)[..., ::-1]
    return Image.fromarray(np.round(picture * (1 - _STRENGTH) + colours * _STRENGTH).astype(np.uint8))


def over_photo(looked: Looked, size: tuple[int, int]) -> Map:
    """The shares as a map of the photo's size = (W, H), interpolated: what lies in its padding is left out."""
    width, height = size
    if looked.fit == "squash":
        return _smooth(looked.shares, width, height)
    side = max(size) if looked.fit == "pad" else min(size)
    square = _smooth(looked.shares, side, side)
    if looked.fit == "pad":
        top, left = (side - height) // 2, (side - width) // 2
        return square[top : top + height, left : left + width]
    found = np.zeros((height, width), np.float32)
    top, left = (height - side) // 2, (width - side) // 2
    found[top : top + side, left : left + side] = square
    return found


def _smooth(shares: Tensor, width: int, height: int) -> Map:
    smooth: Map = cv2.resize(shares.numpy().astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    return np.maximum(smooth, 0)
