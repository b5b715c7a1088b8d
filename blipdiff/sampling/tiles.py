"""Tiles: parts of a picture that are predicted as pictures of their own (cf. Bar-Tal et al. 2023, arXiv:2302.08113).

A model that has learned one subject in the middle of a picture draws half a subject in half a picture. Where the U-Net
is given a part alone, it draws a whole one there; the predictions of the parts and of the whole are then averaged.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from blipdiff.attention.context import KeyValueSource
from blipdiff.conditioning.guidance import Guidance
from blipdiff.errors import ShapeError
from blipdiff.moment import Moment, Window
from blipdiff.sampling.predictor import GuidedPredictor


@dataclass(frozen=True, slots=True, eq=False)
class Tile:
    """A part of the latents with a conditioning of its own.

    position: (rows, columns) of the latents; weight: (1, 1, h, w) of the part, 1 where it alone decides

    Raises: ShapeError when weight and position differ in size.
    """

    guidance: Guidance
    position: tuple[slice, slice]
    weight: Tensor
    window: Window = field(default_factory=Window)
    more_keys: KeyValueSource | None = None

    def __post_init__(self) -> None:
        size = tuple(side.stop - side.start for side in self.position)
        if tuple(self.weight.shape) != (1, 1, *size):
            raise ShapeError(f"A tile's weight is {tuple(self.weight.shape)}, its part of the latents {size}.")


class TiledPredictor:
    """The whole picture's prediction, and in each tile's window that of the tile by the same U-Net, by its weight."""

    def __init__(self, whole: GuidedPredictor, tiles: Sequence[Tile]) -> None:
        self._whole = whole
        self._parts = [(tile, _predictor(whole, tile)) for tile in tiles]

    def __call__(self, latents: Tensor, moment: Moment) -> Tensor:
        """latents: (rows, channels, h, w), scaled for this moment -> the prediction, the same shape, float32"""
        mixed = self._whole(latents, moment).clone()
        for tile, predict in self._parts:
            if tile.window.holds(moment):
                rows, columns = tile.position
                own = predict(latents[:, :, rows, columns], moment)
                mixed[:, :, rows, columns] = mixed[:, :, rows, columns].lerp(own, tile.weight.to(own))
        return mixed


def _predictor(whole: GuidedPredictor, tile: Tile) -> GuidedPredictor:
    return GuidedPredictor(whole.unet, tile.guidance, more_keys=tile.more_keys, may_stand_in=whole.may_stand_in)


class OverlappingTiles:
    """Latents of any size, predicted in tiles of the size that the U-Net knows, which overlap by half and more.

    Each place is the mean of the tiles that hold it; a tile counts less the nearer its edge is, and nothing at the edge
    itself, so that none of them ends anywhere to be seen.

    side: (h, w) of a tile
    """

    def __init__(self, whole: GuidedPredictor, side: tuple[int, int]) -> None:
        self._whole, self._side = whole, side

    def __call__(self, latents: Tensor, moment: Moment) -> Tensor:
        """latents: (rows, channels, h, w), scaled for this moment -> the prediction, the same shape, float32"""
        lines, columns = (
            tile_starts(length, side) for length, side in zip(latents.shape[-2:], self._side, strict=True)
        )
        total = torch.zeros_like(latents, dtype=torch.float32)
        weights = torch.zeros_like(total[:1, :1])
        for top in lines:
            for left in columns:
                place = (..., slice(top, top + self._side[0]), slice(left, left + self._side[1]))
                own = self._whole(latents[place], moment)
                weight = torch.outer(_hill(own.shape[-2]), _hill(own.shape[-1])).to(own)
                total[place] += own * weight
                weights[place] += weight
        return total / weights


def tile_starts(length: int, side: int) -> list[int]:
    """Where tiles of `side` places begin that cover `length`, each overlapping the next by half or more."""
    if length <= side:
        return [0]
    count = math.ceil(2 * (length - side) / side) + 1
    return [round(number * (length - side) / (count - 1)) for number in range(count)]


def _hill(side: int) -> Tensor:
    """(side,): 1 in the middle, near 0 at both ends."""
    return torch.sin((torch.arange(side) + 0.5) / side * math.pi).square()


def tiled(tiles: Sequence[Tile]) -> Callable[[GuidedPredictor], TiledPredictor] | None:
    """What wraps a run's predictor in tiles; None without any."""
    return partial(TiledPredictor, tiles=tiles) if tiles else None
