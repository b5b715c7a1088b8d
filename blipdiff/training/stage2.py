"""Stage 2, subject representation: prompted context generation (Li et al. 2023, arXiv:2305.14720, sec. 3.2).

The input is the subject on other ground, the target is the subject in the scene that the prompt names; Q-Former,
projection, text encoder and U-Net learn together. The subject is dropped from some rows, so that words alone keep
working, and everything from a few, for guidance. Beside the paper: the loss weighs more inside the subject's mask,
and an auxiliary head reconstructs the photo from what the text encoder makes of the subject's rows.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from blipdiff.diffusers_types import UNet
from blipdiff.models.context_text_encoder import ContextTextEncoder
from blipdiff.models.subject_encoder import SubjectEncoder
from blipdiff.training.noise import NoiseSchedule
from blipdiff.training.reconstruction import PositionReconstruction
from blipdiff.training.sections import ControlRecipe, DetailRecipe, SubjectRecipe

SUBJECT_AT = 2  # the slot of the subject's first row: after the begin mark and "a"


@dataclass(frozen=True, slots=True)
class RowShares:
    """How many rows of a batch keep their subject, have words only, and have neither; in this order."""

    subject: int
    words: int
    nothing: int

    @classmethod
    def at(cls, recipe: SubjectRecipe | DetailRecipe, index: int) -> "RowShares":
        """Of micro-batch `index`: whole rows that come to the recipe's shares over time, for batches of few rows."""

        def rows(share: float) -> int:
            per_batch = recipe.batch * share
            return math.floor((index + 1) * per_batch + 1e-9) - math.floor(index * per_batch + 1e-9)

        words = rows(recipe.drop_subject)
        nothing = min(rows(recipe.drop_all), recipe.batch - words)
        return cls(recipe.batch - words - nothing, words, nothing)

    @classmethod
    def of(cls, recipe: SubjectRecipe | ControlRecipe | DetailRecipe) -> "RowShares":
        """Fixed counts rather than chance, so that every batch has the same shapes."""
        words, nothing = round(recipe.batch * recipe.drop_subject), round(recipe.batch * recipe.drop_all)
        return cls(recipe.batch - words - nothing, words, nothing)


class SubjectNetworks(nn.Module):
    """The trained networks in one module: one call from photos and words to the U-Net's prediction."""

    def __init__(
        self,
        encoder: SubjectEncoder,
        text: ContextTextEncoder,
        unet: UNet,
        reconstruction: PositionReconstruction | None = None,
    ) -> None:
        super().__init__()
        self.subject_encoder = encoder
        self.text_encoder = text
        self.unet = unet
        self.reconstruction = reconstruction

    def forward(
        self, noised: Tensor, timesteps: Tensor, photos: Tensor, batch: dict[str, Tensor]
    ) -> tuple[Tensor, Tensor | None]:
        """-> the prediction for every row (n, c, h, w), and the reconstructed photos of rows with a subject."""
        rows = self.subject_encoder(photos, batch["category_ids"], batch["category_mask"])
        with_subject = self.text_encoder(batch["short_ids"], rows, SUBJECT_AT)
        # a small batch may have no subject: one row runs all the same, since shards are gathered by all processes
        context = with_subject[: len(noised) - len(batch["long_ids"])]
        if len(batch["long_ids"]):
            context = torch.cat([context, self.text_encoder(batch["long_ids"])])
        predicted = self.unet(noised, timesteps, context, return_dict=False)[0]
        if self.reconstruction is None:
            return predicted, None
        return predicted, self.reconstruction(with_subject[:, SUBJECT_AT : SUBJECT_AT + rows.shape[1]])


class SubjectObjective:
    """Noise prediction over latents, with the photo's reconstruction beside it."""

    def __init__(
        self,
        networks: SubjectNetworks,
        encode: Callable[[Tensor], Tensor],
        schedule: NoiseSchedule,
        recipe: SubjectRecipe,
        photo_mean: Tensor,
        photo_std: Tensor,
        *,
        compiled: bool = False,
    ) -> None:
        self.networks = networks
        self.encode = encode  # pictures (n, 3, H, W) in [-1, 1] -> latents as the U-Net sees them
        self.schedule = schedule
        self.recipe = recipe
        self.mean, self.std = photo_mean.view(1, 3, 1, 1), photo_std.view(1, 3, 1, 1)
        self._predict = torch.compile(networks, dynamic=False) if compiled else networks

    def modules(self) -> dict[str, nn.Module]:
        """The trained modules by name."""
        return dict(self.networks.named_children())

    def trainable(self) -> Iterable[nn.Parameter]:
        """Every parameter of the networks; the autoencoder is fixed."""
        return self.networks.parameters()

    def loss(self, batch: dict[str, Tensor], generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """batch as `batches.SubjectBatches` gives it -> the loss and its parts.

        target (n, 3, H, W) uint8; mask (n, H, W) uint8; photo (k, 3, side, side) uint8 for the first k rows (one that
        does not count where k is 0);
        short_ids (k, words), long_ids (n - k, words + 16), category_ids and category_mask (k, tokens).
        """
        with torch.no_grad():
            latents = self._latents(batch["target"])
            photo_latents = None if self.networks.reconstruction is None else self._latents(batch["photo"])
            device = latents.device
            photos = (batch["photo"].float() / 255 - self.mean.to(device)) / self.std.to(device)
            noise = torch.randn(latents.shape, generator=generator).to(latents.device)
            timesteps = self.schedule.drawn(len(latents), generator, self.recipe.timestep_exponent).to(latents.device)
            noised, wanted = self.schedule.noised(latents, noise, timesteps)
            inside = functional.interpolate(batch["mask"][:, None].float() / 255, latents.shape[-2:], mode="area")
            weight = 1 + self.recipe.mask_weight * inside
            weight = weight / weight.mean()
            if self.recipe.min_snr:
                weight = weight * self.schedule.min_snr(timesteps, self.recipe.min_snr)[:, None, None, None]
        predicted, reconstructed = self._predict(noised, timesteps, photos, batch)
        error = (predicted.float() - wanted).square()
        noise_loss = (weight * error).mean()
        if reconstructed is None or photo_latents is None:
            return noise_loss, {"noise": error.mean().detach()}
        reconstruction_loss = functional.mse_loss(reconstructed.float(), photo_latents)
        parts = {"noise": error.mean().detach(), "reconstruction": reconstruction_loss.detach()}
        return noise_loss + self.recipe.reconstruction_weight * reconstruction_loss, parts

    def _latents(self, pictures: Tensor) -> Tensor:
        with torch.autocast(pictures.device.type, enabled=False):
            return self.encode(pictures.float() / 127.5 - 1)
