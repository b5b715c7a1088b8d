"""The fields of each part's configuration, with the range in which a model of this kind can lie."""

import inspect
from collections.abc import Mapping
from typing import Any

from diffusers import AutoencoderKL, AutoencoderTiny, ControlNetModel, T2IAdapter, UNet2DConditionModel

from blipdiff.checkpoints.fields import (
    NOTHING,
    Choice,
    Either,
    Fields,
    Flag,
    Real,
    Row,
    Whole,
    check,
    each,
    only,
    optional,
    shown,
)
from blipdiff.errors import CheckpointError

SD15_LATENT_SIDE = 64

_WIDTH = Whole(1, 16_384)
_HEADS = Whole(1, 1_024)
_LAYERS = Whole(1, 128)
_CHANNELS = Whole(1, 64)
_EPS = Real(1e-15, 0.1)
_ACTIVATIONS = Choice(("silu", "swish", "mish", "gelu", "relu"))
_SIDE = Whole(1, 4_096)

BLOCKS: Fields = {
    "hidden_size": _WIDTH,
    "num_hidden_layers": _LAYERS,
    "num_attention_heads": _HEADS,
    "intermediate_size": Whole(1, 131_072),
    "layer_norm_eps": optional(_EPS),
    "hidden_act": Choice(("gelu", "quick_gelu")),
}
VISION = {**BLOCKS, "patch_size": each(_SIDE, 2), "image_size": each(_SIDE, 2)}
WORDS = {**BLOCKS, "vocab_size": Whole(1, 10_000_000), "max_position_embeddings": Whole(1, 100_000)}
QUERIES: Fields = {"num_query_tokens": Whole(1, 4_096)}
QFORMER_SHAPE: Fields = {"cross_attention_frequency": only(1)}

_UNET_LIKE: Fields = {
    "in_channels": _CHANNELS,
    "flip_sin_to_cos": Flag(),
    "freq_shift": Whole(0, 1),
    "down_block_types": Row(Choice(("CrossAttnDownBlock2D", "DownBlock2D"))),
    "mid_block_type": only("UNetMidBlock2DCrossAttn"),
    "only_cross_attention": each(Flag()),
    "block_out_channels": Row(_WIDTH),
    "downsample_padding": Whole(0, 3),
    "mid_block_scale_factor": Real(1e-6, 1e6),
    "act_fn": _ACTIVATIONS,
    "norm_num_groups": _WIDTH,
    "norm_eps": _EPS,
    "attention_head_dim": each(_HEADS),
    "num_attention_heads": optional(each(_HEADS)),
    "use_linear_projection": Flag(),
    "upcast_attention": Either((Flag(), NOTHING)),
    "resnet_time_scale_shift": Choice(("default", "scale_shift")),
}
_TRANSFORMERS = Either((Whole(1, 64), Row(Either((Whole(1, 64), Row(Whole(1, 64)))))))
UNET = {
    **_UNET_LIKE,
    "sample_size": optional(each(_SIDE, 2)),
    "out_channels": _CHANNELS,
    "center_input_sample": Flag(),
    "up_block_types": Row(Choice(("CrossAttnUpBlock2D", "UpBlock2D"))),
    "layers_per_block": each(_LAYERS),
    "dropout": Real(0, 0.99),
    "cross_attention_dim": each(_WIDTH),
    "transformer_layers_per_block": _TRANSFORMERS,
    "reverse_transformer_layers_per_block": optional(_TRANSFORMERS),
    "time_cond_proj_dim": optional(_WIDTH),
    "mid_block_only_cross_attention": Either((Flag(), NOTHING)),
}
CONTROLNET = {
    **_UNET_LIKE,
    "conditioning_channels": _CHANNELS,
    "layers_per_block": _LAYERS,
    "cross_attention_dim": _WIDTH,
    "transformer_layers_per_block": each(Whole(1, 64)),
    "controlnet_conditioning_channel_order": Choice(("rgb", "bgr")),
    "conditioning_embedding_out_channels": Row(_WIDTH),
    "global_pool_conditions": Flag(),
}
VAE_KL: Fields = {
    "in_channels": only(3),
    "out_channels": only(3),
    "down_block_types": Row(only("DownEncoderBlock2D")),
    "up_block_types": Row(only("UpDecoderBlock2D")),
    "block_out_channels": Row(_WIDTH),
    "layers_per_block": _LAYERS,
    "act_fn": _ACTIVATIONS,
    "latent_channels": _CHANNELS,
    "norm_num_groups": _WIDTH,
    "sample_size": each(Whole(1, 65_536), 2),
    "scaling_factor": Real(1e-6, 1e6),
    "shift_factor": Either((NOTHING, Real(0, 0))),
    "force_upcast": Either((Flag(), NOTHING)),
    "use_quant_conv": Flag(),
    "use_post_quant_conv": Flag(),
    "mid_block_add_attention": Flag(),
}
VAE_TINY: Fields = {
    "in_channels": only(3),
    "out_channels": only(3),
    "encoder_block_out_channels": Row(_WIDTH),
    "decoder_block_out_channels": Row(_WIDTH),
    "act_fn": _ACTIVATIONS,
    "upsample_fn": Choice(("nearest", "bilinear", "bicubic")),
    "latent_channels": _CHANNELS,
    "upsampling_scaling_factor": only(2),
    "num_encoder_blocks": Row(Whole(0, 128)),
    "num_decoder_blocks": Row(Whole(0, 128)),
    "latent_magnitude": Real(1e-6, 1e6),
    "latent_shift": Real(-1e6, 1e6),
    "force_upcast": Flag(),
    "scaling_factor": Real(1e-6, 1e6),
    "shift_factor": Either((NOTHING, Real(0, 0))),
}
ADAPTER: Fields = {
    "in_channels": _CHANNELS,
    "channels": Row(_WIDTH),
    "num_res_blocks": _LAYERS,
    "downscale_factor": Whole(1, 64),
    "adapter_type": Choice(("full_adapter", "full_adapter_xl", "light_adapter")),
}
DESCRIBER: Fields = {"shared": _WIDTH}
INDEX: Fields = {
    "ctx_begin_pos": Whole(1, 100_000),
    "mean": optional(Row(Real(-10, 10), 3, 3)),
    "std": optional(Row(Real(1e-6, 10), 3, 3)),
}
PHOTO: Fields = {
    "size": Either((_SIDE, NOTHING)),
    "height": _SIDE,
    "width": _SIDE,
    "shortest_edge": _SIDE,
    "image_mean": optional(Row(Real(-10, 10), 3, 3)),
    "image_std": optional(Row(Real(1e-6, 10), 3, 3)),
}

