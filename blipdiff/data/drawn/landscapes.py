"""Places outdoors, each painted anew from a generator: meadow, beach, snow, sea, forest, desert, mountains, ..."""

import math
from itertools import pairwise

import numpy as np
from numpy.random import Generator

from blipdiff.data.drawn.colours import (
    Colour,
    Floats,
    disc,
    ellipse,
    fill,
    glow,
    hsv,
    near,
    noise,
    ramp,
    shade,
    speckle,
    stroke,
)
from blipdiff.data.drawn.patterns import Painted


def blue_sky(rng: Generator, side: int, clouds: float = 0.7) -> Floats:
    """A day's sky, with clouds in the share `clouds` of cases."""
    hue = rng.uniform(200, 216)
    value = rng.uniform(0.85, 1)
    picture = ramp(side, hsv(hue, rng.uniform(0.5, 0.75), value), hsv(hue - 6, rng.uniform(0.12, 0.3), 1))
    if rng.random() < clouds:
        white = hsv(0, 0, rng.uniform(0.96, 1))
        for _ in range(int(rng.integers(1, 4))):
            x, y, size = rng.uniform(0, 1), rng.uniform(0.04, 0.28), rng.uniform(0.04, 0.08)
            for puff in range(-2, 3):
                disc(
                    picture,
                    x + puff * size * 0.8,
                    y - (2 - abs(puff)) * size * 0.2,
                    size * (1 - abs(puff) * 0.22),
                    white,
                )
    return picture


def ground(
    rng: Generator,
    picture: Floats,
    horizon: float,
    top: Colour,
    bottom: Colour,
    *,
    waviness: float = 0.0,
    wave: tuple[float, float] | None = None,
) -> Floats:
    """`picture` with land from `horizon` (fraction of the side) down, its edge wavy by `waviness`.

    `wave` is the edge's frequency and phase, so that two edges can run side by side; drawn from `rng` else.
    """
    frequency, phase = wave or (rng.uniform(3, 7), rng.uniform(0, 6))
    side = picture.shape[0]
    land = ramp(side, top, top, bottom)
    x = np.linspace(0, 1, side)
    edge = horizon + waviness * np.sin(x * frequency + phase) + waviness * 0.4 * np.sin(x * 13)
    below = np.clip((np.arange(side)[:, None] / side - edge[None]) * side + 0.5, 0, 1)[..., None]
    result: Floats = (picture * (1 - below) + land * below).astype(np.float32)
    return result


def blades(rng: Generator, picture: Floats, horizon: float, colour: Colour, count: int = 420) -> None:
    """Paints grass blades, longer towards the viewer, into `picture`."""
    for y in np.sort(rng.uniform(horizon, 1.08, count)):
        x, length = rng.uniform(0, 1), 0.015 + 0.10 * (y - horizon)
        stroke(picture, (x, y), (x + rng.uniform(-0.4, 0.4) * length, y - length), near(rng, colour, 26))


def paint_grass(rng: Generator, side: int) -> Painted:
    """A green field, sometimes under a strip of sky, sometimes seen from above."""
    horizon = float(rng.uniform(-0.2, 0.5))
    green = hsv(rng.uniform(88, 122), rng.uniform(0.6, 0.85), rng.uniform(0.5, 0.75))
    darker = shade(green, 0.67)
    picture = ground(rng, blue_sky(rng, side), horizon, green, darker, waviness=0.015)
    blades(rng, picture, max(horizon, 0) + 0.02, green)
    return picture, ()


def paint_flowers(rng: Generator, side: int) -> Painted:
    """A meadow full of flowers of one to three colours."""
    horizon = float(rng.uniform(-0.1, 0.4))
    green = hsv(rng.uniform(90, 125), rng.uniform(0.55, 0.8), rng.uniform(0.42, 0.62))
    picture = ground(rng, blue_sky(rng, side), horizon, green, shade(green, 0.72), waviness=0.015)
    blades(rng, picture, max(horizon, 0) + 0.02, green, 200)
    hues = [(h, s) for h, s in ((0, 0.85), (330, 0.5), (52, 0.9), (280, 0.55), (30, 0.9), (0, 0.0), (350, 0.35))]
    kinds = rng.choice(len(hues), int(rng.integers(1, 4)), replace=False)
    for y in np.sort(rng.uniform(max(horizon, 0) + 0.03, 1.03, int(rng.integers(70, 130)))):
        hue, saturation = hues[int(rng.choice(kinds))]
        petal, x = near(rng, hsv(hue, saturation, 0.97), 10), rng.uniform(0, 1)
        radius = 0.008 + 0.028 * (y - max(horizon, 0))
        for turn in range(5):
            angle = turn * 2 * math.pi / 5
            disc(picture, x + radius * math.cos(angle), y + radius * math.sin(angle), radius * 0.75, petal)
        disc(picture, x, y, radius * 0.6, (250, 205, 40) if hue != 52 else (150, 90, 30))
    return picture, ()


