"""What people put on a model as it is loaded: LoRAs, and whatever else their folders hold for Stable Diffusion 1.5."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from blipdiff.checkpoints.agreements import agreed
from blipdiff.checkpoints.base_swap import Base, Strengths
from blipdiff.checkpoints.embeddings import Embedding, with_embeddings
from blipdiff.checkpoints.given_vae import load_given_vae
from blipdiff.checkpoints.ip_adapter import IpAdapter, with_ip_adapter
from blipdiff.checkpoints.lora import Lora, attach
from blipdiff.checkpoints.merge import based
from blipdiff.errors import CheckpointError
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.models.identity import known_fingerprint, remember


@dataclass(frozen=True, slots=True)
class Additions:
    """What goes on a model, in the order in which it does."""

    base: Base | None = None
    loras: tuple[Lora, ...] = ()
    embeddings: tuple[Embedding, ...] = ()
    vae: str | None = None
    ip_adapter: IpAdapter | None = None
    safety: str | None = None  # a checker that looks at finished pictures
    judge: str | None = None  # an engine that scores them for their prompt, and its weights

    @classmethod
    def of(
        cls,
        *,
        base: str | Path | Base | None = None,
        original: str | Path | None = None,
        strengths: float | Strengths | Sequence[str] = 1.0,
        loras: Sequence[str | Path | Lora] = (),
        embeddings: Sequence[str | Path | Embedding] = (),
        vae: str | Path | None = None,
        ip_adapter: str | Path | IpAdapter | None = None,
        ip_image: Any = None,
        ip_encoder: str | Path | None = None,
        safety: str | Path | None = None,
        judge: str | None = None,
    ) -> "Additions":
        """The additions that people name: "chalk.safetensors:0.8", "toy.pt=<cat-toy>", an IP-Adapter with its picture.

        Raises: ConfigError for what is none.
        """
        if base is not None and not isinstance(base, Base):
            base = Base(str(base), None if original is None else str(original), Strengths.of(strengths))
        return cls(
            base=base,
            loras=tuple(Lora.of(one) for one in loras),
            embeddings=tuple(Embedding.of(one) for one in embeddings),
            vae=None if vae is None else str(vae),
            ip_adapter=None if ip_adapter is None else IpAdapter.of(ip_adapter, ip_image, ip_encoder),
            safety=None if safety is None else str(safety),
            judge=judge,
        )

    def __bool__(self) -> bool:
        return self != Additions()


def added(
    model: BlipDiffusion,
    additions: Additions,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
    download: bool = False,
) -> BlipDiffusion:
    """The model, which nobody else uses, with the additions on it, computed in its stored dtype, then placed.

    Raises: CheckpointError for a file that does not fit, ConfigError for what contradicts itself.
    """
    if additions.base is not None:
        model = based(model, additions.base, download=download)
    if additions.loras:
        model = attach(model, additions.loras, download=download).model
    if additions.embeddings:
        model = with_embeddings(model, additions.embeddings, download=download)
    if additions.vae is not None:
        model = with_vae(model, additions.vae, download=download)
    if additions.ip_adapter is not None:
        model = with_ip_adapter(model, additions.ip_adapter, download=download)
    return model.moved(device=device, dtype=dtype)


def with_vae(model: BlipDiffusion, source: str, *, download: bool = False) -> BlipDiffusion:
    """The model with another VAE, in the dtype of its own. Raises: CheckpointError for one that does not fit."""
    groups = int(model.vae.config.get("norm_num_groups", 32))
    vae = load_given_vae(source, groups=groups, download=download)
    seen = known_fingerprint(vae)
    dtype = torch.float32 if model.vae.dtype == torch.float16 else model.vae.dtype
    nn.Module.to(vae, device=model.vae.device, dtype=dtype)
    remember(vae, seen)
    other = agreed(replace(model, vae=vae))
    if len(other.vae.config.block_out_channels) != len(model.vae.config.block_out_channels):
        raise CheckpointError(
            f"The VAE of {source} makes latents of another size than those that the U-Net has learned."
        )
    return other


def told(model: BlipDiffusion) -> list[str]:
    """A sentence on each addition of which there is something to know: the words that call it up."""
    return [f"{one.kind} {one.name} knows the words: {', '.join(one.words)}." for one in model.additions if one.words]
