"""A ControlNet over a frozen model (Zhang et al. 2023, arXiv:2302.05543): its maps, its batches, its objective.

The net begins as a copy of the U-Net's down and middle blocks behind zero convolutions, and learns to make the model
draw a picture from the picture's own map; U-Net, text encoder and subject encoder stay as they are.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from diffusers import ControlNetModel
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset

from blipdiff.data.pairs import PairLibrary
from blipdiff.data.records import Pair, Pixels
from blipdiff.data.reshaped import ReshapedPairs
from blipdiff.diffusers_types import ControlNet, UNet
from blipdiff.errors import ConfigError
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.training.batches import SubjectBatches, Wording
from blipdiff.training.maps import MAPS, ROUGH
from blipdiff.training.noise import NoiseSchedule
from blipdiff.training.sections import ControlRecipe
from blipdiff.training.stage2 import RowShares
from blipdiff.transformers_types import BertTokenizer, CLIPTokenizer

_GAIN = 1.6  # of the map embedding's convolutions: between a ReLU's and that of SiLU near zero, which halves


class ControlBatches(Dataset[dict[str, Tensor]]):
    """Batch number `step` as `SubjectBatches` has it, with "map" (n, 3, side, side) uint8 of each row's target.

    Raises: ConfigError for a map of an unknown name.
    """

    def __init__(
        self,
        library: PairLibrary,
        prompts: CLIPTokenizer,
        categories: BertTokenizer,
        shares: RowShares,
        *,
        map_name: str,
        positions: int,
        subject_slots: int,
        seed: int,
        wording: Wording | None = None,
        reshaped: float = 0.0,
        rough: float = 0.0,
    ) -> None:
        if map_name not in MAPS:
            raise ConfigError(f"There is no map '{map_name}' to train on; choose one of: {', '.join(MAPS)}.")
        self._map_name, self._rough = map_name, rough
        self._seed = seed
        self._batches = SubjectBatches(
            ReshapedPairs(library, reshaped) if reshaped else library,
            prompts,
            categories,
            shares,
            positions=positions,
            subject_slots=subject_slots,
            seed=seed,
            wording=wording,
        )

    def __getitem__(self, step: int) -> dict[str, Tensor]:
        pairs = self._batches.pairs(step)
        rng = np.random.default_rng((self._seed, 2, step))
        maps = torch.from_numpy(np.stack([self._map(pair, rng) for pair in pairs]))
        return {**self._batches.of_pairs(step, pairs), "map": maps[:, None].expand(-1, 3, -1, -1).contiguous()}

    def _map(self, pair: Pair, rng: np.random.Generator) -> Pixels:
        drawn = MAPS[self._map_name](pair, rng)
        return ROUGH[self._map_name](drawn, rng) if self._rough and rng.random() < self._rough else drawn


def initial_controlnet(unet: UNet, embedding_channels: tuple[int, ...], *, seed: int) -> ControlNet:
    """A ControlNet that starts as the U-Net's first half and adds nothing yet, in float32.

    diffusers makes both the map embedding's last convolution and the outgoing ones zero, and torch's usual weights let
    a map of thin edges fade to a ten-thousandth on its way to the latents' size: a net like that learns nothing of its
    map for hundreds of steps. The outgoing zeros alone keep a new net silent, so the embedding begins at full strength.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=embedding_channels)
        embedding = net.controlnet_cond_embedding
        for layer in (embedding.conv_in, *embedding.blocks, embedding.conv_out):
            nn.init.normal_(layer.weight, std=_GAIN / math.sqrt(layer.weight[0].numel()))
            nn.init.zeros_(layer.bias)
    return net.float().train().requires_grad_(True)  # type: ignore[no-any-return]


class ControlledNetworks(nn.Module):
    """The frozen U-Net under the net that learns: one call from noised latents and maps to the prediction."""

    def __init__(self, unet: UNet, controlnet: ControlNet) -> None:
        super().__init__()
        self.unet = unet
        self.controlnet = controlnet

    def forward(self, noised: Tensor, timesteps: Tensor, context: Tensor, maps: Tensor) -> Tensor:
        """noised (n, c, h, w), context (n, slots, width), maps (n, 3, H, W) in [0, 1] -> the prediction."""
        down, middle = self.controlnet(noised, timesteps, context, maps, return_dict=False)
        return self.unet(  # type: ignore[no-any-return]
            noised,
            timesteps,
            context,
            down_block_additional_residuals=tuple(down),
            mid_block_additional_residual=middle,
            return_dict=False,
        )[0]


@dataclass(frozen=True, slots=True)
class _Normalisation:
    mean: Tensor
    std: Tensor


class ControlObjective:
    """Noise prediction over latents, where a net is told the map of what shall come out."""

    def __init__(
        self,
        model: BlipDiffusion,
        controlnet: ControlNet,
        encode: Callable[[Tensor], Tensor],
        recipe: ControlRecipe,
        *,
        compiled: bool = False,
    ) -> None:
        for part in (model.unet, model.text_encoder, model.subject_encoder):
            part.eval().requires_grad_(False)
        self.model = model
        self.networks = ControlledNetworks(model.unet, controlnet)
        self.networks.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.encode = encode  # pictures (n, 3, H, W) in [-1, 1] -> latents as the U-Net sees them
        self.schedule = NoiseSchedule(model.scheduler_config)
        self.recipe = recipe
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (model.photo.mean, model.photo.std))
        self._photos = _Normalisation(mean, std)
        self._predict = torch.compile(self.networks, dynamic=False) if compiled else self.networks

    def modules(self) -> dict[str, nn.Module]:
        """The trained module by name."""
        return {"controlnet": self.networks.controlnet}

    def trainable(self) -> Iterable[nn.Parameter]:
        """The ControlNet's parameters."""
        return list(self.networks.controlnet.parameters())

    def loss(self, batch: dict[str, Tensor], generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """batch as `ControlBatches` gives it -> the loss and its parts."""
        with torch.no_grad():
            with torch.autocast("cpu", enabled=False):
                latents = self.encode(batch["target"].float() / 127.5 - 1)
            context = self._context(batch)
            noise = torch.randn(latents.shape, generator=generator)
            timesteps = self.schedule.drawn(len(latents), generator, self.recipe.timestep_exponent)
            noised, wanted = self.schedule.noised(latents, noise, timesteps)
            inside = functional.interpolate(batch["mask"][:, None].float() / 255, latents.shape[-2:], mode="area")
            weight = 1 + self.recipe.mask_weight * inside
            weight = weight / weight.mean()
            maps = (batch["map"].float() / 255).contiguous(memory_format=torch.channels_last)
        predicted = self._predict(noised, timesteps, context, maps)
        error = (predicted.float() - wanted).square()
        return (weight * error).mean(), {"noise": error.mean().detach()}

    def _context(self, batch: dict[str, Tensor]) -> Tensor:
        photos = (batch["photo"].float() / 255 - self._photos.mean) / self._photos.std
        rows = self.model.subject_encoder(photos, batch["category_ids"], batch["category_mask"])
        with_subject = self.model.text_encoder(batch["short_ids"], rows, self.model.insert_at)
        return torch.cat([with_subject, self.model.text_encoder(batch["long_ids"])]).float()