def paint_beach(rng: Generator, side: int) -> Painted:
    """Sky, sea, foam and sand."""
    horizon, shore = rng.uniform(0.2, 0.38), rng.uniform(0.5, 0.66)
    sand = hsv(rng.uniform(36, 44), rng.uniform(0.28, 0.45), rng.uniform(0.9, 0.98))
    sea = hsv(rng.uniform(185, 208), rng.uniform(0.6, 0.85), rng.uniform(0.65, 0.85))
    picture = ground(rng, blue_sky(rng, side), horizon, sea, (sea[0] + 60, min(sea[1] + 40, 255), sea[2]))
    wave = (rng.uniform(3, 7), rng.uniform(0, 6))
    foam: Colour = (250, 252, 250)
    picture = ground(rng, picture, shore - 0.035, foam, foam, waviness=0.02, wave=wave)
    picture = ground(rng, picture, shore, sand, near(rng, sand, 10), waviness=0.02, wave=wave)
    grain = noise(rng, side, 60, 2) * (np.arange(side)[:, None] > shore * side + 3)
    picture = speckle(picture, grain.astype(np.float32), 12)
    if rng.random() < 0.5:
        disc(picture, rng.uniform(0.1, 0.9), rng.uniform(0.06, 0.14), rng.uniform(0.05, 0.08), (255, 240, 150))
    return picture, ()


def paint_snow(rng: Generator, side: int) -> Painted:
    """White hills, falling flakes, sometimes small firs."""
    horizon = rng.uniform(0.3, 0.5)
    hue = rng.uniform(205, 225)
    picture = ramp(side, hsv(hue, rng.uniform(0.25, 0.5), rng.uniform(0.65, 0.9)), hsv(hue, 0.12, 0.92))
    far = hsv(hue, 0.1, 0.93)
    picture = ground(rng, picture, horizon, far, far, waviness=0.04)
    for _ in range(int(rng.integers(0, 7))):
        fir(
            picture, rng.uniform(0, 1), horizon + rng.uniform(0.02, 0.12), rng.uniform(0.14, 0.26), hsv(160, 0.45, 0.35)
        )
    picture = ground(rng, picture, horizon + 0.12, (252, 253, 255), hsv(hue, 0.06, 0.96), waviness=0.03)
    for _ in range(int(rng.integers(30, 90))):
        disc(picture, rng.uniform(0, 1), rng.uniform(0, 1), rng.uniform(0.005, 0.013), (255, 255, 255))
    return picture, ()


def fir(picture: Floats, x: float, foot: float, tall: float, colour: Colour) -> None:
    """Paints a fir of three triangles on a trunk."""
    stroke(picture, (x, foot), (x, foot - tall * 0.3), (80, 55, 40), max(1, round(tall * 12)))
    for level in range(3):
        base, half = foot - tall * (0.12 + 0.24 * level), tall * (0.32 - 0.07 * level)
        fill(picture, [(x - half, base), (x + half, base), (x, base - tall * 0.42)], colour)


def paint_forest(rng: Generator, side: int) -> Painted:
    """Rows of trees, leafy or fir, on dark ground."""
    hue = rng.uniform(95, 150)
    picture = ramp(side, hsv(hue, 0.3, rng.uniform(0.62, 0.85)), hsv(hue, 0.4, 0.6))
    soil = hsv(rng.uniform(35, 100), rng.uniform(0.4, 0.6), rng.uniform(0.25, 0.42))
    picture = ground(rng, picture, 0.68, soil, shade(soil, 0.7), waviness=0.02)
    are_firs = rng.random() < 0.5
    for layer in range(3):
        leaf = hsv(hue + rng.uniform(-8, 8), 0.55 + 0.1 * layer, 0.5 - 0.12 * layer)
        foot = 0.66 + 0.09 * layer
        for x in np.linspace(-0.05, 1.05, 9 - 2 * layer) + rng.uniform(-0.05, 0.05, 9 - 2 * layer):
            tone = near(rng, leaf, 10)
            if are_firs:
                fir(picture, x, foot, rng.uniform(0.45, 0.62) + 0.08 * layer, tone)
            else:
                stroke(picture, (x, foot), (x, 0.2), near(rng, (88, 62, 44), 10), 2 + 2 * layer)
                for _ in range(6):
                    disc(
                        picture,
                        x + rng.uniform(-0.08, 0.08),
                        rng.uniform(0.0, 0.36),
                        rng.uniform(0.06, 0.11),
                        near(rng, tone, 12),
                    )
    return picture, ()


