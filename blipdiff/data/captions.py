"""Captions that are true by construction: a subject's colour, named when it has one, and its category."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.random import Generator

from blipdiff.data.records import Pixels
from blipdiff.language.questions import COLOURS

_COLOURED_SHARE = 0.6  # of the subject's area that must have one colour for it to be named
_NAMED_SHARE = 0.6  # of captions that name the colour where there is one
_SATURATED, _DARK, _BRIGHT = 60, 60, 215  # of 255
_HUES = (  # upper ends in OpenCV's half degrees
    (7, "red"),
    (18, "orange"),
    (33, "yellow"),
    (80, "green"),
    (125, "blue"),
    (150, "purple"),
    (170, "pink"),
    (180, "red"),
)
_COLOURS = (*dict.fromkeys(name for _, name in _HUES), "brown", "white", "gray", "black")
_ORANGE, _BROWN, _WHITE, _GRAY, _BLACK = (_COLOURS.index(one) for one in ("orange", "brown", "white", "gray", "black"))
_NAMED_HUES = np.array(  # the colour's place among them, by hue
    [_COLOURS.index(next((name for end, name in _HUES if hue < end), _HUES[-1][1])) for hue in range(256)]
)


def main_colour(cut_out: Pixels) -> str | None:
    """The one colour that most of a premultiplied RGBA subject has, or None."""
    solid = cut_out[..., 3] > 200
    if not solid.any():
        return None
    pixels = cv2.cvtColor(np.ascontiguousarray(cut_out[..., :3]), cv2.COLOR_RGB2HSV)[solid]
    hue, saturation, value = pixels[:, 0], pixels[:, 1], pixels[:, 2]
    named = _NAMED_HUES[hue]
    named[(named == _ORANGE) & (value < 160)] = _BROWN
    pale = saturation < _SATURATED
    named[pale] = np.where(value[pale] > _BRIGHT, _WHITE, _GRAY)
    named[value < _DARK] = _BLACK
    counts = np.bincount(named, minlength=len(_COLOURS))
    return _COLOURS[int(counts.argmax())] if counts.max() > _COLOURED_SHARE * len(named) else None


def caption(category: str, colour: str | None, rng: Generator) -> str:
    """'a red apple', or 'an apple' where no colour is named."""
    said = f"{colour} {category}" if colour and colour not in category and rng.random() < _NAMED_SHARE else category
    return _with_article(said)


def contradiction(said: str, category: str, others: Sequence[tuple[str, str]], rng: Generator) -> str:
    """A caption that is as near to a true one as can be, and false: another colour, thing or place.

    others: categories and captions of other pictures, from which things and places come
    """
    before, found, after = said.partition(category)
    things = [name for name, _ in others if name != category]
    if not found:
        return str(rng.choice([one for name, one in others if name != category] or [said]))
    places = [rest for name, one in others if (rest := one.partition(name)[2]) and rest != after]
    colour = next((word for word in before.split() if word in COLOURS), "")
    ways = ["colour"] * bool(colour) + ["place"] * bool(after and places) + ["thing"] * bool(things)
    way = str(rng.choice(ways)) if ways else ""
    if way == "colour":
        colour = str(rng.choice([one for one in COLOURS if one != colour]))
    thing = str(rng.choice(things)) if way == "thing" else category
    place = str(rng.choice(places)) if way == "place" else after
    return _with_article(f"{colour} {thing}".strip()) + place


def _with_article(said: str) -> str:
    return f"{'an' if said[0] in 'aeiou' else 'a'} {said}"
