"""The networks of a checkpoint, each from its own folder in the hub's layout."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from diffusers import ControlNetModel, ModelMixin, T2IAdapter
from torch import nn

from blipdiff.checkpoints import configs
from blipdiff.checkpoints.configs import read_json
from blipdiff.checkpoints.fields import shown
from blipdiff.checkpoints.key_rules import subject_encoder_name, text_encoder_name, vae_name
from blipdiff.checkpoints.needed import ANY, DIFFUSERS_STEMS, TRANSFORMERS_STEMS, Wanted
from blipdiff.checkpoints.part_fields import least_tensors, network_config
from blipdiff.checkpoints.weights import Rename, filled, weight_paths
from blipdiff.diffusers_types import VAE, Adapter, ControlNet
from blipdiff.errors import CheckpointError
from blipdiff.models.context_text_encoder import ContextTextEncoder
from blipdiff.models.identity import DRAWING, Fingerprint, remember
from blipdiff.models.sizes import SubjectEncoderSizes, TextSizes
from blipdiff.models.subject_encoder import SubjectEncoder

Net = TypeVar("Net", bound=nn.Module)


Part = TypeVar("Part", bound=ModelMixin)


def load_subject_encoder(
    folder: Path, dtype: torch.dtype | None = None, device: torch.device | str = "cpu", *, wanted: Wanted = ANY
) -> tuple[SubjectEncoder, str]:
    """The subject encoder in `qformer/`, and the fingerprint of its weights as they are stored."""
    sizes = configs.subject_encoder_sizes(read_json(folder / "config.json"))
    paths = weight_paths(folder, TRANSFORMERS_STEMS, wanted)
    return fingerprinted(sizes, paths, subject_encoder_name, dtype, device)


def fingerprinted(
    sizes: SubjectEncoderSizes,
    paths: Sequence[Path],
    rename: Rename,
    dtype: torch.dtype | None,
    device: torch.device | str,
) -> tuple[SubjectEncoder, str]:
    """A subject encoder from any files, and the fingerprint of its weights as they are stored."""
    seen = Fingerprint()
    encoder = filled(
        lambda: SubjectEncoder(sizes),
        paths,
        "Q-Former",
        rename=rename,
        dtype=dtype,
        device=device,
        watch=seen.add,
        least=sizes.vision.depth + sizes.qformer.depth,
    )
    return encoder, seen.digest()


def load_text_encoder(
    folder: Path,
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
    *,
    sizes: TextSizes | None = None,
    wanted: Wanted = ANY,
) -> ContextTextEncoder:
    """The context text encoder in `text_encoder/`; `sizes` stands in for a config.json that old layouts lack."""
    known = configs.text_encoder_sizes(read_json(folder / "config.json")) if sizes is None else sizes
    paths = weight_paths(folder, TRANSFORMERS_STEMS, wanted)
    return _identified(
        lambda: ContextTextEncoder(known),
        paths,
        "text encoder",
        rename=text_encoder_name,
        dtype=dtype,
        device=device,
        least=known.depth,
    )


def load_part(
    folder: Path,
    kind: type[Part],
    what: str,
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
    *,
    config: Mapping[str, Any] | None = None,
    rename: Rename = str,
    wanted: Wanted = ANY,
) -> Part:
    """A network of diffusers, from its folder; `config` stands in for a config.json that old layouts lack."""
    config = read_json(folder / "config.json") if config is None else config
    known = known_config(config, kind, folder, what)
    return _identified(  # type: ignore[no-any-return]
        lambda: kind.from_config(dict(known)),
        weight_paths(folder, DIFFUSERS_STEMS, wanted),
        what,
        rename=rename,
        dtype=dtype,
        device=device,
        least=least_tensors(known),
    )


def _identified(build: Callable[[], Net], paths: Sequence[Path], what: str, **how: Any) -> Net:
    """As `filled`; the network is known by its weights as they are stored, whatever its dtype."""
    seen = Fingerprint(DRAWING)
    net = filled(build, paths, what, watch=seen.add, **how)
    remember(net, seen)
    return net


def known_config(config: Mapping[str, Any], kind: type, folder: Path, what: str) -> dict[str, Any]:
    name = config.get("_class_name", kind.__name__)
    if name != kind.__name__:
        raise CheckpointError(f"{folder} holds a {shown(name)}; expected a {kind.__name__}.")
    return network_config(config, kind, what)


def load_vae(
    folder: Path,
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
    *,
    config: Mapping[str, Any] | None = None,
    wanted: Wanted = ANY,
) -> VAE:
    """The VAE, of the class that its configuration names; never in float16, where it overflows to black pictures."""
    config = read_json(folder / "config.json") if config is None else config
    config = configs.without_derived(config)
    dtype = torch.float32 if dtype == torch.float16 else dtype
    return load_part(
        folder, configs.vae_class(config), "VAE", dtype, device, config=config, rename=vae_name, wanted=wanted
    )


def load_controlnet(
    folder: Path, dtype: torch.dtype | None = None, device: torch.device | str = "cpu", *, wanted: Wanted = ANY
) -> ControlNet:
    """Any ControlNet for Stable Diffusion 1.5, from its folder."""
    return load_part(folder, ControlNetModel, "ControlNet", dtype, device, wanted=wanted)


def load_adapter(folder: Path, dtype: torch.dtype | None = None, device: torch.device | str = "cpu") -> Adapter:
    """Any T2I-Adapter for Stable Diffusion 1.5, from its folder."""
    return load_part(folder, T2IAdapter, "T2I-Adapter", dtype, device)
