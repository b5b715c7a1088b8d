"""Grounds without a place: plain colours, gradients, stripes, checks, dots, brick, wood."""

import math
from itertools import pairwise

import numpy as np
from numpy.random import Generator

from blipdiff.data.drawn.colours import (
    NAMED_COLOURS,
    Floats,
    disc,
    hsv,
    named_colour,
    near,
    noise,
    plain,
    shade,
    speckle,
    stroke,
)

Painted = tuple[Floats, tuple[str, ...]]
LOUD = tuple(name for name in NAMED_COLOURS if name not in ("white", "black", "gray", "brown"))


def two_colours(rng: Generator) -> tuple[str, str]:
    """Two colour names that can be told apart; half the time the second is white."""
    first = str(rng.choice(LOUD))
    if rng.random() < 0.5:
        return first, "white"
    others = [name for name in (*LOUD, "black") if name != first and {name, first} != {"red", "orange"}]
    return first, str(rng.choice(others))


def paint_plain(rng: Generator, side: int, name: str) -> Painted:
    """One named colour, sometimes lit from a side."""
    picture = plain(side, named_colour(rng, name))
    if rng.random() < 0.5:
        picture = shaded(rng, picture, 10)
    return picture, (name,)


def shaded(rng: Generator, picture: Floats, strength: float) -> Floats:
    """`picture` a little lighter towards a random direction."""
    side = picture.shape[0]
    angle = rng.uniform(0, 2 * math.pi)
    places = np.linspace(-1, 1, side, dtype=np.float32)
    return speckle(
        picture, np.float32(0.7) * (places[None] * math.cos(angle) + places[:, None] * math.sin(angle)), strength
    )


def paint_gradient(rng: Generator, side: int) -> Painted:
    """Two colours that flow into each other."""
    first, second = two_colours(rng)
    angle = rng.uniform(0, 2 * math.pi)
    places = np.linspace(-1, 1, side, dtype=np.float32)
    along = places[None] * math.cos(angle) + places[:, None] * math.sin(angle)
    weight = np.clip(along / 1.6 + 0.5, 0, 1)[..., None]
    mixed = np.asarray(named_colour(rng, first)) * (1 - weight) + np.asarray(named_colour(rng, second)) * weight
    return mixed.astype(np.float32), (first, second)


def paint_stripes(rng: Generator, side: int) -> Painted:
    """Straight stripes of two colours, upright, level or slanted."""
    first, second = two_colours(rng)
    angle = float(rng.choice([0, 0, math.pi / 2, math.pi / 4, -math.pi / 4]))
    period = rng.uniform(0.12, 0.26) * side
    places = np.arange(side, dtype=np.float32)
    along = places[None] * math.cos(angle) + places[:, None] * math.sin(angle) + rng.uniform(0, period)
    weight = np.clip((np.abs(along % period - period / 2) - period / 4) + 0.5, 0, 1)[..., None]
    mixed = np.asarray(named_colour(rng, first)) * (1 - weight) + np.asarray(named_colour(rng, second)) * weight
    return mixed.astype(np.float32), (first, second)


def paint_checks(rng: Generator, side: int) -> Painted:
    """A chessboard of two colours."""
    first, second = two_colours(rng)
    cell = side / int(rng.integers(4, 10))
    shift_x, shift_y = rng.uniform(0, 2 * cell, 2)
    places = np.arange(side)
    odd = (((places[None] + shift_x) // cell + (places[:, None] + shift_y) // cell) % 2 > 0)[..., None]
    mixed = np.where(odd, named_colour(rng, first), named_colour(rng, second))
    return mixed.astype(np.float32), (first, second)


def paint_dots(rng: Generator, side: int) -> Painted:
    """Dots in rows; the ground's colour is named first, the dots' second."""
    first, second = two_colours(rng)
    if second != "white" and rng.random() < 0.4:
        first, second = second, first
    picture, colour = plain(side, named_colour(rng, first)), named_colour(rng, second)
    step = rng.uniform(0.13, 0.24)
    radius = step * rng.uniform(0.22, 0.34)
    shift_x, shift_y = rng.uniform(0, step, 2)
    count = int(1 / step) + 3
    for row in range(-1, count):
        for column in range(-1, count):
            disc(picture, column * step + shift_x + (row % 2) * step / 2, row * step * 0.87 + shift_y, radius, colour)
    return picture, (first, second)


def paint_bricks(rng: Generator, side: int) -> Painted:
    """A wall of red or brown bricks in mortar."""
    hue = rng.uniform(4, 22)
    brick = hsv(hue, rng.uniform(0.5, 0.72), rng.uniform(0.5, 0.75))
    mortar = hsv(rng.uniform(20, 50), rng.uniform(0.02, 0.15), rng.uniform(0.68, 0.9))
    picture = plain(side, mortar)
    tall = max(5, round(side * rng.uniform(0.07, 0.12)))
    wide = round(tall * rng.uniform(2.0, 2.6))
    gap = 1 if tall < 10 else 2
    shift = int(rng.integers(0, wide))
    for row, top in enumerate(range(-int(rng.integers(0, tall)), side, tall)):
        for left in range(-shift - (row % 2) * (wide // 2) - wide, side, wide):
            picture[max(top, 0) : max(top + tall - gap, 0), max(left, 0) : max(left + wide - gap, 0)] = near(
                rng, brick, 22
            )
    return speckle(picture, noise(rng, side, 24), 10), ()


def paint_planks(rng: Generator, side: int, upright: bool | None = None) -> Painted:
    """Wooden boards with grain, seen from above or as a table's top."""
    picture = plank_texture(rng, side)
    if rng.random() < 0.5 if upright is None else upright:
        picture = np.ascontiguousarray(picture.transpose(1, 0, 2))
    return picture, ()


def plank_texture(rng: Generator, side: int) -> Floats:
    """Level wooden boards (side, side, 3)."""
    wood = hsv(rng.uniform(22, 34), rng.uniform(0.45, 0.68), rng.uniform(0.5, 0.82))
    picture = plain(side, wood)
    count = int(rng.integers(3, 7))
    edges = np.round(np.linspace(0, side, count + 1)).astype(int)
    for top, bottom in pairwise(edges):
        picture[top:bottom] = near(rng, wood, 14)
    picture = speckle(picture, noise(rng, side, (2, 30), 3), 26)
    for edge in edges[1:-1]:
        stroke(picture, (0, edge / side), (1, edge / side), near(rng, shade(wood, 0.42), 5))
    return picture
