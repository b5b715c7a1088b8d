"""Shapes that no library has, drawn from chance, and a subject's look in a shape that is not its own."""

import math
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from blipdiff.data.records import Pixels

_FINE = 4  # shapes are drawn so many times larger, for smooth edges
_FILLED = 112 / 128  # of the side: as large as the library's subjects
_SMALLEST = 0.35  # of the other side
_FAINTEST = 1e-3
_Points = NDArray[np.float64]


def drawn_shape(side: int, rng: Generator) -> Pixels:
    """A mask (side, side) of a closed curve, a polygon, a body with limbs, or bars: 255 inside, in the middle."""
    canvas = np.zeros((side * _FINE, side * _FINE), np.uint8)
    draw = (_curve, _polygon, _body, _bars)[int(rng.choice(4, p=(0.2, 0.2, 0.4, 0.2)))]
    draw(canvas, rng)
    if rng.random() < 0.15:
        _hole(canvas, rng)
    return fitted_mask(canvas, side, float(rng.uniform(0.55, 1.0)) if rng.random() < 0.4 else 1.0)


def bent(mask: Pixels, rng: Generator) -> Pixels:
    """A mask (side, side) pulled about softly, sheared, and in another aspect: a shape like it, and not it."""
    side = mask.shape[0]
    coarse = rng.normal(0, side * float(rng.uniform(0.02, 0.07)), (2, 4, 4)).astype(np.float32)
    pull = [cv2.resize(one, (side, side), interpolation=cv2.INTER_CUBIC) for one in coarse]
    down, across = np.mgrid[0:side, 0:side].astype(np.float32)
    across += float(rng.uniform(-0.25, 0.25)) * (down - side / 2)
    moved = cv2.remap(mask, across + pull[0], down + pull[1], cv2.INTER_LINEAR)
    return fitted_mask(moved, side, float(rng.uniform(0.6, 1.0)))


