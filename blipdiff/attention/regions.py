"""Regions: several subjects in one picture, each with a sentence of its own that acts only in its place.

The picture's text conditioning is made of blocks: the whole scene's sentence, then one sentence with its subject for
each region. `RegionAttention` divides each position of the picture's cross-attention among them: where a region is, its
block alone is heard. Each block's probabilities are first brought to a sum of 1, which makes the blend the mean of
what the U-Net would compute for each sentence alone (cf. Bar-Tal et al. 2023, arXiv:2302.08113, who average whole
predictions; here only what is read from the words is divided, and shapes and light stay one picture's).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import torch
from torch import Tensor

from blipdiff.attention.maps import heatmap, resized
from blipdiff.attention.sites import AttentionSite
from blipdiff.attention.store import CrossAttentionStore, grid
from blipdiff.conditioning.guidance import Conditioning
from blipdiff.conditioning.layout import TokenLayout
from blipdiff.errors import ConfigError, ImageError, ShapeError
from blipdiff.moment import Moment, Window

Box: TypeAlias = tuple[float, float, float, float]  # left, top, right, bottom as fractions of the picture
Masks: TypeAlias = Tensor  # (rows or 1, regions, h, w) in [0, 1], the sum over regions at most 1

_EMPTY = 0.5  # latent positions that a region covers at least
_OVERLAP = 0.05  # the share of a position that two masks may both claim: painted edges are not exact
_PEAK = 0.5  # of a found word's highest value: where its place ends
_SMALLEST_FOUND = 0.15  # the radius, in sides, of what a found word gets at the least


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """Text conditioning of several sentences side by side, for one picture a row.

    conditioning: (rows, blocks * slots, width); slots: of one block
    """

    conditioning: Conditioning
    slots: int

    @classmethod
    def of(cls, sentences: Sequence[Conditioning]) -> "Blocks":
        """The sentences of one picture, one row each: the scene's first, then each region's.

        Raises: ShapeError for no sentence, or sentences of different shapes.
        """
        shapes = {tuple(sentence.embeddings.shape) for sentence in sentences}
        if len(shapes) != 1 or sentences[0].rows != 1:
            raise ShapeError(f"The sentences of one picture have the shapes {sorted(shapes)}; each is one row.")
        pieces = tuple(piece for sentence in sentences for piece in sentence.layouts[0].pieces)
        slots = len(sentences[0].layouts[0])
        acting = tuple(
            replace(one, slots=slice(number * slots, (number + 1) * slots))
            for number, sentence in enumerate(sentences)
            for one in sentence.row_weights[0]
        )
        embeddings = torch.cat([sentence.embeddings for sentence in sentences], dim=1)
        return cls(Conditioning(embeddings, (TokenLayout(pieces),), (acting,) if acting else ()), slots)

    def sentence(self, index: int) -> Conditioning:
        """One of the sentences alone, in all rows: 0 is the scene's."""
        slots = slice(index * self.slots, (index + 1) * self.slots)
        layouts = tuple(TokenLayout(layout.pieces[slots]) for layout in self.conditioning.layouts)
        weights = tuple(
            tuple(replace(one, slots=None, where=None) for one in row if one.slots == slots)
            for row in self.conditioning.weights
        )
        return Conditioning(self.conditioning.embeddings[:, slots], layouts, weights)

    def acting_in(self, wheres: Sequence[Tensor | Callable[[Moment], Tensor | None]]) -> "Blocks":
        """The same, where the weights of each region's subject act in its place alone: (rows or 1, h, w) of each."""
        places = {(number + 1) * self.slots: where for number, where in enumerate(wheres)}
        weights = tuple(
            tuple(one if one.slots is None else replace(one, where=places.get(one.slots.start)) for one in row)
            for row in self.conditioning.weights
        )
        return Blocks(replace(self.conditioning, weights=weights), self.slots)


