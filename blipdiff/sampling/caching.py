"""Deep features kept between calls (DeepCache: Ma, Fang, Wang 2023, arXiv:2312.00858, sec. 3).

What the deeper levels of a U-Net say changes little from one call to the next. In a shallow call the ends of its first
level alone are computed, and what the rest said in the last whole call is taken again.
"""

from collections.abc import Hashable, Iterator
from threading import get_ident
from typing import Any

import torch
from torch import Tensor, nn

from blipdiff.diffusers_types import UNet
from blipdiff.errors import ConfigError
from blipdiff.models.caching import Caching
from blipdiff.moment import Moment

_ADDS = ("class_embed_type", "addition_embed_type", "time_embedding_act_fn", "time_cond_proj_dim")


class DeepFeatures:
    """The deep features of one run; U-Net calls go through it.

    Raises: ConfigError for a U-Net that reads more than latents, time and words.
    """

    def __init__(self, unet: UNet, caching: Caching) -> None:
        check_cacheable(unet)
        self._unet, self._caching = unet, caching
        self._kept: Tensor | None = None
        self._of: Hashable = None

    def __call__(self, latents: Tensor, context: Tensor, moment: Moment, rows: Hashable) -> Tensor:
        """The U-Net's output; of all of it where the moment asks for that, or other `rows` were in the last whole call.

        latents: (rows, channels, h, w); context: (rows, words, width) -> the latents' shape and dtype
        """
        kept = self._kept
        if kept is None or rows != self._of or self._caching.is_whole(moment.index):
            output, self._kept = whole(self._unet, latents, moment.timestep, context, self._caching.branch)
            self._of = rows
            return output
        return shallow(self._unet, latents, moment.timestep, context, kept, self._caching.branch)


def check_cacheable(unet: UNet) -> None:
    """Passes for a U-Net whose first level stands alone.

    Raises: ConfigError for one that reads more than latents, time and words.
    """
    reads = [name for name in _ADDS if getattr(unet.config, name, None) is not None]
    if reads or getattr(unet.config, "center_input_sample", False) or len(unet.up_blocks) < 2:
        raise ConfigError("This U-Net reads more than latents, time and words; draw with a cache interval of 1.")


def whole(unet: UNet, latents: Tensor, timestep: Tensor, context: Tensor, branch: int) -> tuple[Tensor, Tensor]:
    """The whole U-Net's output, (rows, channels, h, w), and the deep features that a shallow call of `branch` takes."""
    found, thread = list[Tensor](), get_ident()  # other threads' runs of the same U-Net come by as well

    def seen(_layer: nn.Module, given: tuple[Any, ...]) -> None:
        if get_ident() == thread:
            joined = given[0]  # what came from below, and then what was kept on the way down
            found.append(joined[:, : joined.shape[1] - int(unet.config.block_out_channels[0])])

    hook = _way_up(unet, branch)[0][0].register_forward_pre_hook(seen)
    try:
        output = unet(latents, timestep, encoder_hidden_states=context, return_dict=False)[0]
    finally:
        hook.remove()
    return output, found[0]


def shallow(unet: UNet, latents: Tensor, timestep: Tensor, context: Tensor, deep: Tensor, branch: int) -> Tensor:
    """The U-Net's output with the deep features of another call: (rows, channels, h, w), as the latents are."""
    time = unet.time_embedding(unet.get_time_embed(sample=latents, timestep=timestep))
    hidden = unet.conv_in(latents)
    ways = [hidden]
    for layers in _way_down(unet, branch):
        hidden = _through(layers, hidden, time, context)
        ways.append(hidden)
    hidden = deep
    for layers in _way_up(unet, branch):
        hidden = _through(layers, torch.cat([hidden, ways.pop()], dim=1), time, context)
    if unet.conv_norm_out is not None:
        hidden = unet.conv_act(unet.conv_norm_out(hidden))
    output: Tensor = unet.conv_out(hidden)
    return output


def _way_down(unet: UNet, branch: int) -> list[tuple[nn.Module, nn.Module | None]]:
    return list(_layers(unet.down_blocks[0]))[:branch]


def _way_up(unet: UNet, branch: int) -> list[tuple[nn.Module, nn.Module | None]]:
    """The layers that take what `_way_down` gave, the deepest first, and at last what the first convolution gave."""
    layers = list(_layers(unet.up_blocks[-1]))
    return layers[max(0, len(layers) - 1 - branch) :]


def _layers(block: Any) -> Iterator[tuple[nn.Module, nn.Module | None]]:
    attentions = getattr(block, "attentions", None) or [None] * len(block.resnets)
    yield from zip(block.resnets, attentions, strict=True)


def _through(layers: tuple[nn.Module, nn.Module | None], hidden: Tensor, time: Tensor, context: Tensor) -> Tensor:
    residual, attention = layers
    found: Tensor = residual(hidden, time)
    if attention is not None:
        found = attention(found, encoder_hidden_states=context, return_dict=False)[0]
    return found
