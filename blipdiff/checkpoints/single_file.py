"""Checkpoints in one file, as other tools write them: their U-Net, text encoder and VAE in diffusers' names.

The renaming is diffusers' own conversion; nothing is copied by it, so that tensors stay mapped from their file.
"""

from collections.abc import Mapping
from typing import Any

from diffusers.loaders.single_file_utils import (
    convert_ldm_clip_checkpoint,
    convert_ldm_unet_checkpoint,
    convert_ldm_vae_checkpoint,
)
from torch import Tensor

from blipdiff.checkpoints.key_rules import text_encoder_name, vae_name
from blipdiff.foreign import foreign

UNET, VAE_PREFIX = "model.diffusion_model.", "first_stage_model."


def unet_in(tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> dict[str, Tensor]:
    """The U-Net of a checkpoint, or of a file that holds nothing else; empty where there is none.

    config: of the network that it shall fit, as diffusers has it
    """
    if any(name.startswith("down_blocks.") for name in tensors):
        return dict(tensors)
    own = tensors
    if any(name.startswith("input_blocks.") for name in tensors):
        own = {f"{UNET}{name}": one for name, one in tensors.items()}
    wanted = {name: one for name, one in own.items() if name.startswith(UNET)}
    if not wanted:
        return {}
    with foreign("The U-Net", "one that diffusers can convert"):
        return dict(convert_ldm_unet_checkpoint(wanted, dict(config)))


def text_encoder_in(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The text encoder of a checkpoint, under our names; empty where there is none."""
    with foreign("The text encoder", "one that diffusers can convert"):
        found = convert_ldm_clip_checkpoint(dict(tensors))
    return text_names(found)


def text_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A text encoder's tensors under our names."""
    named = ((text_encoder_name(name), one) for name, one in tensors.items())
    return {name: one for name, one in named if name is not None and not name.startswith("text_projection")}


def vae_in(tensors: Mapping[str, Tensor], blocks: int) -> dict[str, Tensor]:
    """The VAE of a checkpoint, or of a file that holds nothing else; empty where there is none."""
    if any(name.startswith("encoder.down_blocks.") for name in tensors):
        return {vae_name(name): one for name, one in tensors.items()}
    whole = any(name.startswith(VAE_PREFIX) for name in tensors)
    wanted = {name: one for name, one in tensors.items() if not whole or name.startswith(VAE_PREFIX)}
    wanted = {name: one for name, one in wanted.items() if ".loss." not in f".{name}" and "model_ema" not in name}
    if not any(name.removeprefix(VAE_PREFIX).startswith("encoder.") for name in wanted):
        return {}
    with foreign("The VAE", "one that diffusers can convert"):
        kinds = {"down_block_types": ("",) * blocks, "up_block_types": ("",) * blocks}
        return dict(convert_ldm_vae_checkpoint(wanted, kinds))
