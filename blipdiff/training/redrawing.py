"""Redrawing: the subject photo drawn again from its 16 rows, so that they carry shape and colour.

It comes first, as the representation stage does in the paper, and costs a sixth of a step with the U-Net. The head is
thrown away; in the subject's stage it runs along with a small weight, so that the rows stay readable.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from blipdiff.models.subject_encoder import SubjectEncoder


class Redrawing(nn.Module):
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


class RedrawingNetworks(nn.Module):
    """Subject encoder and head in one module."""

    def __init__(self, encoder: SubjectEncoder, redrawing: Redrawing) -> None:
        super().__init__()
        self.subject_encoder = encoder
        self.redrawing = redrawing

    def forward(self, photos: Tensor, category_ids: Tensor, category_mask: Tensor) -> Tensor:
        """Photos, normalised, with their categories -> their latents, redrawn."""
        return self.redrawing(self.subject_encoder(photos, category_ids, category_mask))  # type: ignore[no-any-return]


class RedrawingObjective:
    """Squared error between a photo's latents and their redrawing."""

    def __init__(
        self,
        networks: RedrawingNetworks,
        encode: Callable[[Tensor], Tensor],
        mean: Tensor,
        std: Tensor,
        *,
        compiled: bool = False,
    ) -> None:
        self.networks = networks
        self.encode = encode
        self.mean, self.std = mean.view(1, 3, 1, 1), std.view(1, 3, 1, 1)
        self._redraw = torch.compile(networks, dynamic=False) if compiled else networks

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
        redrawn = self._redraw((pictures / 255 - self.mean) / self.std, batch["category_ids"], batch["category_mask"])
        return functional.mse_loss(redrawn.float(), wanted), {}
