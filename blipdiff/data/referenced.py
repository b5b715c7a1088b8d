"""Pairs with a view of the subject of its own, which says more of it than its photo does."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from blipdiff.data.composites import composite, warped
from blipdiff.data.pairs import PairLibrary
from blipdiff.data.records import Pair, Pixels

_FILLED = (0.8, 0.95)  # of the reference's side that the subject's longer side takes
_MOST_SHIFT = 0.03
_MOST_DEGREES = 4.0


@dataclass(frozen=True, slots=True, eq=False)
class ReferencedPairs:
    """The library's pairs, each with a reference: the subject on white, in the middle, as a cut-out is read."""

    library: PairLibrary

    def draw(self, index: int, seed: int) -> Pair:
        """The pair alone."""
        return self.draw_referenced(index, seed)[0]

    def draw_referenced(self, index: int, seed: int) -> tuple[Pair, Pixels, Pixels]:
        """The pair number `index` of the endless sequence that `seed` begins, its reference and the mask there."""
        rng = np.random.default_rng((seed, index, 4))
        subject = self.library.chosen("train", rng)
        pair, cut_out = self.library.draw_known(subject, rng)
        reference, mask = reference_view(cut_out, rng)
        return pair, reference, mask


def reference_view(cut_out: Pixels, rng: Generator | None = None) -> tuple[Pixels, Pixels]:
    """A premultiplied cut-out on white with its mask: in the middle, and with `rng` a little out of it.

    -> (side, side, 3) and (side, side)
    """
    side = cut_out.shape[0]
    rows, columns = (np.flatnonzero(cut_out[..., 3].max(axis=axis)) for axis in (1, 0))
    box = (rows[0], rows[-1] + 1, columns[0], columns[-1] + 1) if len(rows) else (0, side, 0, side)
    filled, turn, shift = 0.875, 0.0, np.zeros(2)
    if rng is not None:
        filled, turn = rng.uniform(*_FILLED), rng.uniform(-_MOST_DEGREES, _MOST_DEGREES)
        shift = rng.uniform(-_MOST_SHIFT, _MOST_SHIFT, 2)
    scale = filled * side / max(box[1] - box[0], box[3] - box[2])
    middle = ((box[2] + box[3]) / 2 / side - 0.5, (box[0] + box[1]) / 2 / side - 0.5)
    placed = warped(cut_out, scale, turn, 0.5 - scale * middle[0] + shift[0], 0.5 - scale * middle[1] + shift[1])
    return composite(placed, np.full((side, side, 3), 255, np.uint8)), np.ascontiguousarray(placed[..., 3])
