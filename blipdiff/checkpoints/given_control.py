"""ControlNets in single files, as they are published: in the original's names or diffusers', told from their shapes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import ControlNetModel
from torch import Tensor

from blipdiff.checkpoints.given_files import open_given
from blipdiff.checkpoints.kinds import kind_of
from blipdiff.checkpoints.original_names import original_control_name
from blipdiff.checkpoints.weights import check_finite, check_names, shell
from blipdiff.diffusers_types import ControlNet
from blipdiff.errors import CheckpointError, unfit

_PREFIX = "control_model."
_WANTED = "a ControlNet for Stable Diffusion 1.5 was expected"
_SD15 = {"attention_head_dim": 8, "norm_num_groups": 32}  # what no shape tells
_SHAPELESS = tuple(_SD15)


@dataclass(frozen=True, slots=True, eq=False)
class GivenControl:
    """A ControlNet's tensors under diffusers' names, mapped from their file, and its configuration."""

    tensors: Mapping[str, Tensor]
    config: Mapping[str, Any]


def given_control(path: Path, unet_config: Mapping[str, Any] | None = None) -> GivenControl:
    """The net in a file.

    unet_config: of the U-Net that it shall steer, which tells what shapes do not; Stable Diffusion 1.5's if None

    Raises: CheckpointError that says what the file is, where it is no ControlNet of Stable Diffusion 1.5.
    """
    file = open_given(path)
    tensors = {name.removeprefix(_PREFIX): one for name, one in file.tensors.items() if name.startswith(_PREFIX)}
    tensors = tensors or dict(file.tensors)
    kind = kind_of(tensors)
    if kind.family != "control" or not kind.fits:
        hint = "give its folder in diffusers' layout" if kind.text == "a T2I-Adapter" else _WANTED
        raise CheckpointError(f"{path} is {kind.text}; {hint}.")
    if "difference" in file.tensors:
        raise CheckpointError(f"{path} is a ControlNet kept as its difference from a base; {_WANTED}, whole.")
    config = {**_config(tensors, path), **_SD15, **_told(unet_config)}
    if "shuffle" in path.name.lower():  # no tensor tells that it takes a picture's look and not its places
        config["global_pool_conditions"] = True
    if "input_hint_block.0.weight" not in tensors:
        return GivenControl(tensors, config)
    return GivenControl(_renamed(tensors, config, path), config)


def load_given_control(
    path: Path,
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
    *,
    unet_config: Mapping[str, Any] | None = None,
) -> ControlNet:
    """The net in a file. Raises: CheckpointError, as `given_control`, and for weights that are damaged."""
    given = given_control(path, unet_config)
    net: ControlNet = shell(lambda: ControlNetModel(**given.config), "ControlNet")
    expected = net.state_dict()
    check_names(expected, {name: tuple(one.shape) for name, one in given.tensors.items()}, f"ControlNet in {path}")
    ready = {}
    for name, value in expected.items():
        stored = given.tensors[name].reshape(value.shape)
        ready[name] = stored.to(device=device, dtype=dtype or stored.dtype)
        check_finite(ready[name], stored, f"{path}: {name}")
    net.load_state_dict(ready, assign=True)
    return net.eval()


def _told(unet_config: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: unet_config[name] for name in _SHAPELESS if unet_config and unet_config.get(name) is not None}


def _config(tensors: Mapping[str, Tensor], path: Path) -> dict[str, Any]:
    """A ControlNet's configuration as far as its shapes tell it."""
    original = "input_hint_block.0.weight" in tensors
    widths, layers, attends = _original_blocks(tensors) if original else _blocks(tensors)
    words = [one.shape[-1] for name, one in tensors.items() if name.endswith("attn2.to_k.weight")]
    hint = tensors.get("input_hint_block.0.weight" if original else "controlnet_cond_embedding.conv_in.weight")
    first = tensors.get("input_blocks.0.0.weight" if original else "conv_in.weight")
    if not widths or not words or hint is None or first is None:
        raise CheckpointError(f"{path} holds a ControlNet only in part; {_WANTED}, whole.")
    steps = ("input_hint_block.{}.weight", 4, 4) if original else ("controlnet_cond_embedding.blocks.{}.weight", 1, 2)
    return {
        "in_channels": first.shape[1],
        "conditioning_channels": hint.shape[1],
        "block_out_channels": tuple(widths),
        "down_block_types": tuple("CrossAttnDownBlock2D" if one else "DownBlock2D" for one in attends),
        "layers_per_block": layers,
        "cross_attention_dim": words[0],
        "conditioning_embedding_out_channels": (hint.shape[0], *_hint_widths(tensors, *steps)),
    }


def _hint_widths(tensors: Mapping[str, Tensor], name: str, first: int, step: int) -> list[int]:
    """How wide the control picture's way becomes; its last layer, which leads into the net, does not count."""
    found: list[int] = []
    while (weight := tensors.get(name.format(first + step * len(found)))) is not None:
        found.append(weight.shape[0])
    return found


def _blocks(tensors: Mapping[str, Tensor]) -> tuple[list[int], int, list[bool]]:
    """Of diffusers' names: the width of each block, the layers in each, and which of them attend."""
    widths: list[int] = []
    while (first := tensors.get(f"down_blocks.{len(widths)}.resnets.0.conv1.weight")) is not None:
        widths.append(first.shape[0])
    layers = len({name.split(".")[3] for name in tensors if name.startswith("down_blocks.0.resnets.")})
    return (
        widths,
        layers,
        [any(name.startswith(f"down_blocks.{n}.att") for name in tensors) for n in range(len(widths))],
    )


def _original_blocks(tensors: Mapping[str, Tensor]) -> tuple[list[int], int, list[bool]]:
    """The same of the original's names: a block ends where the picture is made smaller."""
    ends = sorted(int(name.split(".")[1]) for name in tensors if name.endswith(".0.op.weight"))
    layers = ends[0] - 1 if ends else 2
    places = [1 + block * (layers + 1) for block in range(len(ends) + 1)]
    firsts = [tensors.get(f"input_blocks.{place}.0.in_layers.2.weight") for place in places]
    attends = [any(name.startswith(f"input_blocks.{place}.1.") for name in tensors) for place in places]
    return [one.shape[0] for one in firsts if one is not None], layers, attends


def _renamed(tensors: Mapping[str, Tensor], config: Mapping[str, Any], path: Path) -> dict[str, Tensor]:
    """Under diffusers' names. Raises: CheckpointError where a tensor is missing, or there is one too many."""
    named = {**config, **dict.fromkeys(_SHAPELESS, 1)}  # they change no name
    net = shell(lambda: ControlNetModel(**named), "ControlNet")
    hints = 2 * (len(config["conditioning_embedding_out_channels"]) - 1)
    names = {name: original_control_name(name, config["layers_per_block"], hints) for name in net.state_dict()}
    known = set(names.values())
    faults = unfit(
        [one for one in names.values() if one not in tensors], [one for one in tensors if one not in known], []
    )
    if faults:
        raise CheckpointError(f"{path} is no whole ControlNet of Stable Diffusion 1.5. {faults}.")
    return {own: tensors[other] for own, other in names.items()}
