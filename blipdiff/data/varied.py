"""Described drawings for stage 1: more scenes, each drawing as other artists might have it, and each subject twice.

What names a thing in a new artist's drawing must not hang on outlines, shading or proportions, and what tells one
subject from another must not hang on the ground it stands on.
"""

import math
from collections.abc import Callable

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from blipdiff.data.captions import caption, main_colour
from blipdiff.data.pairs import PairLibrary
from blipdiff.data.records import Pixels

SCENE_SHARE = 1 / 6  # of the pictures, which show a scene rather than plain ground
_FIRST, _AGAIN, _HAND = 0, 1, 2  # streams of chance of one index


class VariedPairs:
    """Described pictures of a library's training subjects, with a share of scenes and of drawings by another hand.

    `draw_again` is the same subject, in the same colours and by the same hand, in another picture.
    """

    def __init__(self, library: PairLibrary, *, scenes: float = SCENE_SHARE, varied: float = 0.0) -> None:
        self.library, self.scenes, self.varied = library, scenes, varied

    def draw_described(self, index: int, seed: int) -> tuple[Pixels, str, str]:
        """A picture, the category of its subject, and a caption that is true."""
        subject, cut_out = self._subject(index, seed)
        picture, said = self._seen(subject, cut_out, np.random.default_rng((seed, index, _FIRST)))
        return picture, self.library.records[subject].category, said

    def draw_again(self, index: int, seed: int) -> Pixels:
        """Another picture of the subject that `draw_described` draws at this index: a scene every other time."""
        subject, cut_out = self._subject(index, seed)
        rng = np.random.default_rng((seed, index, _AGAIN))
        if rng.random() < 0.5:
            return self.library.pair(subject, cut_out[..., :3], cut_out, rng).target
        return self.library.snapshot(cut_out, rng)

    def _subject(self, index: int, seed: int) -> tuple[int, Pixels]:
        rng = np.random.default_rng((seed, index))
        subject = self.library.chosen("train", rng)
        cut_out = self.library.cut_out(subject, rng)
        hand = np.random.default_rng((seed, index, _HAND))
        return subject, another_hand(cut_out, hand) if hand.random() < self.varied else cut_out

    def _seen(self, subject: int, cut_out: Pixels, rng: Generator) -> tuple[Pixels, str]:
        category = self.library.records[subject].category
        if rng.random() < self.scenes:
            pair = self.library.pair(subject, cut_out[..., :3], cut_out, rng)
            return pair.target, f"{caption(category, None, rng)} {pair.prompt}"
        return self.library.snapshot(cut_out, rng), caption(category, main_colour(cut_out), rng)


def another_hand(cut_out: Pixels, rng: Generator) -> Pixels:
    """The premultiplied cut-out as another artist might draw it: bent, outlined, shaded, or in flat colours.

    Each of these happens in part of the cases; what it shows and its main colour stay.
    """
    drawn = cut_out
    for share, change in _CHANGES:
        if rng.random() < share:
            drawn = change(drawn, rng)
    return drawn if drawn[..., 3].max() > 128 else cut_out