class RegionAttention:
    """A tap that lets each position hear the scene's sentence, or the sentence of the region that it lies in.

    masks: (rows or 1, regions, h, w) of any size, or what gives them when asked; None as long as there are none yet,
    which leaves everything to the scene's sentence. Outside the window every position hears all sentences alike.

    latent_size: (h, w); slots: of one sentence; levels: of the U-Net's blocks

    Raises: ShapeError for masks of another shape.
    """

    def __init__(
        self,
        latent_size: tuple[int, int],
        slots: int,
        masks: Masks | Callable[[Moment], Masks | None],
        *,
        levels: int,
        window: Window | None = None,
    ) -> None:
        if isinstance(masks, Tensor) and masks.ndim != 4:
            raise ShapeError(f"Masks of shape {tuple(masks.shape)} were given; they are (rows, regions, h, w).")
        self.window = window or Window()
        self._slots = slots
        self._masks = masks
        grids = (grid(latent_size, level) for level in range(levels))
        self._grids = {height * width: (height, width) for height, width in grids}

    def wants(self, site: AttentionSite, moment: Moment, queries: int) -> bool:  # noqa: ARG002
        """Every layer that reads words."""
        return site.kind == "cross" and queries in self._grids

    def __call__(self, probs: Tensor, site: AttentionSite, moment: Moment) -> Tensor:  # noqa: ARG002
        """(rows, heads, queries, blocks * slots) -> the same, each block's part as large as its weight there"""
        count = probs.shape[-1] // self._slots
        if count * self._slots != probs.shape[-1]:
            raise ShapeError(f"{probs.shape[-1]} slots were attended to; they come in sentences of {self._slots}.")
        blocks = probs.float().unflatten(-1, (count, self._slots))
        alone = blocks / blocks.sum(-1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny)
        weights = self._weights(count, probs.shape[2], moment).to(alone)  # (rows or 1, queries, blocks)
        shared: Tensor = (alone * weights[:, None, :, :, None]).flatten(-2).to(probs.dtype)
        return shared

    def _weights(self, count: int, queries: int, moment: Moment) -> Tensor:
        if not self.window.holds(moment):
            return torch.full((1, queries, count), 1 / count)
        masks = self._masks if isinstance(self._masks, Tensor) else self._masks(moment)
        if masks is None:
            return torch.eye(count)[:1].expand(queries, -1)[None]
        if masks.shape[1] != count - 1:
            raise ShapeError(f"{masks.shape[1]} masks were given for {count - 1} regions.")
        inside = resized(masks.float(), self._grids[queries], smooth=True).flatten(2).transpose(1, 2)
        weights: Tensor = torch.cat([(1 - inside.sum(-1, keepdim=True)).clamp(min=0), inside], dim=-1)
        return weights


class FoundRegions:
    """Regions that nobody drew: where the scene's own words are looked at, in the first part of a run.

    A function of the moment, for `RegionAttention`; `store` must be a tap of the run, after that one, with a window
    that ends where the finding does. A word's region is where its map is above half its height and above the other
    words' maps, at least a disc about the position that it has most to itself.

    words: the slots of each region's word in the scene's sentence
    """

    def __init__(
        self, store: CrossAttentionStore, words: Sequence[Sequence[int]], size: tuple[int, int], softness: float = 0.0
    ) -> None:
        if store.window.stop >= 1.0:
            raise ConfigError("Regions are found in the first part of a run, and used in the rest of it.")
        self.store = store
        self._words = words
        self._size = size
        self._softness = softness

    def __call__(self, moment: Moment) -> Masks | None:
        """None while the words are still being looked for."""
        return None if self.store.window.holds(moment) else self.masks()

    def masks(self) -> Masks:
        """(rows, regions, h, w)

        Raises: ConfigError when nothing has been seen yet.
        """
        return torch.stack([softened(self._of_row(row), self._softness) for row in self.store.mean()])

    def _of_row(self, attention: Tensor) -> Tensor:
        maps = torch.stack([heatmap(attention, slots, self._size) for slots in self._words]).cpu()  # (regions, h, w)
        lead = maps - (maps.sum(0) - maps) / max(len(maps) - 1, 1)
        rows, columns = torch.meshgrid(*(torch.arange(side) for side in self._size), indexing="ij")
        peaks = [divmod(int(own.argmax()), self._size[1]) for own in lead]
        away = torch.stack([(rows - y) ** 2 + (columns - x) ** 2 for y, x in peaks])  # (regions, h, w)
        in_disc = away.amin(0) <= (_SMALLEST_FOUND * max(self._size)) ** 2
        owner = torch.where(in_disc, away.argmin(0), lead.argmax(0))
        inside = in_disc | (maps.amax(0) > _PEAK)
        return torch.stack([((owner == index) & inside).float() for index in range(len(maps))])


