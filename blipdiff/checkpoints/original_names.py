"""The names that the original Stable Diffusion gives to layers of its U-Net, and its ControlNets to theirs."""

from collections.abc import Collection

_FIRST = {
    "time_embedding.linear_1.": "time_embed.0.",
    "time_embedding.linear_2.": "time_embed.2.",
    "conv_in.": "input_blocks.0.0.",
    "conv_norm_out.": "out.0.",
    "conv_out.": "out.2.",
}
_RESIDUAL = {
    "norm1.": "in_layers.0.",
    "conv1.": "in_layers.2.",
    "time_emb_proj.": "emb_layers.1.",
    "norm2.": "out_layers.0.",
    "conv2.": "out_layers.3.",
    "conv_shortcut.": "skip_connection.",
}


def original_unet_name(name: str, layers: int, attending_ups: Collection[int]) -> str:
    """The original's name of a U-Net's parameter.

    name: diffusers' own; layers: in each block of the way down; attending_ups: the blocks of the way up that attend
    """
    for own, other in _FIRST.items():
        if name.startswith(own):
            return other + name.removeprefix(own)
    side, _, rest = name.partition(".")
    if side == "mid_block":
        kind, number, inner = rest.split(".", 2)
        return f"middle_block.{2 * int(number) if kind == 'resnets' else 1}.{_inner(kind, inner)}"
    block, kind, number, inner = rest.split(".", 3)
    after = (int(block) + 1) * (layers + 1)  # the place that follows this block's last
    if kind == "downsamplers":
        return f"input_blocks.{after}.0.op.{inner.removeprefix('conv.')}"
    if kind == "upsamplers":
        return f"output_blocks.{after - 1}.{1 + (int(block) in attending_ups)}.{inner}"
    place = int(block) * (layers + 1) + int(number)
    column = int(kind == "attentions")
    if side == "down_blocks":
        return f"input_blocks.{place + 1}.{column}.{_inner(kind, inner)}"
    return f"output_blocks.{place}.{column}.{_inner(kind, inner)}"


def original_control_name(name: str, layers: int, hints: int) -> str:
    """The original's name of a ControlNet's parameter.

    name: diffusers' own; hints: how many blocks of the control picture's way lie between its first and its last
    """
    part, _, rest = name.partition(".")
    if part == "controlnet_cond_embedding":
        kind, _, inner = rest.partition(".")
        if kind == "blocks":
            number, _, inner = inner.partition(".")
            return f"input_hint_block.{2 * int(number) + 2}.{inner}"
        return f"input_hint_block.{0 if kind == 'conv_in' else 2 * hints + 2}.{inner}"
    if part == "controlnet_down_blocks":
        number, _, inner = rest.partition(".")
        return f"zero_convs.{number}.0.{inner}"
    if part == "controlnet_mid_block":
        return f"middle_block_out.0.{rest}"
    return original_unet_name(name, layers, ())


def _inner(kind: str, rest: str) -> str:
    if kind == "resnets":
        for own, other in _RESIDUAL.items():
            if rest.startswith(own):
                return other + rest.removeprefix(own)
    return rest
