"""The JSON files of a checkpoint <-> sizes and settings; a sparse file means its library's defaults."""

import json
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PureWindowsPath
from typing import Any, TypeVar

import diffusers
from diffusers import AutoencoderKL, AutoencoderTiny

from blipdiff.checkpoints.fields import Fields, check, shown
from blipdiff.checkpoints.part_fields import INDEX, PHOTO, QFORMER_SHAPE, QUERIES, VISION, WORDS
from blipdiff.diffusers_types import VAE
from blipdiff.errors import CheckpointError
from blipdiff.foreign import foreign
from blipdiff.images import PhotoSettings
from blipdiff.models.sizes import QFormerSizes, SubjectEncoderSizes, TextSizes, VisionSizes

# Left out by the library where a value is its default (Blip2VisionConfig, Blip2QFormerConfig, CLIPTextConfig).
_SPARSE_VISION = VisionSizes(width=1408, depth=39, heads=16, mlp_width=6144, patch=14, picture=224, activation="gelu")
_SPARSE_QFORMER = QFormerSizes(vocabulary=30522, queries=32)
_SPARSE_TEXT = TextSizes(width=512, heads=8, mlp_width=2048)

_SHARED_KEYS = {
    "width": "hidden_size",
    "depth": "num_hidden_layers",
    "heads": "num_attention_heads",
    "mlp_width": "intermediate_size",
    "eps": "layer_norm_eps",
    "activation": "hidden_act",
}
_VISION_KEYS = _SHARED_KEYS | {"patch": "patch_size", "picture": "image_size"}
_WORD_KEYS = _SHARED_KEYS | {"vocabulary": "vocab_size", "positions": "max_position_embeddings"}

# Stable Diffusion 1.5, as differences from diffusers' defaults.
SD15_UNET = {"cross_attention_dim": 768, "sample_size": 64}
SD15_VAE = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "sample_size": 512,
}
PNDM = {
    "_class_name": "PNDMScheduler",
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "trained_betas": None,
    "skip_prk_steps": True,
    "set_alpha_to_one": False,
    "prediction_type": "epsilon",
    "timestep_spacing": "leading",
    "steps_offset": 0,
}

_LARGEST_JSON = 16 * 2**20

Sizes = TypeVar("Sizes", VisionSizes, QFormerSizes, TextSizes)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises: CheckpointError when the file is missing, damaged or something else.
    """
    if not path.is_file():
        raise CheckpointError(f"{path.name} is missing in {path.parent}; the checkpoint is incomplete.")
    with foreign(path, "readable JSON"):
        size = path.stat().st_size
        found = json.loads(path.read_text(encoding="utf-8-sig")) if size <= _LARGEST_JSON else None
    if not isinstance(found, dict):
        raise CheckpointError(f"{path} should hold a JSON object, of at most {_LARGEST_JSON >> 20} MB.")
    return found


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """The object as indented JSON, without places of this machine; its folder is made where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(_without_places(dict(value)), indent=2, sort_keys=True) + "\n", encoding="utf-8")


def forget_places(folder: Path) -> None:
    """Takes the places of this machine, and of those before it, out of configurations that libraries wrote."""
    for path in sorted(folder.rglob("*config.json")):
        found = read_json(path)
        if _without_places(found) != found:
            write_json(path, found)


