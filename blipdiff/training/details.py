"""A detail adapter over a frozen model: it learns to draw a subject from a clean reference of it.

As in DreamCache (Aiello et al. 2024, arXiv:2411.17786, sec. 3.3) the U-Net stays as it is, and what it sees in the
reference is never differentiated. The subject's rows stay where they are; a share of rows has no reference, so that the
adapter adds to them rather than instead of them.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from diffusers.models.attention_processor import Attention, AttnProcessor
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.data import Dataset

from blipdiff.attention.context import Added
from blipdiff.attention.sites import AttentionSite
from blipdiff.attention.taps import TapCall, tapped
from blipdiff.data.records import Pair, Pixels
from blipdiff.diffusers_types import UNet
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.models.detail_adapter import DetailAdapter, DetailAdapterSizes, LayerSizes, Seen, places_of
from blipdiff.models.tokenizers import prompt_ids
from blipdiff.moment import Moment
from blipdiff.sampling.adapted import clean_states, seen_of
from blipdiff.training.batches import SubjectBatches, Wording
from blipdiff.training.noise import NoiseSchedule
from blipdiff.training.sections import DetailRecipe
from blipdiff.training.stage2 import RowShares
from blipdiff.transformers_types import BertTokenizer, CLIPTokenizer

_NEAR = (0.9, 3.0)  # what a key loses in logits by a squared place between it and the query: first and last head
_FUSED = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]


class Referenced(Protocol):
    """Pairs, each with its subject on white and the mask there."""

    def draw(self, index: int, seed: int) -> Pair: ...

    def draw_referenced(self, index: int, seed: int) -> tuple[Pair, Pixels, Pixels]: ...


class DetailBatches(Dataset[dict[str, Tensor]]):
    """Batch number `step` as `SubjectBatches` has it, with what is read of the rows that have a subject.

    "reference" (k, 3, side, side) and "reference_mask" (k, side, side) uint8
    """

    def __init__(
        self,
        pairs: Referenced,
        prompts: CLIPTokenizer,
        categories: BertTokenizer,
        shares: RowShares | Callable[[int], RowShares],
        *,
        positions: int,
        subject_slots: int,
        seed: int,
        wording: Wording | None = None,
    ) -> None:
        self._pairs, self._shares, self._seed = pairs, shares, seed
        self._batches = SubjectBatches(
            pairs, prompts, categories, shares,
            positions=positions, subject_slots=subject_slots, seed=seed, wording=wording,
        )  # fmt: skip

    def __getitem__(self, step: int) -> dict[str, Tensor]:
        shares = self._shares if isinstance(self._shares, RowShares) else self._shares(step)
        size = shares.subject + shares.words + shares.nothing
        drawn = [self._pairs.draw_referenced(step * size + row, self._seed) for row in range(size)]
        batch = self._batches.of_pairs(step, [pair for pair, _, _ in drawn])
        with_subject = drawn[: max(1, shares.subject)]
        pictures = torch.from_numpy(np.stack([picture for _, picture, _ in with_subject]))
        masks = torch.from_numpy(np.stack([mask for _, _, mask in with_subject]))
        return {**batch, "reference": pictures.permute(0, 3, 1, 2).contiguous(), "reference_mask": masks}


def initial_adapter(unet: UNet, *, seed: int) -> DetailAdapter:
    """An adapter for all self-attention layers of a U-Net, which adds nothing yet, in float32.

    Queries, keys and values begin as the layers' own, queries by half: what stands in the same place counts first. How
    far around it is sought falls from head to head.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        adapter = empty_adapter(unet)
    with torch.no_grad():
        for name, layer in _self_attention(unet).items():
            own = adapter.layer(name)
            for new, old in ((own.to_q, layer.to_q), (own.to_k, layer.to_k), (own.to_v, layer.to_v)):
                new.weight[:, : old.in_features].copy_(old.weight)
            own.to_q.weight.mul_(0.5)
            near = torch.linspace(math.log(_NEAR[0]), math.log(_NEAR[1]), len(own.nearness))
            own.nearness.copy_(near + 2 * math.log(_side(unet, name) / 2))
    return adapter.float().train().requires_grad_(True)