_NETWORKS: Mapping[str, Fields] = {
    UNet2DConditionModel.__name__: UNET,
    ControlNetModel.__name__: CONTROLNET,
    AutoencoderKL.__name__: VAE_KL,
    AutoencoderTiny.__name__: VAE_TINY,
    T2IAdapter.__name__: ADAPTER,
}


def network_config(config: Mapping[str, Any], kind: type, what: str) -> dict[str, Any]:
    """The settings that a network of diffusers takes, each in its range; what the method does not know is its default.

    Raises: CheckpointError naming the field.
    """
    where, fields = f"the {what}'s config.json", _NETWORKS[kind.__name__]
    check(config, fields, where)
    known = inspect.signature(kind).parameters
    for name, parameter in known.items():
        if name in config and name not in fields and config[name] not in (parameter.default, None):
            raise CheckpointError(
                f"'{name}' in {where} is {shown(config[name])}; this project reads only models with "
                f"{parameter.default!r} there."
            )
    taken = {name: value for name, value in config.items() if name in known}
    return taken | {"sample_size": _latent_side(taken.get("sample_size"))} if kind is UNet2DConditionModel else taken


def _latent_side(size: Any) -> int:
    """The side of the latents that a U-Net was trained on; Stable Diffusion 1.5's where it does not say."""
    sides = set(size) if isinstance(size, list | tuple) else {size}
    if len(sides) != 1:
        raise CheckpointError(f"'sample_size' in the U-Net's config.json is {shown(size)}; the sides must be equal.")
    side = sides.pop()
    return SD15_LATENT_SIDE if side is None else int(side)


def least_tensors(config: Mapping[str, Any]) -> int:
    """How many tensors a network of diffusers has at least, by its configuration: one for each layer it names."""
    blocks = len(config.get("block_out_channels") or config.get("channels") or ())
    layers = _total(config.get("layers_per_block") or config.get("num_res_blocks") or 1, blocks)
    deepest = _largest(config.get("transformer_layers_per_block") or 1)
    tiny = sum(config.get("num_encoder_blocks") or ()) + sum(config.get("num_decoder_blocks") or ())
    crossed = sum("CrossAttn" in name for name in config.get("down_block_types") or ())
    return int(layers + tiny + (deepest if crossed else 0))


def _total(layers: Any, blocks: int) -> int:
    return sum(layers) if isinstance(layers, list | tuple) else layers * blocks


def _largest(value: Any) -> int:
    return max(map(_largest, value)) if isinstance(value, list | tuple) else int(value)
