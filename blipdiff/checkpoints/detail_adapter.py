"""The detail adapter of a model on disk: `detail_adapter/config.json` beside its weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers.models.attention_processor import Attention
from safetensors.torch import save_file

from blipdiff.checkpoints.configs import read_json, write_json
from blipdiff.checkpoints.fields import Fields, Real, Whole, check
from blipdiff.checkpoints.needed import DIFFUSERS_STEMS
from blipdiff.checkpoints.weights import filled, weight_paths
from blipdiff.diffusers_types import UNet
from blipdiff.errors import CheckpointError
from blipdiff.models.detail_adapter import DetailAdapter, DetailAdapterSizes, LayerSizes
from blipdiff.models.identity import DRAWING, Fingerprint, remember

FOLDER = "detail_adapter"
_CONFIG, _WEIGHTS = "config.json", "diffusion_pytorch_model.safetensors"
ADAPTER_FILES = (f"{FOLDER}/{_CONFIG}", f"{FOLDER}/{_WEIGHTS}")

_LAYER: Fields = {"width": Whole(1, 16_384), "heads": Whole(1, 1_024)}
_MOST_LAYERS = 256


def load_detail_adapter(
    folder: Path, dtype: torch.dtype | None = None, device: torch.device | str = "cpu"
) -> DetailAdapter:
    """The adapter in a folder. Raises: CheckpointError for anything missing, damaged or of another shape."""
    config = read_json(folder / _CONFIG)
    sizes = detail_adapter_sizes(config)
    seen = Fingerprint(DRAWING)
    adapter = filled(
        lambda: DetailAdapter(sizes, float(config.get("detail", 1.0))),
        weight_paths(folder, DIFFUSERS_STEMS),
        "detail adapter",
        dtype=dtype,
        device=device,
        watch=seen.add,
        least=len(sizes.layers),
    )
    remember(adapter, seen)
    return adapter


def save_detail_adapter(adapter: DetailAdapter, folder: Path) -> None:
    """The adapter into a folder that is there or is made."""
    layers = {name: {"width": one.width, "heads": one.heads} for name, one in adapter.sizes.layers.items()}
    config = {
        "_class_name": "DetailAdapter",
        "detail": adapter.detail,
        "latent_channels": adapter.sizes.latent_channels,
        "layers": layers,
    }
    write_json(folder / _CONFIG, config)
    tensors = {name: tensor.contiguous() for name, tensor in adapter.state_dict().items()}
    save_file(tensors, folder / _WEIGHTS)


def detail_adapter_sizes(config: Mapping[str, Any]) -> DetailAdapterSizes:
    """Sizes from `detail_adapter/config.json`. Raises: CheckpointError naming what is not right."""
    what = "the detail adapter's config.json"
    check(config, {"latent_channels": Whole(1, 64), "detail": Real(0, 1)}, what)
    layers = config.get("layers")
    if not isinstance(layers, Mapping) or not 1 <= len(layers) <= _MOST_LAYERS:
        raise CheckpointError(f"{what} does not name its layers: 'layers' must hold 1 to {_MOST_LAYERS} of them.")
    sizes = {}
    for name, layer in layers.items():
        if not isinstance(layer, Mapping) or set(layer) != {"width", "heads"}:
            raise CheckpointError(f"{what}: the layer {str(name)[:80]!r} must have a width and heads.")
        check(layer, _LAYER, f"{what}, layer {str(name)[:80]!r}")
        if int(layer["width"]) % int(layer["heads"]):
            raise CheckpointError(f"{what}: the heads of the layer {str(name)[:80]!r} do not divide its width.")
        sizes[str(name)] = LayerSizes(int(layer["width"]), int(layer["heads"]))
    if "latent_channels" not in config:
        raise CheckpointError(f"{what} does not say 'latent_channels'.")
    return DetailAdapterSizes(sizes, int(config["latent_channels"]))


def check_fits(adapter: DetailAdapter, unet: UNet) -> None:
    """Passes when every layer of an adapter is a self-attention layer of a U-Net. Raises: CheckpointError."""
    own = {
        name: LayerSizes(int(layer.to_q.in_features), int(layer.heads))
        for name, layer in unet.named_modules()
        if isinstance(layer, Attention) and not layer.is_cross_attention
    }
    wrong = [name for name, sizes in adapter.sizes.layers.items() if own.get(name) != sizes]
    if wrong or adapter.sizes.latent_channels != int(unet.config.in_channels):
        raise CheckpointError(
            f"The detail adapter belongs to another U-Net: {wrong[0] if wrong else 'its latents'} is not of its sizes."
        )
