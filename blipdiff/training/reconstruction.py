"""Reconstruction: the subject photo drawn again from its 16 rows, so that they carry shape and colour.

It comes first, as the representation stage does in the paper, and costs a sixth of a step with the U-Net. Its head is
thrown away; in the subject's stage another one, which reads as the U-Net does, runs along with a small weight.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from blipdiff.models.layers import attend
from blipdiff.models.subject_encoder import SubjectEncoder


class Reconstruction(nn.Module):
    """Subject rows (n, 16, width) -> the latents of the photo they came from (n, channels, side, side)."""

    def __init__(self, rows: int, width: int, channels: int, side: int) -> None:
        super().__init__()
        self.shape = (channels, side, side)
        self.normalised = nn.LayerNorm(width)
        self.first = nn.Linear(rows * width, 4 * width)
        self.second = nn.Linear(4 * width, channels * side * side)

    def forward(self, rows: Tensor) -> Tensor:
        hidden = functional.gelu(self.first(self.normalised(rows).flatten(1)))
        return self.second(hidden).unflatten(1, self.shape)  # type: ignore[no-any-return]


class PositionBlock(nn.Module):
    """Positions look at the rows, then think about what they saw; pre-norm, as in the text encoder."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.to_q = nn.Linear(width, width)
        self.to_k = nn.Linear(width, width)
        self.to_v = nn.Linear(width, width)
        self.to_out = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.widen = nn.Linear(width, 4 * width)
        self.narrow = nn.Linear(4 * width, width)

    def forward(self, positions: Tensor, rows: Tensor) -> Tensor:
        seen = attend(self.to_q(self.norm1(positions)), self.to_k(rows), self.to_v(rows), self.heads)
        positions = positions + self.to_out(seen)
        return positions + self.narrow(functional.gelu(self.widen(self.norm2(positions))))  # type: ignore[no-any-return]


class PositionReconstruction(nn.Module):
    """The text encoder's output at the subject's slots (n, 16, width) -> the photo's latents.

    It reads as the U-Net does: each position asks by cross-attention. So the rows learn to answer *where*, with far
    less noise than the U-Net's own loss would teach them.
    """

    def __init__(self, width: int, heads: int, channels: int, side: int) -> None:
        super().__init__()
        self.side = side // 2  # positions of 2 x 2 latents
        self.positions = nn.Parameter(position_waves(width, self.side))
        self.blocks = nn.ModuleList(PositionBlock(width, heads) for _ in range(2))
        self.last = nn.Linear(width, 4 * channels)

    def forward(self, rows: Tensor) -> Tensor:
        positions = self.positions.expand(len(rows), -1, -1)
        for block in self.blocks:
            positions = block(positions, rows)
        drawn = self.last(positions).transpose(1, 2).unflatten(2, (self.side, self.side))
        return functional.pixel_shuffle(drawn, 2)


def position_waves(width: int, side: int) -> Tensor:
    """Sines and cosines of the positions of a side x side grid: (side * side, width), values in [-1, 1]."""
    quarter = width // 4
    frequencies = torch.pi * torch.logspace(-1, 0, quarter)  # from a tenth of a turn to half a turn a position
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    angles = torch.cat([position.flatten()[:, None] * frequencies for position in (rows, columns)], dim=1)
    waves = torch.cat([angles.sin(), angles.cos()], dim=1)
    return functional.pad(waves, (0, width - waves.shape[1]))


class ReconstructionNetworks(nn.Module):
    """Subject encoder and head in one module."""

    def __init__(self, encoder: SubjectEncoder, reconstruction: Reconstruction) -> None:
        super().__init__()
        self.subject_encoder = encoder
        self.reconstruction = reconstruction

    def forward(self, photos: Tensor, category_ids: Tensor, category_mask: Tensor) -> Tensor:
        """Photos, normalised, with their categories -> their latents, reconstructed."""
        return self.reconstruction(self.subject_encoder(photos, category_ids, category_mask))  # type: ignore[no-any-return]


class ReconstructionObjective:
    """Squared error between a photo's latents and their reconstruction."""

    def __init__(
        self,
        networks: ReconstructionNetworks,
        encode: Callable[[Tensor], Tensor],
        mean: Tensor,
        std: Tensor,
        *,
        compiled: bool = False,
    ) -> None:
        self.networks = networks
        self.encode = encode
        self.mean, self.std = mean.view(1, 3, 1, 1), std.view(1, 3, 1, 1)
        self._reconstruct = torch.compile(networks, dynamic=False) if compiled else networks

    def modules(self) -> dict[str, nn.Module]:
        """The trained modules by name."""
        return dict(self.networks.named_children())

    def trainable(self) -> Iterable[nn.Parameter]:
        """Every parameter of both networks."""
        return self.networks.parameters()

    def loss(self, batch: dict[str, Tensor], generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:  # noqa: ARG002
        """batch as `batches.PhotoBatches` gives it -> the loss; nothing here is random."""
        pictures = batch["photo"].float()
        with torch.no_grad(), torch.autocast("cpu", enabled=False):
            wanted = self.encode(pictures / 127.5 - 1)
        reconstructed = self._reconstruct(
            (pictures / 255 - self.mean) / self.std, batch["category_ids"], batch["category_mask"]
        )
        return functional.mse_loss(reconstructed.float(), wanted), {}
