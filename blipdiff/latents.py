"""Noise, and the way between pictures and latents through the VAE."""

import copy
from collections.abc import Sequence
from numbers import Integral
from typing import Any, TypeAlias

import torch
from torch import Tensor

from blipdiff.diffusers_types import VAE
from blipdiff.errors import ConfigError, NumericsError, ShapeError
from blipdiff.ranges import LARGEST_SEED
from blipdiff.stand_ins import computed

Seed: TypeAlias = int | torch.Generator

_PARALLEL = 1e-6  # sine of an angle below which there is no circle to speak of


def row_generators(seeds: Seed | Sequence[Seed]) -> list[torch.Generator]:
    """One generator for each row: a CPU generator for a seed; a generator that is given is used as it is.

    Raises: ConfigError for a seed that is no whole number from 0 to 2**63 - 1, and for no seed at all.
    """
    given = [seeds] if isinstance(seeds, int | torch.Generator) else list(seeds)
    if not given:
        raise ConfigError("No seed was given; give one for each picture.")
    return [_generator(seed) for seed in given]


def noise(
    seeds: Seed | Sequence[Seed],
    shape: Sequence[int],
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Standard normal noise, each row from its own seed, so that a batch equals its single runs.

    Drawn in float32 on the generator's device, the CPU for seeds: a seed means the same picture in every dtype
    and on every device. Generators are advanced.

    shape: of one row, (channels, h, w) -> (rows, channels, h, w)

    Raises: ConfigError for a seed outside its range.
    """
    rows = [
        torch.randn(tuple(shape), generator=generator, device=generator.device, dtype=torch.float32).to(device)
        for generator in row_generators(seeds)
    ]
    return torch.stack(rows).to(dtype)


def turned(noise_rows: Tensor, others: Tensor, strength: float) -> Tensor:
    """Noise on the way to other noise, on the great circle between them: it keeps the length that noise has.

    noise_rows, others: (rows, channels, h, w); strength: 0 gives the first bit for bit, 1 the second

    Raises: ConfigError for a strength outside 0 to 1.
    """
    if not 0 <= strength <= 1:
        raise ConfigError(f"A variation of {strength} was asked for; it goes from 0 to 1.")
    if strength == 0:
        return noise_rows
    rows = []
    for one, other in zip(noise_rows.cpu().double(), others.cpu().double(), strict=True):
        angle = torch.arccos(((one * other).sum() / (one.norm() * other.norm())).clamp(-1, 1))
        if float(angle.sin()) < _PARALLEL:
            rows.append(torch.lerp(one, other, strength))
            continue
        shares = torch.sin((1 - strength) * angle) / angle.sin(), torch.sin(strength * angle) / angle.sin()
        rows.append(shares[0] * one + shares[1] * other)
    return torch.stack(rows).to(noise_rows)


def size_factor(vae: VAE) -> int:
    """Pixels along one side of a latent place: 8 for Stable Diffusion's VAE."""
    return int(2 ** (len(vae.config.block_out_channels) - 1))


def latent_size(vae: VAE, height: int, width: int) -> tuple[int, int]:
    """(h, w) of the latents of a picture of height x width pixels.

    Raises: ConfigError when a side is no positive multiple of the VAE's factor; it names the nearest sizes.
    """
    factor = size_factor(vae)
    for name, side in (("height", height), ("width", width)):
        if isinstance(side, bool) or not isinstance(side, Integral):
            raise ConfigError(f"The {name} is {side!r}; give whole pixels, in multiples of {factor}.")
        if side < factor or side % factor:
            raise ConfigError(
                f"The {name} is {side} pixels; this model makes multiples of {factor}. "
                f"Nearest: {_nearest(side, factor)}."
            )
    return height // factor, width // factor


@torch.no_grad()
def encode_picture(vae: VAE, picture: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Latents of pictures: the mode of the posterior, or a sample of it when a generator is given.

    picture: (rows, 3, H, W) in [0, 1] -> (rows, channels, h, w) float32

    Raises: ShapeError for another shape, ConfigError for a size the VAE cannot take, NumericsError when the
    result is not finite.
    """
    if picture.ndim != 4 or picture.shape[1] != 3:
        raise ShapeError(f"Pictures of shape {tuple(picture.shape)} were given; the VAE reads (rows, 3, H, W).")
    latent_size(vae, *picture.shape[-2:])
    net = _sound(vae, picture.device)
    rows = []
    for row in picture.split(1):
        encoded = net.encode(row.to(net.dtype) * 2 - 1)
        if hasattr(encoded, "latents"):
            rows.append(encoded.latents)
        else:
            posterior = encoded.latent_dist
            rows.append(posterior.mode() if generator is None else posterior.sample(generator))
    latents = (torch.cat(rows).float() - _shift(vae)) * float(vae.config.scaling_factor)
    return _finite(latents, "The VAE's latents of the picture")


@torch.no_grad()
def decode_latents(vae: VAE, latents: Tensor) -> Tensor:
    """Pictures of latents, decoded row by row: little memory, and a batch equals its single runs.

    Half precision that the VAE's config calls too narrow (`force_upcast` with float16 gives black pictures) is
    decoded by a float32 twin of the VAE; the VAE itself stays as it is.

    latents: (rows, channels, h, w) -> (rows, 3, H, W) float32 in [0, 1]

    Raises: ShapeError for another number of channels, NumericsError when the result is not finite.
    """
    channels = int(vae.config.latent_channels)
    if latents.ndim != 4 or latents.shape[1] != channels:
        raise ShapeError(f"Latents of shape {tuple(latents.shape)} were given; the VAE reads (rows, {channels}, h, w).")
    net = _sound(vae, latents.device)
    unscaled = latents.float() / float(vae.config.scaling_factor) + _shift(vae)
    pixels = torch.cat([_decoded(net, row) for row in unscaled.split(1)])
    return (_finite(pixels, "The decoded picture") / 2 + 0.5).clamp(0, 1)


def _decoded(net: Any, row: Tensor) -> Tensor:
    """row: (1, channels, h, w), unscaled -> (1, 3, H, W) float32, by what stands in for the VAE where something does"""
    found = computed(net, row)
    decoded: Tensor = net.decode(row.to(net.dtype), return_dict=False)[0] if found is None else found[0]
    return decoded.float()


def _generator(seed: Seed) -> torch.Generator:
    if isinstance(seed, torch.Generator):
        return seed
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= LARGEST_SEED:
        raise ConfigError(f"The seed {seed!r} was given; a seed is a whole number from 0 to {LARGEST_SEED}.")
    return torch.Generator("cpu").manual_seed(seed)


def _nearest(side: int, factor: int) -> str:
    below = int(side // factor) * factor
    return f"{below} or {below + factor}" if below > 0 else f"{factor}"


def _shift(vae: VAE) -> float:
    return float(getattr(vae.config, "shift_factor", None) or 0.0)


def _sound(vae: VAE, device: torch.device) -> Any:
    """The VAE itself, or a float32 twin on `device` where its own dtype would overflow."""
    weights = vae.state_dict()
    narrow = vae.dtype == torch.float16 and bool(getattr(vae.config, "force_upcast", False))
    if not narrow or any(weight.is_meta for weight in weights.values()):  # meta: sequential offload, nothing to copy
        return vae
    with torch.device("meta"):
        twin = type(vae).from_config(vae.config)
    twin.load_state_dict(
        {name: weight.to(device, torch.float32) for name, weight in weights.items()}, strict=True, assign=True
    )
    for setting in ("use_slicing", "use_tiling", *(name for name in vars(vae) if name.startswith("tile_"))):
        setattr(twin, setting, copy.copy(getattr(vae, setting)))
    return twin.eval()


def _finite(values: Tensor, name: str) -> Tensor:
    if not bool(torch.isfinite(values).all()):
        raise NumericsError(
            f"{name} has infinite or not-a-number values. The weights may be damaged, or the VAE's dtype too narrow: "
            "load the VAE in float32."
        )
    return values
