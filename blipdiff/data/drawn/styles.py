"""Styles: filters over a whole picture, each with the words that name it; one to two milliseconds at 128 px."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator

from blipdiff.data.records import Pixels


@dataclass(frozen=True, slots=True)
class Style:
    """A filter and its wordings; where `keeps_colours` is false, captions must not name colours."""

    name: str
    apply: Callable[[Pixels, Generator], Pixels]
    wordings: tuple[str, ...]
    keeps_colours: bool


def _grey(picture: Pixels) -> Pixels:
    grey: Pixels = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return grey


def _edges(picture: Pixels) -> Pixels:
    """The strongest step of any channel around each place (side, side), 0 to 255."""
    steps: Pixels = cv2.morphologyEx(picture, cv2.MORPH_GRADIENT, np.ones((2, 2), np.uint8)).max(axis=2)
    return steps


def _table(stops: list[tuple[int, tuple[int, int, int]]]) -> Pixels:
    """A colour (256, 1, 3) for each grey, linear between the stops."""
    greys = [grey for grey, _ in stops]
    channels = [np.interp(np.arange(256), greys, [colour[i] for _, colour in stops]) for i in range(3)]
    table: Pixels = np.stack(channels, -1).astype(np.uint8)[:, None]
    return table


def pencil_sketch(picture: Pixels, rng: Generator) -> Pixels:
    """Dark lines on paper, by dodging the grey picture with its own blur."""
    grey = _grey(picture)
    blurred = cv2.GaussianBlur(grey, (0, 0), rng.uniform(2.0, 3.0))
    dodged = cv2.divide(grey, np.maximum(blurred, 1), scale=250)
    sketch = np.minimum(dodged, 255 - cv2.multiply(_edges(picture), 0.8))
    tone = cv2.addWeighted(sketch, 0.82, grey, 0.18, 0)
    return np.repeat(tone[..., None], 3, axis=2)


def pixel_art(picture: Pixels, rng: Generator) -> Pixels:
    """Large square pixels of few colours."""
    side = picture.shape[0]
    cells = side // int(rng.choice([4, 4, 5]))
    small = cv2.resize(picture, (cells, cells), interpolation=cv2.INTER_AREA)
    few = (small // 43 * 51).astype(np.uint8)
    result: Pixels = cv2.resize(few, (side, side), interpolation=cv2.INTER_NEAREST)
    return result


def _flattened(picture: Pixels, reach: int) -> Pixels:
    """Each place takes the mean of its calmest neighbouring square (Kuwahara's filter)."""
    grey = _grey(picture).astype(np.float32)
    size = (reach + 1, reach + 1)
    mean = cv2.blur(grey, size)
    spread = cv2.blur(grey * grey, size) - mean * mean
    colours = cv2.blur(picture, size)
    half = (reach + 1) // 2
    calmest = np.full_like(grey, np.inf)
    result: Pixels = colours.copy()
    for down in (-half, half):
        for right in (-half, half):
            moved = np.roll(spread, (down, right), (0, 1))
            better = moved < calmest
            calmest = np.minimum(calmest, moved)
            cv2.copyTo(np.roll(colours, (down, right), (0, 1)), better.view(np.uint8), result)
    return result


def oil_painting(picture: Pixels, rng: Generator) -> Pixels:
    """Flat dabs of rich colour with a relief of brush strokes."""
    flat = _flattened(picture, 6)
    hsv = cv2.cvtColor(flat, cv2.COLOR_RGB2HSV)
    hsv[..., 1] = cv2.multiply(hsv[..., 1], 1.3)
    rich = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    side = picture.shape[0]
    strokes = rng.integers(0, 256, (side // 6, side), dtype=np.uint8)
    relief = cv2.GaussianBlur(cv2.resize(strokes, (side, side), interpolation=cv2.INTER_LINEAR), (3, 3), 0)
    result: Pixels = np.clip(rich.astype(np.int16) + (relief.astype(np.int16) // 8 - 16)[..., None], 0, 255).astype(
        np.uint8
    )
    return result


def neon(picture: Pixels, rng: Generator) -> Pixels:
    """Glowing coloured lines on black."""
    steps = cv2.morphologyEx(picture, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    hue = np.full(picture.shape[:2], int(rng.integers(0, 180)), np.uint8)
    hue += (np.arange(picture.shape[0], dtype=np.uint8)[:, None] // 2) % 180
    strength = cv2.multiply(steps.max(axis=2), 1.8)
    lines = cv2.cvtColor(cv2.merge([hue % 180, np.full_like(hue, 215), strength]), cv2.COLOR_HSV2RGB)
    halo = cv2.GaussianBlur(lines, (0, 0), 3)
    result: Pixels = cv2.add(lines, cv2.multiply(halo, (0.9, 0.9, 0.9, 0)))
    return result


def black_and_white(picture: Pixels, _rng: Generator) -> Pixels:
    """Greys with a little more contrast."""
    grey = cv2.convertScaleAbs(_grey(picture), alpha=1.12, beta=-14)
    return np.repeat(grey[..., None], 3, axis=2)


def sepia(picture: Pixels, _rng: Generator) -> Pixels:
    """The brown tones of an old photograph."""
    result: Pixels = cv2.applyColorMap(_grey(picture), SEPIA)
    return result


def watercolor(picture: Pixels, rng: Generator) -> Pixels:
    """Pale washes that fade into white paper at the rim, with darker outlines."""
    soft = cv2.medianBlur(picture, 5)
    wash = cv2.GaussianBlur(soft, (3, 3), 0).astype(np.float32)
    side = picture.shape[0]
    blots = cv2.resize(rng.uniform(-1, 1, (9, 9)).astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC)
    places = np.abs(np.linspace(-1, 1, side, dtype=np.float32))
    rim = np.clip((0.93 + blots * 0.14 - np.maximum(places[None], places[:, None])) * 7, 0, 1)
    outlines = _edges(soft).astype(np.float32) * 0.22
    keep = (0.7 * rim * (0.88 + blots * 0.12))[..., None]
    result: Pixels = np.clip(250 + (wash - outlines[..., None] - 250) * keep, 0, 255).astype(np.uint8)
    return result


def blueprint(picture: Pixels, rng: Generator) -> Pixels:
    """White lines on blue squared paper."""
    lines = cv2.multiply(_edges(cv2.GaussianBlur(picture, (3, 3), 0)), 2.4)
    step, shift = int(rng.integers(12, 18)), int(rng.integers(0, 12))
    lines[shift::step] = np.maximum(lines[shift::step], 52)
    lines[:, shift::step] = np.maximum(lines[:, shift::step], 52)
    result: Pixels = cv2.applyColorMap(lines, BLUEPRINT)
    return result


def pop_art(picture: Pixels, rng: Generator) -> Pixels:
    """Four flat loud colours by brightness and black outlines."""
    grey = _grey(cv2.medianBlur(picture, 3))
    palette = POP_PALETTES[int(rng.integers(len(POP_PALETTES)))]
    result: Pixels = palette[LEVELS[grey]]
    result[_edges(picture) > 120] = (20, 12, 30)
    return result


SEPIA = _table([(0, (38, 22, 10)), (128, (150, 112, 72)), (255, (255, 240, 205))])
BLUEPRINT = _table([(0, (22, 62, 148)), (255, (240, 246, 255))])
LEVELS = np.digitize(np.arange(256), (70, 125, 185))
POP_PALETTES = np.array(
    [
        [(40, 20, 90), (230, 30, 120), (255, 200, 30), (255, 250, 215)],
        [(20, 40, 120), (0, 160, 220), (255, 80, 150), (255, 235, 60)],
        [(90, 10, 80), (240, 70, 40), (40, 200, 180), (255, 240, 120)],
    ],
    np.uint8,
)

STYLES = (
    Style("pencil sketch", pencil_sketch, ("as a pencil sketch", "pencil drawing", "a pencil sketch"), False),
    Style("pixel art", pixel_art, ("pixel art", "as pixel art", "in pixel art style"), True),
    Style("oil painting", oil_painting, ("as an oil painting", "oil painting", "painted in oil"), True),
    Style("neon", neon, ("in neon lights", "neon", "in neon style"), False),
    Style(
        "black and white", black_and_white, ("in black and white", "black and white photo", "black and white"), False
    ),
    Style("sepia", sepia, ("in sepia", "sepia photo", "sepia"), False),
    Style("watercolor", watercolor, ("as a watercolor painting", "watercolor", "in watercolor"), True),
    Style("blueprint", blueprint, ("as a blueprint", "blueprint", "in blueprint style"), False),
    Style("pop art", pop_art, ("as pop art", "pop art", "in pop art style"), False),
)
