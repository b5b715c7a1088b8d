"""Networks under the names of the original Stable Diffusion, the way back from diffusers' conversion."""

import re
from collections.abc import Mapping

from torch import Tensor


def to_ldm_unet(tensors: Mapping[str, Tensor], layers: int) -> dict[str, Tensor]:
    """A U-Net under the names of the original Stable Diffusion, the way back from diffusers' conversion."""
    return {_ldm_unet_name(name, layers, set(tensors)): value for name, value in tensors.items()}


def _ldm_unet_name(name: str, layers: int, names: set[str]) -> str:
    fixed = {"time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2"}
    fixed |= {"conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2"}
    for own, other in fixed.items():
        if name.startswith(f"{own}."):
            return name.replace(own, other, 1)
    side, _, rest = name.partition(".")
    if side == "mid_block":
        kind, number, rest = rest.split(".", 2)
        return f"middle_block.{2 * int(number) if kind == 'resnets' else 1}.{_ldm_inner(rest)}"
    block, kind, number, rest = rest.split(".", 3)
    place = int(block) * (layers + 1) + int(number)
    if side == "down_blocks":
        place += 1
        if kind == "downsamplers":
            return f"input_blocks.{(int(block) + 1) * (layers + 1)}.0.op.{rest.removeprefix('conv.')}"
        return f"input_blocks.{place}.{int(kind == 'attentions')}.{_ldm_inner(rest)}"
    if kind == "upsamplers":
        attends = any(one.startswith(f"up_blocks.{block}.attentions") for one in names)
        return f"output_blocks.{(int(block) + 1) * (layers + 1) - 1}.{1 + attends}.{rest}"
    return f"output_blocks.{place}.{int(kind == 'attentions')}.{_ldm_inner(rest)}"


def _ldm_inner(rest: str) -> str:
    for own, other in {
        "norm1.": "in_layers.0.",
        "conv1.": "in_layers.2.",
        "time_emb_proj.": "emb_layers.1.",
        "norm2.": "out_layers.0.",
        "conv2.": "out_layers.3.",
        "conv_shortcut.": "skip_connection.",
    }.items():
        if rest.startswith(own):
            return rest.replace(own, other, 1)
    return rest


def to_ldm_control(tensors: Mapping[str, Tensor], layers: int) -> dict[str, Tensor]:
    """A ControlNet under its original names, without their prefix."""
    found: dict[str, Tensor] = {}
    for name, value in tensors.items():
        if name.startswith("controlnet_cond_embedding."):
            hints = sorted({one.rsplit(".", 1)[0] for one in tensors if ".blocks." in one and "cond_emb" in one})
            order = ["conv_in", *(one.split(".", 1)[1] for one in hints), "conv_out"]
            layer, kind = name.split(".", 1)[1].rsplit(".", 1)
            found[f"input_hint_block.{2 * order.index(layer)}.{kind}"] = value
        elif name.startswith("controlnet_down_blocks."):
            found[
                name.replace("controlnet_down_blocks", "zero_convs")
                .replace(".weight", ".0.weight")
                .replace(".bias", ".0.bias")
            ] = value
        elif name.startswith("controlnet_mid_block."):
            found[name.replace("controlnet_mid_block", "middle_block_out.0")] = value
        else:
            found[_ldm_unet_name(name, layers, set(tensors))] = value
    return found


def to_ldm_vae(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A VAE under its original names."""
    blocks = 1 + max(int(name.split(".")[2]) for name in tensors if name.startswith("encoder.down_blocks."))
    found = {}
    for name, value in tensors.items():
        own = re.sub(r"down_blocks\.(\d+)\.resnets\.(\d+)", r"down.\1.block.\2", name)
        own = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample", own)
        turned = re.search(r"up_blocks\.(\d+)", own)
        if turned:
            block = blocks - 1 - int(turned[1])
            own = re.sub(r"up_blocks\.\d+\.resnets\.(\d+)", rf"up.{block}.block.\1", own)
            own = re.sub(r"up_blocks\.\d+\.upsamplers\.0", f"up.{block}.upsample", own)
        own = re.sub(r"mid_block\.resnets\.(\d)", lambda one: f"mid.block_{int(one[1]) + 1}", own)
        own = own.replace("mid_block.attentions.0", "mid.attn_1").replace("conv_shortcut", "nin_shortcut")
        own = own.replace("conv_norm_out", "norm_out")
        for new, old in {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}.items():
            own = own.replace(f"attn_1.{new}.", f"attn_1.{old}.")
        is_map = "attn_1" in own and value.ndim == 2
        found[own] = value[:, :, None, None] if is_map else value
    return found
