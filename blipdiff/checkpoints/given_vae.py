"""Another VAE for a model: a folder, a hub id, a single file, or the one inside a checkpoint."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffusers import AutoencoderKL, AutoencoderTiny
from torch import Tensor

from blipdiff.checkpoints.detect import is_file, is_folder, is_hub_id
from blipdiff.checkpoints.given_files import SUFFIXES, open_given
from blipdiff.checkpoints.hub import snapshot
from blipdiff.checkpoints.needed import DIFFUSERS_STEMS, Names, weights_among
from blipdiff.checkpoints.parts import load_vae
from blipdiff.checkpoints.single_file import VAE_PREFIX, vae_in
from blipdiff.checkpoints.weights import check_finite, check_names, shell
from blipdiff.diffusers_types import VAE
from blipdiff.errors import CheckpointError
from blipdiff.models.identity import DRAWING, Fingerprint, remember

_WANTED = "a VAE for Stable Diffusion 1.5 was expected"


def load_given_vae(source: str | Path, *, groups: int = 32, download: bool = False) -> VAE:
    """A VAE as it is stored, whatever it lies in.

    groups: of its norms, where a single file does not tell them

    Raises: CheckpointError that says what the file is, where it is no VAE of Stable Diffusion 1.5.
    """
    if is_file(source):
        return _in_file(Path(source), groups)
    if is_folder(source):
        return _in_folder(Path(source))
    if is_hub_id(source):
        return _in_folder(snapshot(str(source), download=download, choose=_files))
    raise CheckpointError(f"There is no VAE at {str(source)[:200]}; give a file, a folder or a hub id.")


def _in_folder(folder: Path) -> VAE:
    """Of its own folder, or of a pipeline's, or of the one file in it."""
    for place in (folder / "vae", folder):
        if (place / "config.json").is_file():
            return load_vae(place)
    files = [path for path in sorted(folder.iterdir()) if path.suffix in SUFFIXES]
    if len(files) == 1:
        return _in_file(files[0], 32)
    raise CheckpointError(f"{folder} holds no VAE: there is no config.json in it, nor in its vae/.")


def _in_file(path: Path, groups: int) -> VAE:
    file = open_given(path)
    kind = file.kind
    whole = any(name.startswith(VAE_PREFIX) for name in file.tensors)
    if kind.family != "vae" and not (kind.family == "checkpoint" and kind.fits and whole):
        raise CheckpointError(f"{path} is {kind.text}; {_WANTED}.")
    if any(name.startswith("encoder.layers.") for name in file.tensors):
        return _filled(AutoencoderTiny, {}, dict(file.tensors), path)
    blocks = [
        int(found[2])
        for name in file.tensors
        if (found := re.search(r"(^|\.)encoder\.down(?:_blocks)?\.(\d+)\.", name))
    ]
    tensors = vae_in(file.tensors, 1 + max(blocks)) if blocks else {}
    if not tensors:
        raise CheckpointError(f"{path} is {kind.text}; {_WANTED}, with its encoder and its decoder.")
    return _filled(AutoencoderKL, _config(tensors, groups), tensors, path)


def _config(tensors: Mapping[str, Tensor], groups: int) -> dict[str, Any]:
    """A VAE's configuration as far as its shapes tell it; the rest is Stable Diffusion 1.5's."""
    sides: list[int] = []
    while (first := tensors.get(f"encoder.down_blocks.{len(sides)}.resnets.0.conv1.weight")) is not None:
        sides.append(first.shape[0])
    layers = {name.split(".")[4] for name in tensors if name.startswith("encoder.down_blocks.0.resnets.")}
    latents = tensors.get("encoder.conv_out.weight")
    return {
        "block_out_channels": tuple(sides),
        "down_block_types": ("DownEncoderBlock2D",) * len(sides),
        "up_block_types": ("UpDecoderBlock2D",) * len(sides),
        "layers_per_block": len(layers),
        "latent_channels": 4 if latents is None else latents.shape[0] // 2,
        "norm_num_groups": groups,
        "sample_size": 512,
    }


def _filled(kind: type[VAE], config: Mapping[str, Any], tensors: dict[str, Tensor], path: Path) -> VAE:
    net = shell(lambda: kind(**config), "VAE")
    expected = net.state_dict()
    check_names(expected, {name: tuple(value.shape) for name, value in tensors.items()}, f"VAE in {path}")
    ready = {name: tensors[name].reshape(value.shape) for name, value in expected.items()}
    for name, value in ready.items():
        check_finite(value, value, f"{path}: {name}")
    net.load_state_dict(ready, assign=True)
    remember(net, Fingerprint(DRAWING).added(ready))
    return net.eval()  # type: ignore[no-any-return]


def _files(names: Names) -> list[str]:
    """What of a hub's listing is needed: the VAE's own repository, or a pipeline's folder `vae`."""
    for folder in ("vae/", ""):
        found = weights_among(names, folder, DIFFUSERS_STEMS)
        if found and f"{folder}config.json" in names:
            return [f"{folder}config.json", *found]
    raise CheckpointError("there is no VAE in diffusers' layout in it")
