"""What is asked of an edit, apart from any model: trials with a true mask, and what the edited pictures are worth."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from blipdiff.data.pairs import PairLibrary, Split
from blipdiff.data.records import Pair, Pixels
from blipdiff.errors import ShapeError
from blipdiff.evaluation.protocols import draw_trials

MOST_PSNR = 60.0  # dB: what equal pictures count as, so that means stay finite

_SOLID = 128  # alpha from here on is the subject
_MARGIN = 0.15  # of the mask's longer side, around it


@dataclass(frozen=True, slots=True, eq=False)
class EditTrial:
    """One subject to be swapped for another: `pair.target` is the picture, `pair.mask` says where its subject is.

    `candidates` are numbers of the library's subjects, all of different concepts: the new one at the place `right`,
    the old one among the others.
    """

    pair: Pair
    photo: Pixels  # (side, side, 3) of the new subject
    category: str
    candidates: tuple[int, ...]
    right: int


def draw_edit_trials(
    library: PairLibrary, split: Split = "held_out", *, count: int = 50, choices: int = 10, seed: int = 0
) -> list[EditTrial]:
    """As many trials on unseen subjects, old and new of different concepts. The same arguments give the same trials.

    Raises: ConfigError where the split has too few concepts.
    """
    found: list[EditTrial] = []
    for trial in draw_trials(library, split, subjects=count, pictures=1, choices=choices, seed=seed):
        old = trial.candidates[trial.right]
        others = [other for other in trial.candidates if other != old][: choices - 2]
        category = library.records[trial.wrong].category
        right = len(found) % choices  # no place is the right one more often than another
        candidates = [old, *others]
        candidates.insert(right, trial.wrong)
        found.append(EditTrial(trial.pair, trial.wrong_photo, category, tuple(candidates), right))
    return found


def psnr(one: Pixels, other: Pixels, where: NDArray[np.bool_] | None = None) -> float:
    """The peak signal-to-noise ratio in dB, at most `MOST_PSNR`; of the pixels `where` only, if they are given.

    one, other: (H, W, 3); where: (H, W)

    Raises: ShapeError for pictures of different sizes, or no pixel.
    """
    if one.shape != other.shape or (where is not None and (where.shape != one.shape[:2] or not where.any())):
        raise ShapeError(
            f"Pictures of {one.shape} and {other.shape} cannot be compared, or no pixel of them was meant."
        )
    error = np.square(one.astype(np.float64) - other)
    squares = float((error if where is None else error[where]).mean())
    return MOST_PSNR if squares == 0 else min(10 * math.log10(255**2 / squares), MOST_PSNR)


def background(mask: Pixels) -> NDArray[np.bool_]:
    """Where nothing of the subject is, not even of its soft edge: (H, W) of its alpha (H, W)."""
    return np.asarray(mask == 0)


def mask_iou(found: Pixels, true: Pixels) -> float:
    """Intersection over union of two masks (H, W) of 0 to 255; 1 for two empty ones.

    Raises: ShapeError for masks of different sizes.
    """
    if found.shape != true.shape:
        raise ShapeError(f"Masks of {found.shape} and {true.shape} cannot be compared.")
    one, other = found >= _SOLID, true >= _SOLID
    union = int((one | other).sum())
    return 1.0 if union == 0 else int((one & other).sum()) / union


def inside(picture: Pixels, mask: Pixels) -> Pixels:
    """What a metric sees of an edit: the square around the mask with a little margin, as large as the picture.

    Raises: ShapeError for an empty mask.
    """
    rows, columns = (np.flatnonzero((mask >= _SOLID).any(axis=axis)) for axis in (1, 0))
    if len(rows) == 0:
        raise ShapeError("The mask is empty; there is nothing inside it to compare.")
    spans = [(int(places[0]), int(places[-1]) + 1) for places in (rows, columns)]
    side = round(max(stop - start for start, stop in spans) * (1 + 2 * _MARGIN))
    side = min(side, *picture.shape[:2])
    top, left = (_beginning(span, side, size) for span, size in zip(spans, picture.shape[:2], strict=True))
    cut = picture[top : top + side, left : left + side]
    shown: Pixels = cv2.resize(cut, (picture.shape[1], picture.shape[0]), interpolation=cv2.INTER_CUBIC)
    return shown


def _beginning(span: Sequence[int], side: int, size: int) -> int:
    return int(np.clip((span[0] + span[1] - side) // 2, 0, size - side))
