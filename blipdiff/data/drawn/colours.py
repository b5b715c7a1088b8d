"""Colours that deserve their names, and the brushes that every scene is painted with."""

import colorsys
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from blipdiff.data.records import Pixels

Colour = tuple[float, float, float]
Floats = NDArray[np.float32]

# name: hue in degrees, saturation and value from-to
NAMED_COLOURS: dict[str, tuple[tuple[float, float], tuple[float, float], tuple[float, float]]] = {
    "red": ((-6, 5), (0.78, 1.0), (0.70, 0.95)),
    "orange": ((22, 33), (0.80, 1.0), (0.90, 1.0)),
    "yellow": ((49, 57), (0.65, 1.0), (0.92, 1.0)),
    "green": ((100, 140), (0.50, 0.90), (0.42, 0.80)),
    "blue": ((212, 234), (0.65, 0.95), (0.60, 0.95)),
    "purple": ((268, 284), (0.50, 0.80), (0.48, 0.78)),
    "pink": ((325, 345), (0.30, 0.52), (0.95, 1.0)),
    "brown": ((20, 30), (0.58, 0.80), (0.34, 0.50)),
    "gray": ((0, 360), (0.0, 0.05), (0.45, 0.66)),
    "black": ((0, 360), (0.0, 0.2), (0.03, 0.11)),
    "white": ((0, 360), (0.0, 0.02), (0.97, 1.0)),
}


def named_colour(rng: Generator, name: str) -> Colour:
    """A shade, 0 to 255, that everyone would call `name`."""
    hue, saturation, value = (rng.uniform(*bounds) for bounds in NAMED_COLOURS[name])
    return hsv(hue, saturation, value)


def hsv(hue: float, saturation: float, value: float) -> Colour:
    """RGB, 0 to 255, of a hue in degrees with saturation and value from 0 to 1."""
    red, green, blue = colorsys.hsv_to_rgb(hue % 360 / 360, min(max(saturation, 0), 1), min(max(value, 0), 1))
    return red * 255, green * 255, blue * 255


def near(rng: Generator, colour: Colour, spread: float = 12) -> Colour:
    """`colour` shifted by at most `spread` a channel."""
    red, green, blue = np.clip(np.asarray(colour) + rng.uniform(-spread, spread, 3), 0, 255)
    return float(red), float(green), float(blue)


def shade(colour: Colour, factor: float) -> Colour:
    """`colour` darkened (factor below 1) or lightened."""
    return colour[0] * factor, colour[1] * factor, colour[2] * factor


def plain(side: int, colour: Colour) -> Floats:
    """A picture (side, side, 3) of one colour."""
    return np.full((side, side, 3), colour, np.float32)


def ramp(side: int, *stops: Colour) -> Floats:
    """A picture that goes from the first colour at the top through all others to the last at the bottom."""
    places = np.linspace(0, 1, len(stops))
    rows = np.linspace(0, 1, side)
    channels = [np.interp(rows, places, [stop[i] for stop in stops]) for i in range(3)]
    return np.repeat(np.stack(channels, -1)[:, None], side, axis=1).astype(np.float32)


def noise(rng: Generator, side: int, cells: int | tuple[int, int], octaves: int = 3) -> Floats:
    """Smooth noise (side, side) from -1 to 1; `cells` wide (across, down) at its coarsest."""
    across, down = (cells, cells) if isinstance(cells, int) else cells
    total = np.zeros((side, side), np.float32)
    for octave in range(octaves):
        shape = (min(side, down << octave) + 1, min(side, across << octave) + 1)
        grid = rng.uniform(-1, 1, shape).astype(np.float32)
        total += cv2.resize(grid, (side, side), interpolation=cv2.INTER_CUBIC) * 0.5**octave
    result: Floats = np.clip(total / 1.4, -1, 1)
    return result


def speckle(picture: Floats, texture: Floats, strength: float) -> Floats:
    """`picture` made lighter and darker by `texture` (side, side), -1 to 1, by at most `strength` of 255."""
    result: Floats = picture + texture[..., None] * strength
    return result


def fill(picture: Floats, points: Sequence[tuple[float, float]], colour: Colour) -> None:
    """Paints a polygon, corners (x, y) as fractions of the side, into `picture`."""
    side = picture.shape[0]
    corners = np.round(np.asarray(points) * side * 16).astype(np.int32)
    cv2.fillPoly(picture, [corners], colour, cv2.LINE_AA, 4)


def disc(picture: Floats, x: float, y: float, radius: float, colour: Colour) -> None:
    """Paints a disc; place and radius as fractions of the side."""
    ellipse(picture, (x, y), (radius, radius), colour)


def ellipse(picture: Floats, centre: tuple[float, float], radii: tuple[float, float], colour: Colour) -> None:
    """Paints an ellipse; centre and radii (x, y) as fractions of the side."""
    side = picture.shape[0]
    (x, y), (wide, tall) = centre, radii
    place = (round(x * side * 16), round(y * side * 16))
    reach = (max(1, round(wide * side * 16)), max(1, round(tall * side * 16)))
    cv2.ellipse(picture, place, reach, 0, 0, 360, colour, -1, cv2.LINE_8, 4)


def stroke(
    picture: Floats, start: tuple[float, float], stop: tuple[float, float], colour: Colour, width: int = 1
) -> None:
    """Paints a line between two places given as fractions of the side; `width` in pixels."""
    side = picture.shape[0]
    (x0, y0), (x1, y1) = start, stop
    ends = [(round(x * side * 16), round(y * side * 16)) for x, y in ((x0, y0), (x1, y1))]
    cv2.line(picture, ends[0], ends[1], colour, width, cv2.LINE_8, 4)


def glow(picture: Floats, x: float, y: float, radius: float, colour: Colour, *, strength: float = 1) -> Floats:
    """`picture` with a soft light of `radius` (fraction of the side) blended in."""
    side = picture.shape[0]
    places = (np.arange(side, dtype=np.float32) + 0.5) / side
    distance = (places[None] - x) ** 2 + (places[:, None] - y) ** 2
    weight = (strength * np.exp(-distance / radius**2))[..., None]
    result: Floats = picture * (1 - weight) + np.asarray(colour, np.float32) * weight
    return result


def finished(picture: Floats) -> Pixels:
    """`picture` as 8-bit pixels."""
    result: Pixels = np.clip(picture + 0.5, 0, 255).astype(np.uint8)
    return result
