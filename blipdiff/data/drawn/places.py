"""Places that are indoors, at night, or beyond: room, table, city, night sky, space, moon, fire, under water."""

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
    plain,
    ramp,
    shade,
    speckle,
    stroke,
)
from blipdiff.data.drawn.landscapes import ground
from blipdiff.data.drawn.patterns import Painted, plank_texture


def stars(rng: Generator, picture: Floats, count: int, lowest: float = 1.0) -> None:
    """Paints `count` stars above `lowest` (fraction of the side) into `picture`."""
    for _ in range(count):
        white = hsv(rng.uniform(0, 360), rng.uniform(0, 0.15), rng.uniform(0.75, 1))
        disc(picture, rng.uniform(0, 1), rng.uniform(0, lowest), rng.uniform(0.002, 0.009), white)


def paint_night_sky(rng: Generator, side: int) -> Painted:
    """A dark blue sky with stars and a crescent, above black hills."""
    hue = rng.uniform(222, 250)
    picture = ramp(side, hsv(hue, 0.8, rng.uniform(0.14, 0.24)), hsv(hue - 8, 0.65, rng.uniform(0.34, 0.5)))
    stars(rng, picture, int(rng.integers(35, 80)), 0.85)
    if rng.random() < 0.7:
        x, y, radius = rng.uniform(0.12, 0.88), rng.uniform(0.12, 0.3), rng.uniform(0.06, 0.1)
        sky = tuple(float(c) for c in picture[int(y * side), 0])
        disc(picture, x, y, radius, (252, 245, 205))
        disc(picture, x + radius * 0.5, y - radius * 0.25, radius * 0.85, (sky[0], sky[1], sky[2]))
    if rng.random() < 0.6:
        black: Colour = hsv(hue, 0.6, 0.09)
        picture = ground(rng, picture, rng.uniform(0.82, 0.92), black, black, waviness=0.03)
    return picture, ()


def paint_space(rng: Generator, side: int) -> Painted:
    """Black space with stars, a coloured nebula and planets."""
    picture = plain(side, (5, 4, 12))
    for _ in range(2):
        cloud = np.clip(noise(rng, side, 3, 4) * 1.3, 0, 1)[..., None]
        picture = (
            picture * (1 - 0.7 * cloud) + np.asarray(hsv(rng.uniform(190, 340), 0.8, 0.75), np.float32) * 0.7 * cloud
        )
    picture = picture.astype(np.float32)
    stars(rng, picture, int(rng.integers(70, 130)))
    for _ in range(int(rng.integers(1, 4))):
        x, y, radius, hue = rng.uniform(0, 1), rng.uniform(0, 1), rng.uniform(0.04, 0.13), rng.uniform(0, 360)
        disc(picture, x, y, radius, hsv(hue, 0.65, 0.45))
        disc(picture, x - radius * 0.15, y - radius * 0.15, radius * 0.8, hsv(hue, 0.6, 0.78))
        if rng.random() < 0.5:
            for half in (-1, 1):
                stroke(
                    picture,
                    (x + half * radius, y),
                    (x + half * radius * 1.9, y - half * radius * 0.5),
                    hsv(hue + 30, 0.4, 0.9),
                    2,
                )
    return picture, ()


def paint_moon(rng: Generator, side: int) -> Painted:
    """Grey ground with craters under a black sky, the earth above."""
    horizon = rng.uniform(0.32, 0.5)
    picture = plain(side, (4, 4, 9))
    stars(rng, picture, 40, horizon)
    x, y, radius = rng.uniform(0.12, 0.88), rng.uniform(0.08, 0.22), rng.uniform(0.07, 0.11)
    disc(picture, x, y, radius, (50, 110, 210))
    for _ in range(3):
        disc(
            picture,
            x + rng.uniform(-0.5, 0.5) * radius,
            y + rng.uniform(-0.5, 0.5) * radius,
            radius * 0.3,
            (80, 170, 90),
        )
    grey = hsv(rng.uniform(30, 60), rng.uniform(0, 0.06), rng.uniform(0.62, 0.75))
    picture = ground(rng, picture, horizon, grey, shade(grey, 0.8), waviness=0.02)
    for y_hole in np.sort(rng.uniform(horizon + 0.07, 0.98, int(rng.integers(6, 12)))):
        x_hole, wide = rng.uniform(0, 1), 0.03 + 0.12 * (y_hole - horizon) * rng.uniform(0.7, 1.5)
        ellipse(picture, (x_hole, y_hole), (wide, wide * 0.42), shade(grey, 1.15))
        ellipse(picture, (x_hole, y_hole + wide * 0.06), (wide * 0.86, wide * 0.33), shade(grey, 0.56))
    below = (np.arange(side)[:, None] > (horizon + 0.03) * side) * noise(rng, side, 30, 2)
    return speckle(picture, below.astype(np.float32), 10), ()


