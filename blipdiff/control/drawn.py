"""Control maps that are drawn by arithmetic alone, without weights: edges, scribbles, tiles, a relief.

Pictures are (H, W, 3) uint8 RGB, maps (H, W) uint8.
"""

from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels: TypeAlias = NDArray[np.uint8]

FAR, HORIZON, NEAR = 26, 40, 150  # a relief's brightness: behind, where the floor begins, at its nearest edge
_SUBJECT = (178, 255)  # at the subject's outline, and at its thickest place
_WEAKEST_EDGE = 40.0  # of lightness per pixel: what a soft edge is compared with in a picture of faint ones


def canny(picture: Pixels, low: float = 100.0, high: float = 200.0) -> Pixels:
    """Edges one pixel wide, white on black (Canny 1986); `low` and `high` are the two thresholds of the gradient."""
    edges: Pixels = cv2.Canny(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), low, high)
    return edges


def soft_edges(picture: Pixels, smoothing: float = 1.0) -> Pixels:
    """Edges as bright as they are strong, in lightness and in colour; a stand-in for HED where no weights are.

    smoothing: standard deviation of the blur before, in hundredths of the shorter side
    """
    smooth = cv2.GaussianBlur(picture, (0, 0), max(0.3, smoothing / 100 * min(picture.shape[:2])))
    lab = cv2.cvtColor(smooth, cv2.COLOR_RGB2LAB).astype(np.float32)
    across, down = cv2.Sobel(lab, cv2.CV_32F, 1, 0), cv2.Sobel(lab, cv2.CV_32F, 0, 1)
    gradient_norm = np.sqrt((across**2 + down**2).sum(axis=2))
    strongest = max(float(np.percentile(gradient_norm, 99)), _WEAKEST_EDGE)
    lit: Pixels = (np.clip(gradient_norm / strongest, 0, 1) ** 0.75 * 255).round().astype(np.uint8)
    return lit


def scribble(picture: Pixels, thickness: float = 2.0, detail: float = 0.5) -> Pixels:
    """A few thick strokes along the strongest edges, as a hand would draw them.

    thickness: of the strokes, in hundredths of the shorter side; detail: 0 keeps outlines only, 1 keeps small things
    """
    side = min(picture.shape[:2])
    smooth = cv2.GaussianBlur(picture, (0, 0), max(0.5, side / 100 * (2.2 - 1.8 * detail)))
    edges = canny(smooth, 60 - 40 * detail, 150 - 90 * detail)
    edges = _without_specks(edges, side * (0.24 - 0.2 * detail))
    width = max(1, round(thickness / 100 * side))
    strokes: Pixels = cv2.dilate(edges, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width)))
    return strokes


def tile(picture: Pixels, factor: float = 4.0) -> Pixels:
    """The picture with its small things washed away: the map of a tile ControlNet, (H, W, 3).

    factor: how many times smaller the picture is made before it is enlarged again
    """
    height, width = picture.shape[:2]
    small = (max(1, round(width / factor)), max(1, round(height / factor)))
    smaller = cv2.resize(picture, small, interpolation=cv2.INTER_AREA)
    washed: Pixels = cv2.resize(smaller, (width, height), interpolation=cv2.INTER_CUBIC)
    return washed


def relief(mask: Pixels, floor: float | None) -> Pixels:
    """A depth-like map, the nearer the brighter: the subject before a far wall, on a floor that comes towards us.

    The subject is round: brightest where it is thickest. A drawing of what a depth estimator says, not a measurement.

    mask: (H, W), the subject's alpha; floor: the height of the horizon as a fraction of H from above, None without
    """
    height, width = mask.shape
    ground = np.full(height, FAR, np.float32)
    if floor is not None:
        first = round(floor * height)
        ground[first:] = np.linspace(HORIZON, NEAR, height - first)
    inside = cv2.distanceTransform((mask > 127).astype(np.uint8), cv2.DIST_L2, 3)
    thick = np.sqrt(inside / max(float(inside.max()), 1.0))
    low, high = _SUBJECT
    near = cv2.GaussianBlur(low + (high - low) * thick, (0, 0), max(0.5, min(mask.shape) / 64))
    share = mask.astype(np.float32) / 255
    mixed = share * near + (1 - share) * np.repeat(ground[:, None], width, axis=1)
    depth: Pixels = mixed.round().clip(0, 255).astype(np.uint8)
    return depth


def silhouette(picture: Pixels, tolerance: float = 0.2) -> Pixels:
    """The subject of a photo on even ground, white on black: what differs from the colours along the border.

    tolerance: how far a colour may be from the border's and still be ground, as a fraction of Lab's range
    """
    lab = cv2.cvtColor(cv2.GaussianBlur(picture, (3, 3), 0), cv2.COLOR_RGB2LAB).astype(np.float32)
    border = np.concatenate([lab[0], lab[-1], lab[:, 0], lab[:, -1]])
    away = np.linalg.norm(lab - np.median(border, axis=0), axis=2)
    mask = (away > 128 * tolerance).astype(np.uint8)
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled: Pixels = np.zeros_like(mask)
    least = 0.002 * mask.size
    cv2.drawContours(filled, [line for line in outlines if cv2.contourArea(line) > least], -1, 255, cv2.FILLED)
    return filled


def _without_specks(edges: Pixels, shortest: float) -> Pixels:
    """Edges without the connected ones of fewer than `shortest` pixels."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(edges, connectivity=8)
    kept = stats[:, cv2.CC_STAT_AREA] >= shortest
    kept[0] = False
    return np.where(kept[labels], 255, 0).astype(np.uint8)