def fitted_mask(canvas: Pixels, side: int, aspect: float = 1.0) -> Pixels:
    """What is drawn on `canvas`, in the middle of (side, side) as large as subjects are; `aspect` squeezes it."""
    rows, columns = np.flatnonzero(canvas.max(axis=1) > 127), np.flatnonzero(canvas.max(axis=0) > 127)
    fitted: Pixels = np.zeros((side, side), np.uint8)
    if len(rows) == 0:
        return fitted
    inner = canvas[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    height, width = inner.shape[0], inner.shape[1] * aspect
    scale = _FILLED * side / max(height, width)
    size = (max(2, round(width * scale)), max(2, round(height * scale)))
    small = cv2.resize(inner, size, interpolation=cv2.INTER_AREA)
    top, left = (side - size[1]) // 2, (side - size[0]) // 2
    fitted[top : top + size[1], left : left + size[0]] = small
    return fitted


def filled(look: Pixels, mask: Pixels) -> Pixels:
    """The look of a subject in another shape: each row of the shape takes the subject's row at the same height.

    look: premultiplied RGBA (side, side, 4); mask: (side, side); the result is premultiplied RGBA
    """
    texture, side = _without_gaps(look), mask.shape[0]
    from_rows, from_spans = _spans(look[..., 3])
    to_rows, to_spans = _spans(mask)
    height = np.clip((np.arange(side) - to_rows[0]) / max(to_rows[1] - to_rows[0], 1), 0, 1)
    down = from_rows[0] + height * (from_rows[1] - from_rows[0])
    nearest = np.rint(down).astype(int)
    wide = np.maximum(to_spans[:, 1] - to_spans[:, 0], 1)[:, None]
    along = np.clip((np.arange(side)[None] - to_spans[:, :1]) / wide, 0, 1)
    across = from_spans[nearest, :1] + along * (from_spans[nearest, 1:] - from_spans[nearest, :1])
    colours = cv2.remap(
        texture, across.astype(np.float32), np.repeat(down[:, None], side, 1).astype(np.float32), cv2.INTER_LINEAR
    )
    alpha = cv2.merge([mask] * 3)
    return np.dstack([cv2.multiply(colours, alpha, scale=1 / 255), mask])


def recast(shape: Pixels, look: Pixels) -> Pixels:
    """A subject with the colours of another: linear transport between the two (Pitie and Kokaram 2007, sec. 4).

    Both premultiplied RGBA (side, side, 4); `shape` gives the drawing, `look` mean and covariance of its colours.
    """
    (mean, spread), (wanted, wanted_spread) = (_statistics(one) for one in (shape, look))
    root = _root(spread)
    inverse = np.linalg.inv(root)
    transport = inverse @ _root(root @ wanted_spread @ root) @ inverse
    alpha = shape[..., 3:].astype(np.float64) / 255
    colours = (shape[..., :3] - alpha * mean) @ transport.T + alpha * wanted
    limited = np.clip(colours, 0, alpha * 255).round().astype(np.uint8)
    return np.dstack([limited, shape[..., 3]])


def _curve(canvas: Pixels, rng: Generator) -> None:
    angles = np.linspace(0, 2 * math.pi, 160, endpoint=False)
    radius = np.ones_like(angles)
    for waves in range(1, 7):
        radius += rng.normal(0, 0.4 / waves) * np.cos(waves * angles + rng.uniform(0, 2 * math.pi))
    _fill(canvas, np.stack([np.cos(angles), np.sin(angles)], 1) * np.maximum(radius, 0.25)[:, None])


def _polygon(canvas: Pixels, rng: Generator) -> None:
    corners = int(rng.integers(3, 12))
    angles = np.sort(rng.uniform(0, 2 * math.pi, corners))
    _fill(canvas, np.stack([np.cos(angles), np.sin(angles)], 1) * rng.uniform(0.35, 1, (corners, 1)))


def _body(canvas: Pixels, rng: Generator) -> None:
    """An ellipse or box with legs, a neck, a tail: thick lines that bend once and grow thinner."""
    side = canvas.shape[0]
    middle = np.array([0.5, float(rng.uniform(0.35, 0.6))])
    size = np.array([rng.uniform(0.12, 0.3), rng.uniform(0.08, 0.22)])
    if rng.random() < 0.7:
        _ellipse(canvas, middle, size, float(rng.uniform(-20, 20)))
    else:
        first, last = ((middle - size) * side).astype(int), ((middle + size) * side).astype(int)
        cv2.rectangle(canvas, first.tolist(), last.tolist(), 255, -1)
    legs = int(rng.integers(0, 5))
    for place in np.linspace(-0.8, 0.8, legs) if legs > 1 else [0.0] * legs:
        start = middle + size * (place, 0.5)
        _limb(canvas, start, start + np.array([rng.normal(0, 0.04), rng.uniform(0.2, 0.4)]), rng)
    for _ in range(int(rng.integers(0, 4))):
        angle = float(rng.uniform(-math.pi, 0.3))
        start = middle + size * 0.7 * (math.cos(angle), math.sin(angle))
        end = start + float(rng.uniform(0.12, 0.35)) * np.array([math.cos(angle), math.sin(angle)])
        _limb(canvas, start, end, rng)
        if rng.random() < 0.5:
            _ellipse(canvas, end, rng.uniform(0.04, 0.12, 2), float(rng.uniform(0, 180)))


def _bars(canvas: Pixels, rng: Generator) -> None:
    """Bars, upright and lying, as furniture and houses have them, joined in one place."""
    side, upright = canvas.shape[0], float(rng.uniform(0.3, 0.7))
    for number in range(int(rng.integers(2, 7))):
        long, thin = rng.uniform(0.25, 0.7), rng.uniform(0.04, 0.2)
        x, y = rng.uniform(0.2, 0.8), upright if number % 2 else rng.uniform(0.25, 0.75)
        wide, tall = (long, thin) if number % 2 else (thin, long)
        box = ((x * side, y * side), (wide * side, tall * side), float(rng.normal(0, 6)))
        cv2.fillPoly(canvas, [cv2.boxPoints(box).astype(np.int32)], 255)


def _hole(canvas: Pixels, rng: Generator) -> None:
    rows, columns = np.nonzero(canvas)
    if len(rows):
        place = int(rng.integers(len(rows)))
        radius = int(canvas.shape[0] * rng.uniform(0.03, 0.1))
        cv2.circle(canvas, (int(columns[place]), int(rows[place])), radius, 0, -1)


def _fill(canvas: Pixels, points: _Points) -> None:
    side = canvas.shape[0]
    cv2.fillPoly(canvas, [((points * 0.3 + 0.5) * side).astype(np.int32)], 255)


def _ellipse(canvas: Pixels, middle: _Points, radii: _Points, degrees: float) -> None:
    side = canvas.shape[0]
    centre, axes = (middle * side).astype(int).tolist(), (radii * side).astype(int).tolist()
    cv2.ellipse(canvas, centre, axes, degrees, 0, 360, 255, -1)


def _limb(canvas: Pixels, start: _Points, end: _Points, rng: Generator) -> None:
    side = canvas.shape[0]
    knee = (start + end) / 2 + rng.normal(0, 0.04, 2)
    thick, thin = sorted(rng.uniform(0.02, 0.09, 2), reverse=True)
    for share in np.linspace(0, 1, 24):
        place = (1 - share) ** 2 * start + 2 * share * (1 - share) * knee + share**2 * end
        radius = max(1, int(side * (thick + (thin - thick) * share) / 1.5))
        cv2.circle(canvas, (place * side).astype(int).tolist(), radius, 255, -1)


def _without_gaps(look: Pixels) -> Pixels:
    """RGB (side, side, 3) of a premultiplied cut-out, its nearest colours carried on where there is nothing."""
    alpha = look[..., 3:].astype(np.float32) / 255
    colours = look[..., :3].astype(np.float32)
    known: NDArray[np.floating[Any]] = alpha
    result: NDArray[np.floating[Any]] = colours
    for spread in (1.5, 4.0, 12.0, 48.0):
        near = cv2.GaussianBlur(colours, (0, 0), spread)
        weight = cv2.GaussianBlur(alpha, (0, 0), spread)[..., None]
        result = result + (1 - known) * np.where(weight > _FAINTEST, near / np.maximum(weight, _FAINTEST), 0)
        known = np.maximum(known, (weight > _FAINTEST).astype(np.float32))
    return result.clip(0, 255).round().astype(np.uint8)


def _spans(mask: Pixels) -> tuple[tuple[int, int], _Points]:
    """First and last row of a mask, and for each row (side, 2) the first and the last place; the nearest row's else."""
    inside = mask > 127
    rows = np.flatnonzero(inside.any(axis=1))
    side = mask.shape[0]
    if len(rows) == 0:
        return (0, side - 1), np.tile(np.array([0.0, side - 1.0]), (side, 1))
    spans = np.stack([inside.argmax(axis=1), side - 1 - inside[:, ::-1].argmax(axis=1)], 1).astype(np.float64)
    nearest = rows[np.abs(np.arange(side)[:, None] - rows[None]).argmin(axis=1)]
    return (int(rows[0]), int(rows[-1])), spans[nearest]


def _statistics(cut_out: Pixels) -> tuple[_Points, _Points]:
    """Mean (3,) and covariance (3, 3) of a premultiplied cut-out's solid colours; never flat."""
    solid = cut_out[cut_out[..., 3] > 250][:, :3].astype(np.float64)
    if len(solid) < 8:
        return np.full(3, 128.0), np.eye(3) * 100
    return solid.mean(axis=0), np.cov(solid.T) + np.eye(3) * 4


def _root(matrix: _Points) -> _Points:
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T)


def cluttered(picture: Pixels, rng: Generator) -> Pixels:
    """RGB (side, side, 3) with strokes and specks in colours near those that they lie on: a photo's detail."""
    side, drawn = picture.shape[0], picture.copy()
    for _ in range(int(rng.integers(4, 28))):
        start = rng.uniform(0, side, 2)
        points = start + np.cumsum(rng.normal(0, side * float(rng.uniform(0.02, 0.12)), (4, 2)), axis=0)
        below = drawn[int(start[1]), int(start[0])].astype(np.float64)
        colour = np.clip(below + rng.normal(0, 45) + rng.normal(0, 15, 3), 0, 255).tolist()
        if rng.random() < 0.5:
            thick = int(rng.integers(1, max(2, side // 20)))
            cv2.polylines(drawn, [points.astype(np.int32)], False, colour, thick, cv2.LINE_AA)
        else:
            cv2.fillPoly(drawn, [points.astype(np.int32)], colour, cv2.LINE_AA)
    return drawn