def paint_city_night(rng: Generator, side: int) -> Painted:
    """Dark towers with lit windows."""
    hue = rng.uniform(225, 285)
    picture = ramp(side, hsv(hue, 0.75, 0.14), hsv(hue + 20, 0.6, rng.uniform(0.34, 0.52)))
    stars(rng, picture, 15, 0.3)
    for layer in range(2):
        body = hsv(hue, 0.45, 0.24 - 0.12 * layer)
        left = -rng.uniform(0, 0.1)
        while left < 1:
            wide, top = rng.uniform(0.1, 0.2), rng.uniform(0.12, 0.5) + 0.14 * layer
            fill(picture, [(left, 1.05), (left, top), (left + wide, top), (left + wide, 1.05)], near(rng, body, 6))
            lamp = hsv(rng.uniform(40, 54), rng.uniform(0.35, 0.75), 1)
            for y in np.arange(top + 0.03, 0.97, 0.05):
                for x in np.arange(left + 0.02, left + wide - 0.02, 0.036):
                    if rng.random() < 0.5:
                        fill(picture, [(x, y), (x + 0.014, y), (x + 0.014, y + 0.02), (x, y + 0.02)], lamp)
            left += wide + rng.uniform(-0.02, 0.03)
    return picture, ()


def paint_table(rng: Generator, side: int) -> Painted:
    """A wooden table's top before a plain wall."""
    edge = rng.uniform(0.3, 0.52)
    wall = hsv(rng.uniform(0, 360), rng.uniform(0.04, 0.3), rng.uniform(0.72, 0.95))
    picture = ramp(side, shade(wall, 0.93), wall)
    boards = plank_texture(rng, side)
    top = int(edge * side)
    picture[top:] = boards[top:] * np.linspace(0.86, 1.06, side - top, dtype=np.float32)[:, None, None]
    picture[top : top + 2] = boards[top : top + 2] * 1.25
    return picture, ()


def paint_room(rng: Generator, side: int) -> Painted:
    """A wall with window or picture, a skirting board and a floor."""
    floor = rng.uniform(0.6, 0.74)
    wall = hsv(rng.uniform(0, 360), rng.uniform(0.12, 0.42), rng.uniform(0.75, 0.95))
    picture = plain(side, wall)
    boards = plank_texture(rng, side)
    top = int(floor * side)
    picture[top:] = boards[top:]
    fill(picture, [(0, floor - 0.035), (1, floor - 0.035), (1, floor), (0, floor)], (246, 244, 238))
    x, y = rng.uniform(0.08, 0.6), rng.uniform(0.07, 0.16)
    wide, tall = rng.uniform(0.24, 0.34), rng.uniform(0.26, 0.36)
    fill(
        picture,
        [
            (x - 0.02, y - 0.02),
            (x + wide + 0.02, y - 0.02),
            (x + wide + 0.02, y + tall + 0.02),
            (x - 0.02, y + tall + 0.02),
        ],
        (250, 250, 246),
    )
    fill(picture, [(x, y), (x + wide, y), (x + wide, y + tall), (x, y + tall)], hsv(205, 0.4, 0.98))
    stroke(picture, (x + wide / 2, y), (x + wide / 2, y + tall), (250, 250, 246), 2)
    stroke(picture, (x, y + tall / 2), (x + wide, y + tall / 2), (250, 250, 246), 2)
    if rng.random() < 0.6:
        rug = hsv(rng.uniform(0, 360), rng.uniform(0.4, 0.7), rng.uniform(0.5, 0.8))
        ellipse(picture, (0.5, (1 + floor) / 2 + 0.03), (0.4, (1 - floor) * 0.32), rug)
    if rng.random() < 0.6:
        x_lamp = rng.uniform(0.75, 0.92)
        stroke(picture, (x_lamp, 0.3), (x_lamp, floor + 0.04), (90, 80, 75), 2)
        lampshade = [(x_lamp - 0.05, 0.2), (x_lamp + 0.05, 0.2), (x_lamp + 0.09, 0.34), (x_lamp - 0.09, 0.34)]
        fill(picture, lampshade, hsv(rng.uniform(30, 50), 0.45, 0.98))
    return picture, ()