def _bent(cut_out: Pixels, rng: Generator) -> Pixels:
    """Other proportions: stretched, sheared, and bent along two slow waves."""
    side = cut_out.shape[0]
    y, x = np.mgrid[:side, :side].astype(np.float32) / side - 0.5
    wide, tall, lean = rng.uniform(0.85, 1.25), rng.uniform(0.85, 1.25), rng.uniform(-0.18, 0.18)
    bend, waves, starts = rng.uniform(0, 0.035, 2), rng.uniform(0.6, 1.8, 2), rng.uniform(0, 2 * math.pi, 2)
    across = x * wide + lean * y + bend[0] * np.sin(2 * math.pi * waves[0] * y + starts[0])
    down = y * tall + bend[1] * np.sin(2 * math.pi * waves[1] * x + starts[1])
    at = [((one + 0.5) * side).astype(np.float32) for one in (across, down)]
    result: Pixels = cv2.remap(cut_out, at[0], at[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return result


def _outlined(cut_out: Pixels, rng: Generator) -> Pixels:
    """A line of one dark colour around the shape, and in half of the cases along its inner edges."""
    alpha = cut_out[..., 3]
    width = int(rng.integers(1, 4))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * width + 1, 2 * width + 1))
    line = cv2.subtract(alpha, cv2.erode(alpha, kernel)).astype(np.float32) / 255
    if rng.random() < 0.5:
        grey = cv2.cvtColor(np.ascontiguousarray(cut_out[..., :3]), cv2.COLOR_RGB2GRAY)
        edges = cv2.dilate(cv2.Canny(grey, 60, 140), np.ones((2, 2), np.uint8))
        line = np.maximum(line, cv2.GaussianBlur(edges, (3, 3), 0).astype(np.float32) / 255 * (alpha > 128))
    ink = rng.integers(0, 90, 3).astype(np.float32)
    return _coloured(cut_out, lambda colours: colours * (1 - line[..., None]) + ink * line[..., None])


def _shaded(cut_out: Pixels, rng: Generator) -> Pixels:
    """Light from one side, and darkness at the other."""
    side = cut_out.shape[0]
    y, x = np.mgrid[:side, :side].astype(np.float32) / side - 0.5
    turn, depth = rng.uniform(0, 2 * math.pi), rng.uniform(0.1, 0.45)
    light = (1 + np.float32(2 * depth) * (np.float32(math.cos(turn)) * x + np.float32(math.sin(turn)) * y))[..., None]
    return _coloured(cut_out, lambda colours: colours * light)


def _flat(cut_out: Pixels, rng: Generator) -> Pixels:
    """Fewer colours: smoothed inside, then in steps."""
    steps = float(rng.integers(3, 7))
    width = int(rng.integers(1, 4)) * 2 + 1
    soft = cv2.medianBlur(np.ascontiguousarray(cut_out[..., :3]), width)
    alpha = cut_out[..., 3:].astype(np.float32) / 255
    stepped = np.round(soft.astype(np.float32) / 255 * steps) / steps * 255
    kept = np.minimum(stepped, 255 * alpha).astype(np.uint8)
    result: Pixels = cv2.merge([*cv2.split(kept), np.ascontiguousarray(cut_out[..., 3])])
    return result


def _toned(cut_out: Pixels, rng: Generator) -> Pixels:
    """Lighter or darker, paler or stronger."""
    gamma, strength = rng.uniform(0.65, 1.5), rng.uniform(0.6, 1.5)

    curve = (255 * (np.arange(256) / 255) ** gamma).astype(np.uint8)

    def change(colours: NDArray[np.float32]) -> NDArray[np.float32]:
        grey = cv2.cvtColor(colours, cv2.COLOR_RGB2GRAY)[..., None] * np.float32(1 - strength)
        strong = np.clip(colours * np.float32(strength) + grey, 0, 255).astype(np.uint8)
        toned: NDArray[np.float32] = cv2.LUT(strong, curve).astype(np.float32)
        return toned

    return _coloured(cut_out, change)


def _coloured(cut_out: Pixels, change: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> Pixels:
    """Its colours changed where it is, and scaled by its alpha again."""
    alpha = cut_out[..., 3].astype(np.float32) / np.float32(255)
    whole = np.maximum(alpha, np.float32(1 / 255))
    colours = cut_out[..., :3].astype(np.float32) / whole[..., None]
    changed = np.clip(change(np.minimum(colours, np.float32(255))), 0, 255) * alpha[..., None]
    result: Pixels = cv2.merge([*cv2.split(changed.astype(np.uint8)), np.ascontiguousarray(cut_out[..., 3])])
    return result


_CHANGES: tuple[tuple[float, Callable[[Pixels, Generator], Pixels]], ...] = (
    (0.8, _bent),
    (0.3, _flat),
    (0.5, _toned),
    (0.4, _shaded),
    (0.35, _outlined),
)
