"""The auxiliary head that redraws the subject photo from its 16 rows, so that they carry shape from the start.

It reads the rows as the U-Net does, by cross-attention from places, and is not part of the shipped model.
"""

import torch
from torch import Tensor, nn

from blipdiff.models.layers import attend


class Reading(nn.Module):
    """Places look at the subject's rows, then pass a feed-forward part."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.output = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, places: Tensor, rows: Tensor) -> Tensor:
        key, value = self.key_value(rows).chunk(2, dim=-1)
        seen = attend(self.query(self.before(places)), key, value, self.heads)
        places = places + self.output(seen)
        return places + self.mlp(places)  # type: ignore[no-any-return]


class Redrawing(nn.Module):
    """Subject rows (n, 16, width) -> the latents of the photo they came from (n, channels, side, side)."""

    def __init__(self, width: int, heads: int, channels: int, side: int) -> None:
        super().__init__()
        self.side = side
        self.places = nn.Parameter(torch.randn(1, side * side, width) * 0.02)
        self.normalised = nn.LayerNorm(width)
        self.readings = nn.ModuleList(Reading(width, heads) for _ in range(2))
        self.latents = nn.Linear(width, channels)

    def forward(self, rows: Tensor) -> Tensor:
        rows = self.normalised(rows)
        places = self.places.expand(len(rows), -1, -1)
        for reading in self.readings:
            places = reading(places, rows)
        return self.latents(places).transpose(1, 2).unflatten(2, (self.side, self.side))  # type: ignore[no-any-return]