def paint_desert(rng: Generator, side: int) -> Painted:
    """Dunes in sun, sometimes cacti."""
    sand = hsv(rng.uniform(26, 38), rng.uniform(0.5, 0.68), rng.uniform(0.86, 0.97))
    picture = blue_sky(rng, side, 0.1) if rng.random() < 0.6 else ramp(side, (250, 190, 110), (255, 228, 180))
    disc(picture, rng.uniform(0.1, 0.9), rng.uniform(0.08, 0.2), rng.uniform(0.06, 0.09), (255, 244, 190))
    horizon = rng.uniform(0.36, 0.5)
    for layer in range(3):
        tone = shade(sand, 1 - 0.12 * layer)
        picture = ground(rng, picture, horizon + 0.16 * layer, tone, shade(tone, 0.85), waviness=0.045)
        if rng.random() < 0.45:
            x, foot, tall = rng.uniform(0.05, 0.95), horizon + 0.16 * layer + 0.06, rng.uniform(0.14, 0.24)
            for dx, low, high in ((0, 0, 1), (-0.3, 0.4, 0.8), (0.3, 0.3, 0.7)):
                ends = (x + dx * tall, foot - low * tall), (x + dx * tall, foot - high * tall)
                stroke(picture, *ends, (50, 120, 60), 4)
            stroke(picture, (x - 0.3 * tall, foot - 0.4 * tall), (x, foot - 0.4 * tall), (50, 120, 60), 3)
            stroke(picture, (x + 0.3 * tall, foot - 0.3 * tall), (x, foot - 0.3 * tall), (50, 120, 60), 3)
    return picture, ()


def paint_mountains(rng: Generator, side: int) -> Painted:
    """Grey-blue peaks with snow on top, above green foothills."""
    picture = blue_sky(rng, side)
    for layer in range(2):
        rock = hsv(rng.uniform(210, 250), rng.uniform(0.12, 0.3), 0.66 - 0.16 * layer)
        count = int(rng.integers(2, 5))
        for x in np.linspace(0, 1, count) + rng.uniform(-0.1, 0.1, count):
            top, half = rng.uniform(0.08, 0.3) + 0.14 * layer, rng.uniform(0.3, 0.48)
            fill(picture, [(x - half, 0.82), (x, top), (x + half, 0.82)], rock)
            fill(
                picture,
                [(x, top), (x + half, 0.82), (x + half * 0.12, 0.82)],
                shade(rock, 0.83),
            )
            drop = 0.26 * (0.82 - top)
            share = half * 0.26
            cap = [(x, top), (x + share, top + drop), (x + share * 0.4, top + drop * 0.75), (x, top + drop * 1.15)]
            fill(picture, [*cap, (x - share * 0.4, top + drop * 0.75), (x - share, top + drop)], (248, 250, 255))
    green = hsv(rng.uniform(90, 130), rng.uniform(0.4, 0.6), rng.uniform(0.4, 0.6))
    return ground(rng, picture, rng.uniform(0.7, 0.8), green, shade(green, 0.72), waviness=0.02), ()


def paint_sea(rng: Generator, side: int) -> Painted:
    """Open water with waves under a strip of sky."""
    horizon = rng.uniform(0.15, 0.4)
    hue = rng.uniform(195, 218)
    light = hsv(hue, rng.uniform(0.6, 0.8), rng.uniform(0.6, 0.8))
    picture = ground(rng, blue_sky(rng, side), horizon, light, shade(light, 0.61))
    for y in np.linspace(horizon + 0.03, 0.98, int(rng.integers(9, 15))):
        near_by = (y - horizon) / (1 - horizon)
        for _ in range(int(8 - 4 * near_by)):
            x, half = rng.uniform(-0.05, 1.05), 0.03 + 0.07 * near_by
            crest = [
                (x - half, y),
                (x - half / 2, y - 0.012 - 0.02 * near_by),
                (x, y),
                (x + half / 2, y - 0.01),
                (x + half, y),
            ]
            for start, stop in pairwise(crest):
                stroke(picture, start, stop, (200, 228, 245), 1 + round(near_by))
    return picture, ()