def paint_fire(rng: Generator, side: int) -> Painted:
    """Flames from the ground up on black."""
    picture = ramp(side, (28, 4, 2), (95, 16, 4))
    for layer, (hue, value) in enumerate(((6, 0.85), (20, 1.0), (38, 1.0), (52, 1.0))):
        count = 8 - layer
        for x in np.linspace(-0.05, 1.05, count) + rng.uniform(-0.06, 0.06, count):
            tall = rng.uniform(0.65, 1.0) * (0.95 - 0.21 * layer)
            wide, lean = rng.uniform(0.09, 0.14) * (1 - 0.1 * layer), rng.uniform(-0.08, 0.08)
            flame = [
                (
                    x
                    + side_of * wide * (1 - t) ** 0.7 * (0.75 + 0.5 * t)
                    + lean * t * t
                    + 0.025 * np.sin(9 * t + x * 20),
                    1.03 - tall * t,
                )
                for side_of, steps in ((-1, np.linspace(0, 1, 12)), (1, np.linspace(1, 0, 12)))
                for t in steps
            ]
            fill(picture, flame, near(rng, hsv(hue, 0.93 - 0.1 * layer, value), 8))
    for _ in range(int(rng.integers(10, 30))):
        disc(picture, rng.uniform(0, 1), rng.uniform(0, 0.7), rng.uniform(0.003, 0.009), (255, 190, 70))
    return picture, ()


def paint_under_water(rng: Generator, side: int) -> Painted:
    """Blue-green depth with rays of light, bubbles, weeds and sand."""
    hue = rng.uniform(182, 206)
    picture = ramp(side, hsv(hue, rng.uniform(0.45, 0.6), 0.92), hsv(hue + 8, 0.85, rng.uniform(0.4, 0.55)))
    for _ in range(int(rng.integers(2, 5))):
        x, wide, lean = rng.uniform(-0.1, 1), rng.uniform(0.05, 0.12), rng.uniform(0.1, 0.4)
        ray = np.zeros_like(picture)
        fill(ray, [(x, 0), (x + wide, 0), (x + lean + wide * 1.8, 0.9), (x + lean, 0.9)], (34, 38, 34))
        picture = picture + ray * np.linspace(1, 0, side, dtype=np.float32)[:, None, None]
    if rng.random() < 0.7:
        picture = ground(rng, picture, rng.uniform(0.84, 0.92), (200, 190, 140), (170, 160, 120), waviness=0.02)
    for _ in range(int(rng.integers(3, 8))):
        x, tall, colour = (
            rng.uniform(0, 1),
            rng.uniform(0.15, 0.4),
            hsv(rng.uniform(100, 165), 0.7, rng.uniform(0.35, 0.6)),
        )
        steps = np.linspace(0, 1, 8)
        places = [(x + 0.02 * float(np.sin(t * 9 + x * 30)), 1.02 - tall * float(t)) for t in steps]
        for start, stop in pairwise(places):
            stroke(picture, start, stop, colour, 3)
    for _ in range(int(rng.integers(10, 26))):
        x, y, radius = rng.uniform(0, 1), rng.uniform(0, 0.9), rng.uniform(0.008, 0.028)
        disc(picture, x, y, radius, (215, 245, 252))
        disc(picture, x + radius * 0.15, y + radius * 0.15, radius * 0.72, (130, 205, 230))
    if rng.random() < 0.3:
        picture = glow(picture, 0.5, -0.05, 0.4, (235, 255, 250), strength=0.6)
    return picture, ()
