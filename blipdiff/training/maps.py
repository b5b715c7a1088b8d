"""The maps that a ControlNet is trained on, drawn from pairs, with the variety that people's own maps have."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.random import Generator

from blipdiff.control.drawn import FAR, canny, relief
from blipdiff.data.records import Pair, Pixels

MapDrawing = Callable[[Pair, Generator], Pixels]


def _canny_map(pair: Pair, rng: Generator) -> Pixels:
    """Edges of the target, at thresholds as people set them: few lines or many."""
    low = float(rng.uniform(30, 120))
    return canny(pair.target, low, low * float(rng.uniform(1.6, 2.6)))


def _relief_map(pair: Pair, rng: Generator) -> Pixels:
    """The subject's relief, sometimes as soft as an estimator's, and sometimes without the floor."""
    drawn = relief(pair.mask, pair.floor if rng.random() < 0.7 else None)
    return drawn if rng.random() < 0.5 else cv2.GaussianBlur(drawn, (0, 0), float(rng.uniform(0.6, 1.6)))


MAPS: dict[str, MapDrawing] = {"canny": _canny_map, "relief": _relief_map}


def rough_edges(drawn: Pixels, rng: Generator) -> Pixels:
    """Edges with gaps, or with lines of two or three pixels."""
    side = drawn.shape[0]
    if rng.random() < 0.4:
        thick: Pixels = cv2.dilate(drawn, np.ones((int(rng.integers(2, 4)),) * 2, np.uint8))
        return thick
    broken = drawn.copy()
    for _ in range(int(rng.integers(2, 10))):
        centre = rng.integers(0, side, 2).tolist()
        cv2.circle(broken, centre, int(rng.integers(2, max(3, side // 16))), 0, -1)
    return broken


def rough_relief(drawn: Pixels, rng: Generator) -> Pixels:
    """A relief whose subject is flat, or whose whole range is another, as estimators differ."""
    if rng.random() < 0.5:
        low, high = float(rng.uniform(0, 60)), float(rng.uniform(150, 255))
        squeezed: Pixels = cv2.convertScaleAbs(drawn, alpha=(high - low) / 255, beta=low)
        return squeezed
    subject = drawn > 170
    flat = np.where(subject, int(rng.integers(150, 256)), drawn if rng.random() < 0.5 else FAR)
    return flat.astype(np.uint8)


ROUGH: dict[str, Callable[[Pixels, Generator], Pixels]] = {"canny": rough_edges, "relief": rough_relief}
