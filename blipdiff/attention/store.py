"""Where the words are: cross-attention collected over a run."""

from collections.abc import Collection

import torch
from torch import Tensor

from blipdiff.attention.maps import resized
from blipdiff.attention.sites import AttentionSite, Block
from blipdiff.diffusers_types import UNet
from blipdiff.errors import ConfigError, ShapeError
from blipdiff.moment import Moment, Window

_POSITIONS_A_SIDE = 16
OUTER: tuple[Block, ...] = ("down", "up")  # without the middle block, whose maps are the coarsest


def grid(latent_size: tuple[int, int], level: int) -> tuple[int, int]:
    """(height, width) of the U-Net's maps after `level` halvings, which round up: 64 x 96 latents, level 2: 16 x 24."""
    height, width = latent_size
    for _ in range(level):
        height, width = (height + 1) // 2, (width + 1) // 2
    return height, width


def cross_levels(unet: UNet) -> tuple[int, ...]:
    """The levels at which the U-Net reads words in its outer blocks: (0, 1, 2) for Stable Diffusion 1."""
    count = len(unet.config.down_block_types)
    down = {level for level, kind in enumerate(unet.config.down_block_types) if "CrossAttn" in kind}
    up = {count - 1 - index for index, kind in enumerate(unet.config.up_block_types) if "CrossAttn" in kind}
    return tuple(sorted(down | up))


def layout_level(unet: UNet) -> int:
    """The level whose maps show best what is where: about 16 x 16 positions at the size of the U-Net's training.

    Hertz et al. 2022 (arXiv:2208.01626) take the 16 x 16 maps of 64 x 64 latents, level 2; where the latents are small
    themselves, coarser maps would show next to nothing.

    Raises: ConfigError for a U-Net that reads no words.
    """
    side, levels = int(unet.config.sample_size), cross_levels(unet)
    if not levels:
        raise ConfigError("This U-Net has no cross-attention in its outer blocks; no words can be found.")
    return min(levels, key=lambda level: abs(grid((side, side), level)[0] - _POSITIONS_A_SIDE))


class CrossAttentionStore:
    """A tap that reads: the cross-attention of one run, summed over its steps, layers and heads.

    The resolutions follow from the latents' size, so portrait and landscape keep their aspect. A second run through
    the same store starts it afresh.

    latent_size: (h, w); levels: how often the latents' sides are halved

    Raises: ShapeError when the latents come to no such grid.
    """

    def __init__(
        self,
        latent_size: tuple[int, int],
        levels: Collection[int] = (2,),
        *,
        blocks: Collection[Block] = OUTER,
        window: Window | None = None,
    ) -> None:
        if min(latent_size) < 1 or not levels or min(levels) < 0:
            raise ShapeError(f"Attention maps of latents of size {latent_size} at levels {list(levels)} do not exist.")
        self.blocks = frozenset(blocks)
        self.window = window or Window()
        self._grids = {
            height * width: (height, width) for height, width in (grid(latent_size, level) for level in levels)
        }
        self._sums: dict[int, Tensor] = {}  # queries -> (rows, queries, slots), of the head means
        self._layers: dict[int, int] = {}  # queries -> how many head means are in the sum
        self._last: dict[str, int] = {}  # layer -> the index of its last moment

    def wants(self, site: AttentionSite, moment: Moment, queries: int) -> bool:
        """Cross-attention at the wanted blocks and resolutions, inside the window."""
        return (
            site.kind == "cross" and site.block in self.blocks and queries in self._grids and self.window.holds(moment)
        )

    def __call__(self, probs: Tensor, site: AttentionSite, moment: Moment) -> Tensor:
        """Takes note of the probabilities and returns them as they are."""
        if self._last.get(site.name, -1) >= moment.index:  # this layer has been at this moment: another run begins
            self.clear()
        self._last[site.name] = moment.index
        queries = probs.shape[2]
        heads = probs.detach().float().mean(1)
        self._sums[queries] = heads + self._sums[queries] if queries in self._sums else heads
        self._layers[queries] = self._layers.get(queries, 0) + 1
        return probs

    def clear(self) -> None:
        """Forgets the run."""
        self._sums, self._layers, self._last = {}, {}, {}

    def mean(self) -> Tensor:
        """(rows, height, width, slots), the mean over all that was seen; coarser levels are enlarged to the finest.

        Raises: ConfigError when nothing has been seen yet.
        """
        if not self._sums:
            raise ConfigError("No attention has been collected yet: run a plan with this store among its taps first.")
        finest = self._grids[max(self._sums)]
        levels = []
        for queries, total in self._sums.items():
            maps = (total / self._layers[queries]).unflatten(1, self._grids[queries])  # (rows, height, width, slots)
            levels.append(maps if self._grids[queries] == finest else _enlarged(maps, finest))
        return levels[0] if len(levels) == 1 else torch.stack(levels).mean(0)


def _enlarged(maps: Tensor, size: tuple[int, int]) -> Tensor:
    return resized(maps.permute(0, 3, 1, 2), size, smooth=True).permute(0, 2, 3, 1)