def paint_sunset(rng: Generator, side: int) -> Painted:
    """A low sun in an orange to violet sky above dark land or water."""
    horizon = rng.uniform(0.62, 0.78)
    low, high = (
        hsv(rng.uniform(32, 46), 0.8, 1),
        hsv(rng.uniform(255, 300), rng.uniform(0.45, 0.65), rng.uniform(0.4, 0.6)),
    )
    picture = ramp(side, high, hsv(rng.uniform(345, 372), 0.68, 0.92), hsv(24, 0.85, 1), low, low)
    x, y = rng.uniform(0.2, 0.8), horizon - rng.uniform(0.0, 0.12)
    picture = glow(picture, x, y, 0.28, (255, 220, 130), strength=0.7)
    disc(picture, x, y, rng.uniform(0.09, 0.14), (255, 243, 190))
    dark = hsv(rng.uniform(260, 330), 0.5, rng.uniform(0.12, 0.25))
    picture = ground(rng, picture, horizon, dark, shade(dark, 0.6), waviness=rng.uniform(0, 0.03))
    for y_line in np.linspace(horizon + 0.03, 0.97, 7) if rng.random() < 0.5 else ():
        half = rng.uniform(0.03, 0.12)
        stroke(picture, (x - half, y_line), (x + half, y_line), (240, 160, 90), 1)
    return picture, ()


def paint_rain(rng: Generator, side: int) -> Painted:
    """A grey day with clouds, slanted drops and puddles."""
    grey = hsv(rng.uniform(205, 225), rng.uniform(0.12, 0.25), rng.uniform(0.48, 0.62))
    picture = ramp(side, shade(grey, 0.76), grey, near(rng, grey, 10))
    wet = shade(grey, 0.65)
    picture = ground(rng, picture, rng.uniform(0.7, 0.8), wet, shade(wet, 0.81))
    for x in np.linspace(-0.05, 1.05, 9):
        disc(picture, x, rng.uniform(-0.02, 0.06), rng.uniform(0.08, 0.13), near(rng, (95, 102, 115), 8))
    for _ in range(int(rng.integers(2, 5))):
        place = (rng.uniform(0, 1), rng.uniform(0.85, 0.97))
        ellipse(picture, place, (rng.uniform(0.08, 0.16), 0.025), (150, 165, 182))
    slant, drop = rng.uniform(-0.35, 0.35), (205, 220, 238)
    for _ in range(int(rng.integers(110, 180))):
        x, y, length = rng.uniform(-0.1, 1.1), rng.uniform(-0.05, 1), rng.uniform(0.04, 0.08)
        stroke(picture, (x, y), (x + slant * length, y + length), drop)
    return picture, ()


def paint_road(rng: Generator, side: int) -> Painted:
    """A road that runs to the horizon between fields."""
    horizon = rng.uniform(0.28, 0.42)
    green = hsv(rng.uniform(70, 115), rng.uniform(0.45, 0.65), rng.uniform(0.5, 0.7))
    picture = ground(rng, blue_sky(rng, side), horizon, green, shade(green, 0.8), waviness=0.01)
    x, wide = rng.uniform(0.4, 0.6), rng.uniform(0.36, 0.6)
    asphalt = near(rng, (92, 94, 100), 12)
    fill(picture, [(x - 0.02, horizon), (x + 0.02, horizon), (0.5 + wide, 1.02), (0.5 - wide, 1.02)], asphalt)
    paint = (250, 250, 245) if rng.random() < 0.6 else (250, 210, 60)
    for start in np.linspace(0.02, 0.95, 6):
        a, b = start**1.6, (start + 0.08) ** 1.6
        (xa, ya), (xb, yb) = ((x + (0.5 - x) * t, horizon + (1 - horizon) * t) for t in (a, b))
        fill(
            picture,
            [(xa - 0.012 * a - 0.002, ya), (xa + 0.012 * a + 0.002, ya), (xb + 0.02 * b, yb), (xb - 0.02 * b, yb)],
            paint,
        )
    return picture, ()