def _without_places(value: Any) -> Any:
    """JSON in which each absolute path is its last part alone: a path may hold a person's name, or a client's."""
    if isinstance(value, Mapping):
        return {key: _without_places(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_places(one) for one in value]
    is_place = isinstance(value, str) and (value.startswith(("/", "~", "\\\\")) or PureWindowsPath(value).drive)
    return (PureWindowsPath(value).name or value) if is_place else value


def subject_encoder_sizes(config: Mapping[str, Any]) -> SubjectEncoderSizes:
    """Sizes from `qformer/config.json`, full or sparse.

    The vision trunk's LayerNorm had eps 1e-5 in the original; recent libraries read a sparse file as 1e-6.
    """
    vision, words = _part(config, "vision_config"), _part(config, "qformer_config")
    check(config, QUERIES, "the Q-Former's config.json")
    check(words, QFORMER_SHAPE, "the Q-Former's config.json")
    if vision.get("layer_norm_eps") is None:
        warnings.warn(
            "The checkpoint does not say the eps of the vision trunk's LayerNorm; 1e-5 is used, as in the original.",
            stacklevel=2,
        )
    trunk = _sizes(_SPARSE_VISION, vision, _VISION_KEYS, VISION, "the vision trunk")
    qformer = _sizes(_SPARSE_QFORMER, words, _WORD_KEYS, WORDS, "the Q-Former")
    seen = words.get("encoder_hidden_size", trunk.width)
    if seen != trunk.width:
        raise CheckpointError(
            f"The Q-Former looks at rows of width {shown(seen)}, the vision trunk's are {trunk.width}."
        )
    if trunk.patch > trunk.picture:
        raise CheckpointError(f"The vision trunk's patches of {trunk.patch} pixels are larger than its picture.")
    queries = config.get("num_query_tokens", _SPARSE_QFORMER.queries)
    return SubjectEncoderSizes(vision=trunk, qformer=replace(qformer, queries=int(queries)))


def subject_encoder_config(sizes: SubjectEncoderSizes) -> dict[str, Any]:
    """`qformer/config.json`, with every size written out."""
    qformer = _keys(sizes.qformer, _WORD_KEYS)
    return {
        "architectures": ["Blip2QFormerModel"],
        "model_type": "blip-2",
        "num_query_tokens": sizes.qformer.queries,
        "qformer_config": qformer
        | {
            "model_type": "blip_2_qformer",
            "cross_attention_frequency": 1,
            "encoder_hidden_size": sizes.vision.width,
        },
        "vision_config": _keys(sizes.vision, _VISION_KEYS) | {"model_type": "blip_2_vision_model", "qkv_bias": True},
    }


def text_encoder_sizes(config: Mapping[str, Any]) -> TextSizes:
    """Sizes from `text_encoder/config.json`."""
    return _sizes(_SPARSE_TEXT, config, _WORD_KEYS, WORDS, "the text encoder")


def text_encoder_config(sizes: TextSizes) -> dict[str, Any]:
    """`text_encoder/config.json`, with every size written out."""
    return _keys(sizes, _WORD_KEYS) | {
        "architectures": ["ContextCLIPTextModel"],
        "model_type": "clip_text_model",
        "projection_dim": sizes.width,
    }


def photo_settings(config: Mapping[str, Any], index: Mapping[str, Any]) -> PhotoSettings:
    """Side and normalisation from `preprocessor_config.json`; `mean` and `std` of `model_index.json` win."""
    where = "preprocessor_config.json"
    size = config.get("size")
    sides = size if isinstance(size, Mapping) else {"size": size}
    check(config if sides is not size else {**config, "size": None}, PHOTO, where)
    check(sides, PHOTO, where)
    check(index, INDEX, "model_index.json")
    side = sides.get("height", sides.get("shortest_edge")) if sides is size else size
    return PhotoSettings(
        side=int(PhotoSettings().side if side is None else side),
        mean=_channels(index.get("mean") or config.get("image_mean") or PhotoSettings().mean),
        std=_channels(index.get("std") or config.get("image_std") or PhotoSettings().std),
    )


def photo_config(photo: PhotoSettings) -> dict[str, Any]:
    """`image_processor/preprocessor_config.json`."""
    return {
        "image_processor_type": "BlipImageProcessor",
        "do_center_crop": True,
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": list(photo.mean),
        "image_std": list(photo.std),
        "resample": 3,
        "rescale_factor": 1 / 255,
        "size": {"height": photo.side, "width": photo.side},
    }


def model_index(insert_at: int, scheduler: Mapping[str, Any], vae: VAE, *, with_controlnet: bool) -> dict[str, Any]:
    """`model_index.json` as published, with the real class of each part."""
    index: dict[str, Any] = {
        "_class_name": "BlipDiffusionControlNetPipeline" if with_controlnet else "BlipDiffusionPipeline",
        "_diffusers_version": diffusers.__version__,
        "ctx_begin_pos": insert_at,
        "mean": None,
        "std": None,
        "image_processor": ["blip_diffusion", "BlipImageProcessor"],
        "qformer": ["blip_diffusion", "Blip2QFormerModel"],
        "scheduler": ["diffusers", scheduler.get("_class_name", "PNDMScheduler")],
        "text_encoder": ["blip_diffusion", "ContextCLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", type(vae).__name__],
    }
    return index | ({"controlnet": ["diffusers", "ControlNetModel"]} if with_controlnet else {})


def without_derived(config: Mapping[str, Any]) -> dict[str, Any]:
    """A VAE's configuration without what AutoencoderTiny writes into it and then warns of when it is read."""
    derived = {"block_out_channels"} if config.get("_class_name") == AutoencoderTiny.__name__ else set()
    return {key: value for key, value in config.items() if key not in derived}


def vae_class(config: Mapping[str, Any]) -> type[VAE]:
    """The class that `vae/config.json` names.

    Raises: CheckpointError for one that this project does not decode with.
    """
    known: dict[str, type[VAE]] = {"AutoencoderKL": AutoencoderKL, "AutoencoderTiny": AutoencoderTiny}
    name = config.get("_class_name", "AutoencoderKL")
    if not isinstance(name, str) or name not in known:
        raise CheckpointError(f"The VAE is a {shown(name)}; expected one of: {', '.join(known)}.")
    return known[name]


def _part(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = config.get(name)
    if not isinstance(part, Mapping):
        raise CheckpointError(f"The Q-Former's config.json has no '{name}'; is it the configuration of another part?")
    return part


def _sizes(defaults: Sizes, config: Mapping[str, Any], keys: Mapping[str, str], fields: Fields, what: str) -> Sizes:
    where = f"{what}'s config.json"
    told = {key: config[key] for key in keys.values() if config.get(key) is not None}
    check(told, fields, where)
    given = {}
    for field, key in keys.items():
        value = told.get(key)
        if isinstance(value, list | tuple):  # a picture's height and width; the trunk takes squares
            if len(set(value)) != 1:
                raise CheckpointError(f"'{key}' in {where} is {shown(value)}; the sides must be equal.")
            value = value[0]
        if value is not None:
            given[field] = type(getattr(defaults, field))(value)
    sizes = replace(defaults, **given)
    if sizes.width % sizes.heads:
        raise CheckpointError(
            f"{where} gives {sizes.heads} attention heads for a width of {sizes.width}; they must divide it."
        )
    return sizes


def _keys(sizes: VisionSizes | QFormerSizes | TextSizes, keys: Mapping[str, str]) -> dict[str, Any]:
    return {key: getattr(sizes, field) for field, key in keys.items()}


def _channels(values: Any) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue
