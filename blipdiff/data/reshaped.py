"""Pairs whose target has the subject's look in a shape that its photo does not show."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator

from blipdiff.data.drawn.shapes import bent, cluttered, drawn_shape, filled, recast
from blipdiff.data.pairs import PairLibrary
from blipdiff.data.records import Pair, Pixels

_RECAST_SHARE = 0.4  # another subject's drawing in this one's colours
_BENT_SHARE = 0.3  # another subject's outline, pulled about, under this one's look; the rest are drawn shapes
_CLUTTERED_SHARE = 0.3
_LEAST_INSIDE = 0.04  # of the picture: smaller shapes teach nothing


@dataclass(frozen=True, slots=True, eq=False)
class ReshapedPairs:
    """The library's pairs, a share of them reshaped.

    In the library's own pairs photo and target have one outline, so a net that is told both never learns which of them
    to follow where they differ. Here the target follows the map and only the look is the photo's.
    """

    library: PairLibrary
    share: float

    def draw(self, index: int, seed: int) -> Pair:
        """The pair number `index` of the endless sequence that `seed` begins."""
        rng = np.random.default_rng((seed, index, 3))
        if rng.random() >= self.share:
            return self.library.draw(index, seed)
        pair = self.library.draw_reshaped(rng, self._body)
        return replace(pair, target=cluttered(pair.target, rng)) if rng.random() < _CLUTTERED_SHARE else pair

    def _body(self, look: Pixels, rng: Generator) -> tuple[Pixels, str | None]:
        """The premultiplied cut-out that the target shows, and the word for it; None where it is the subject's."""
        library, kind = self.library, rng.random()
        if kind < _RECAST_SHARE + _BENT_SHARE:
            other = library.chosen("train", rng)
            shape, word = library.cut_out(other, rng), library.records[other].category
            if kind < _RECAST_SHARE:
                return recast(shape, look), word
            mask = bent(shape[..., 3], rng)
        else:
            mask, word = drawn_shape(library.side, rng), None
        return (filled(look, mask), word) if mask.mean() > 255 * _LEAST_INSIDE else (look, None)