def _side(unet: UNet, layer: str) -> int:
    """How many places a layer sees across a picture of the U-Net's own size."""
    levels, (block, number, *_) = len(unet.config.block_out_channels), layer.split(".")
    level = (
        {"down_blocks": int(number), "up_blocks": levels - 1 - int(number)}[block] if number.isdigit() else levels - 1
    )
    return max(1, int(unet.config.sample_size) >> level)


def empty_adapter(unet: UNet) -> DetailAdapter:
    """An adapter of a U-Net's sizes, whose weights are nobody's yet."""
    layers = _self_attention(unet)
    sizes = {name: LayerSizes(int(layer.to_q.in_features), int(layer.heads)) for name, layer in layers.items()}
    return DetailAdapter(DetailAdapterSizes(sizes, int(unet.config.in_channels)))


def _self_attention(unet: UNet) -> dict[str, Attention]:
    return {
        name: layer
        for name, layer in unet.named_modules()
        if isinstance(layer, Attention) and not layer.is_cross_attention
    }


@dataclass(frozen=True, slots=True, eq=False)
class _TrainedReading:
    """What the first rows of a training batch read, each of its own reference."""

    adapter: DetailAdapter
    seen: Mapping[str, Seen]
    is_read: Tensor  # (k,) 1 or 0
    grids: Mapping[int, tuple[int, int]]

    def more(self, states: Tensor, site: AttentionSite, moment: Moment) -> Added | None:  # noqa: ARG002
        if site.name not in self.seen:
            return None
        count = len(self.is_read)
        places = places_of(*self.grids[states.shape[1]], states.device)
        added = self.adapter.layer(site.name)(states[:count], places, self.seen[site.name])
        added = added * self.is_read[:, None, None].to(added)
        return Added(functional.pad(added, (0, 0, 0, 0, 0, len(states) - count)))


class AdaptedNetworks(nn.Module):
    """The U-Net under the adapter: one call from noised latents and references to the prediction."""

    def __init__(self, unet: UNet, adapter: DetailAdapter) -> None:
        super().__init__()
        self.unet, self.adapter = unet, adapter

    def forward(
        self, noised: Tensor, timesteps: Tensor, context: Tensor, seen: Mapping[str, Seen], is_read: Tensor
    ) -> Tensor:
        """noised (n, c, h, w), context (n, slots, width), seen: by layer, for the first k rows -> the prediction."""
        height, width = noised.shape[-2:]
        grids = {(height >> k) * (width >> k): (height >> k, width >> k) for k in range(4)}
        reading = _TrainedReading(self.adapter, seen, is_read, grids)
        call = TapCall((), Moment(0, 1, torch.tensor(0)), 0, more_keys=reading)
        return self.unet(  # type: ignore[no-any-return]
            noised, timesteps, context, cross_attention_kwargs={"tap_call": call}, return_dict=False
        )[0]