def box_mask(box: Box, size: tuple[int, int]) -> Tensor:
    """How much of each position of a grid lies in the box: (h, w) in [0, 1]

    Raises: ConfigError for a box that is empty, turned round or not inside the picture.
    """
    left, top, right, bottom = box
    if not (0.0 <= left < right <= 1.0 and 0.0 <= top < bottom <= 1.0):
        raise ConfigError(
            f"The box {left:g},{top:g},{right:g},{bottom:g} was given; it is left,top,right,bottom in fractions of "
            "the picture, from 0 to 1, and not empty."
        )
    return _covered(top, bottom, size[0])[:, None] * _covered(left, right, size[1])[None]


def checked_regions(masks: Tensor, names: Sequence[str]) -> Tensor:
    """The masks, (regions, h, w), when they are regions.

    Raises: ConfigError for an empty region and for two that overlap, ImageError for values outside 0 to 1.
    """
    if not (float(masks.min()) >= 0.0 and float(masks.max()) <= 1.0):
        raise ImageError("A region's mask has values outside 0 to 1.")
    for name, mask in zip(names, masks, strict=True):
        if float(mask.sum()) < _EMPTY:
            raise ConfigError(f"The region of {name!r} is empty, or smaller than what the model can tell apart.")
    for index, name in enumerate(names):
        for later in range(index + 1, len(names)):
            shared = torch.minimum(masks[index], masks[later])
            both = (masks[index] + masks[later] - 1).clamp(min=0)
            if float(both.sum()) > _OVERLAP * float(torch.minimum(masks[index].sum(), masks[later].sum())):
                raise ConfigError(
                    f"The regions of {name!r} and {names[later]!r} overlap in "
                    f"{float(shared.mean()):.0%} of the picture; a place can show one subject."
                )
    return masks / masks.sum(0, keepdim=True).clamp(min=1)


def softened(masks: Tensor, softness: float) -> Tensor:
    """Masks (regions, h, w) with borders as wide as `softness`, a fraction of the larger side; 0 leaves them sharp.

    A Gaussian's blur: what the regions share out at a border is all of it, so that nothing is heard twice.
    """
    sigma = softness * max(masks.shape[-2:]) / 2
    if sigma <= 0:
        return masks
    reach = max(1, round(3 * sigma))
    bell = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
    bell = (bell / bell.sum()).to(masks)
    for shape, pads in (((1, 1, -1, 1), (0, 0, reach, reach)), ((1, 1, 1, -1), (reach, reach, 0, 0))):
        padded = torch.nn.functional.pad(masks[:, None], pads, mode="replicate")
        masks = torch.nn.functional.conv2d(padded, bell.view(shape))[:, 0]
    return masks.clamp(0, 1)


def _covered(low: float, high: float, count: int) -> Tensor:
    positions = torch.arange(count) / count
    return ((torch.minimum(positions + 1 / count, torch.tensor(high)) - positions.clamp(min=low)) * count).clamp(0, 1)
