"""A subject as a metric sees it: cut out exactly, in a frame of its own, without any ground."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from blipdiff.data.composites import premultiplied, warped
from blipdiff.data.drawn.subjects import FILLED
from blipdiff.data.records import Pixels
from blipdiff.errors import ImageError, ShapeError

Floats: TypeAlias = NDArray[np.float32]
T = TypeVar("T")

FRAME = 128  # side of a view, of which the subject's longer side takes 112
_SOLID = 16  # alpha below is no part of the subject
_GROUND_DISTANCE = 12.0  # in Lab: nearer to the ground's colour is ground
_SMALLEST_SHARE = 0.002


@dataclass(frozen=True, slots=True, eq=False)
class SubjectView:
    """A subject cut out of its photo: `cut_out` (128, 128, 4) RGBA, colours scaled by alpha."""

    cut_out: Pixels
    name: str = "subject"

    @classmethod
    def of_cut_out(cls, picture: Pixels, name: str = "subject") -> "SubjectView":
        """From (H, W, 4) RGBA with an exact mask.

        Raises: ShapeError for another shape, ImageError for a subject of less than a five-hundredth of the picture.
        """
        if picture.ndim != 3 or picture.shape[2] != 4:
            raise ShapeError(f"A cut-out of shape {picture.shape} was given; it is (H, W, 4) RGBA.")
        return cls(_framed(premultiplied(picture)), name)

    @classmethod
    def of_photo(cls, photo: Pixels, name: str = "subject") -> "SubjectView":
        """From (H, W, 3), the subject on a plain ground: what is reached from the rim in its colour is ground.

        Raises: ShapeError for another shape, ImageError when nothing stands out from the ground.
        """
        if photo.ndim != 3 or photo.shape[2] != 3:
            raise ShapeError(f"A photo of shape {photo.shape} was given; it is (H, W, 3) RGB.")
        alpha = _off_the_ground(photo)
        return cls(_framed(premultiplied(np.dstack([photo, alpha]))), name)

    def placed(self, scale: float, degrees: float = 0.0, *, mirrored: bool = False) -> Pixels:
        """The subject in the middle of its frame, its frame `scale` times as large: (128, 128, 4) as `cut_out`."""
        source = np.ascontiguousarray(self.cut_out[:, ::-1]) if mirrored else self.cut_out
        return warped(source, scale * 128 / 112, degrees, 0.5, 0.5)


def lab(picture: Pixels) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """CIE L*a*b* of an RGB picture: (H, W, 3), lightness from 0 to 100."""
    return np.asarray(cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB))


def _off_the_ground(photo: Pixels) -> Pixels:
    colours = lab(photo)
    rim = np.concatenate([colours[0], colours[-1], colours[:, 0], colours[:, -1]])
    ground = np.median(rim, axis=0)
    near = (np.linalg.norm(colours - ground, axis=2) < _GROUND_DISTANCE).astype(np.uint8)
    framed = np.pad(near, 1, constant_values=1)
    _, regions = cv2.connectedComponents(framed, connectivity=4)
    outside = (regions == regions[0, 0])[1:-1, 1:-1]
    return np.where(outside, 0, 255).astype(np.uint8)


def _framed(cut_out: Pixels) -> Pixels:
    """Premultiplied RGBA of any size, its subject in the middle of the frame."""
    solid = cut_out[..., 3] > _SOLID
    if solid.mean() < _SMALLEST_SHARE:
        raise ImageError("No subject stands out from the photo's ground; give one on another plain ground.")
    rows, columns = np.flatnonzero(solid.any(axis=1)), np.flatnonzero(solid.any(axis=0))
    cropped = cut_out[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = FILLED * FRAME / max(cropped.shape[:2])
    size = (max(1, round(cropped.shape[1] * scale)), max(1, round(cropped.shape[0] * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = cv2.resize(cropped, size, interpolation=method)
    view = np.zeros((FRAME, FRAME, 4), np.uint8)
    top, left = (FRAME - size[1]) // 2, (FRAME - size[0]) // 2
    view[top : top + size[1], left : left + size[0]] = small
    return view


class Remembered(Generic[T]):
    """What was made of the last subjects that were asked for; the longest unasked is forgotten."""

    def __init__(self, make: Callable[[SubjectView], T], most: int = 256) -> None:
        self._make, self._most = make, most
        self._kept: OrderedDict[bytes, T] = OrderedDict()

    def __call__(self, view: SubjectView) -> T:
        key = view.cut_out.tobytes()
        if key not in self._kept:
            self._kept[key] = self._make(view)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]