class DetailObjective:
    """Noise prediction over latents, where the U-Net is shown a reference of what shall come out."""

    def __init__(
        self,
        model: BlipDiffusion,
        adapter: DetailAdapter,
        encode: Callable[[Tensor], Tensor],
        recipe: DetailRecipe,
    ) -> None:
        for part in (model.unet, model.text_encoder, model.subject_encoder):
            part.eval().requires_grad_(False)
        self.model, self.recipe, self.encode = model, recipe, encode
        self.networks = AdaptedNetworks(model.unet, adapter)
        model.unet.to(memory_format=torch.channels_last)
        if model.unet.device.type == "cpu":  # plain products: there they take a third of the fused kernel's backward
            model.unet.set_attn_processor(AttnProcessor())
        self._listening = ExitStack()  # as long as it is trained: blocks may be computed again in the backward pass
        self._listening.enter_context(tapped(model.unet))
        if recipe.unet:
            model.unet.requires_grad_(True)
        self.schedule = NoiseSchedule(model.scheduler_config)
        self._mean, self._std = (torch.tensor(v).view(1, 3, 1, 1) for v in (model.photo.mean, model.photo.std))
        self._nothing = torch.tensor([prompt_ids(model.prompt_tokenizer, "", model.positions)])

    def modules(self) -> dict[str, nn.Module]:
        """The trained modules by name."""
        trained: dict[str, nn.Module] = {"adapter": self.networks.adapter}
        return {**trained, "unet": self.model.unet} if self.recipe.unet else trained

    def trainable(self) -> Iterable[nn.Parameter]:
        """The parameters of the trained modules."""
        return [parameter for module in self.modules().values() for parameter in module.parameters()]

    def loss(self, batch: dict[str, Tensor], generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """batch as `DetailBatches` gives it -> the loss and its parts."""
        recipe, model = self.recipe, self.model
        with torch.no_grad(), sdpa_kernel(_FUSED):
            device = batch["target"].device
            latents, references = self._latents(batch["target"]), self._latents(batch["reference"])
            context = self._context(batch)
            noise = torch.randn(latents.shape, generator=generator).to(device)
            timesteps = self.schedule.drawn(len(latents), generator, recipe.timestep_exponent).to(device)
            noised, wanted = self.schedule.noised(latents, noise, timesteps)
            inside = functional.interpolate(batch["mask"][:, None].float() / 255, latents.shape[-2:], mode="area")
            weight = 1 + recipe.mask_weight * inside
            weight = weight / weight.mean()
            shown = functional.interpolate(
                batch["reference_mask"][:, None].float() / 255, latents.shape[-2:], mode="area"
            )
            silence = model.text_encoder(self._nothing.to(device)).expand(len(references), -1, -1)
            states = clean_states(model.unet, self.networks.adapter, references, silence)
            seen = seen_of(states, references, shown[:, 0])
            is_read = (torch.rand(len(references), generator=generator) >= recipe.drop_reference).float().to(device)
            is_read = is_read[: len(latents) - len(batch["long_ids"])]
            seen = {name: _first(one, len(is_read)) for name, one in seen.items()}
        predicted = self.networks(noised, timesteps, context, seen, is_read)
        error = (predicted.float() - wanted).square()
        with torch.no_grad():
            by_row = (error * inside).sum((1, 2, 3)) / (inside.sum((1, 2, 3)) * error.shape[1]).clamp(min=1)
            read = by_row[: len(is_read)]
        parts = {
            "noise": error.mean().detach(),
            "read": (read * is_read).sum() / is_read.sum().clamp(min=1),
            "unread": (read * (1 - is_read)).sum() / (1 - is_read).sum().clamp(min=1),
        }
        return (weight * error).mean(), parts

    def _latents(self, pictures: Tensor) -> Tensor:
        with torch.autocast(pictures.device.type, enabled=False):
            latents: Tensor = self.encode(pictures.float() / 127.5 - 1)
        return latents

    def _context(self, batch: dict[str, Tensor]) -> Tensor:
        device = batch["photo"].device
        photos = (batch["photo"].float() / 255 - self._mean.to(device)) / self._std.to(device)
        rows = self.model.subject_encoder(photos, batch["category_ids"], batch["category_mask"])
        context = self.model.text_encoder(batch["short_ids"], rows, self.model.insert_at)
        if len(batch["long_ids"]):
            count = len(batch["target"]) - len(batch["long_ids"])
            context = torch.cat([context[:count], self.model.text_encoder(batch["long_ids"])])
        found: Tensor = context.float()
        return found


def _first(seen: Seen, count: int) -> Seen:
    """What the first rows see."""
    return Seen(seen.states[:count], seen.places, None if seen.is_inside is None else seen.is_inside[:count])
