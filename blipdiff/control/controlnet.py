"""A ControlNet with its control picture, its strength, and its part of the run."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from blipdiff.diffusers_types import ControlNet, UNet
from blipdiff.errors import ConfigError, ImageError, ShapeError
from blipdiff.moment import Moment, Window
from blipdiff.stand_ins import are_allowed, computed

_SHARED = ("in_channels", "block_out_channels", "layers_per_block", "cross_attention_dim", "down_block_types")


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, list | tuple) else value


@dataclass(frozen=True, slots=True, eq=False)
class ControlBranch:
    """One ControlNet that follows one picture, or one picture for each row (Zhang et al. 2023, arXiv:2302.05543).

    `conditional_only` is the paper's guess mode: the net sees the conditional rows alone, and its residuals grow
    from a tenth at the first block to their full size at the middle one.

    picture: (1 or rows, channels, H, W) in [0, 1], -1 in parts that an inpaint net fills; strength: 0 or more, 1 as
    trained

    Raises: ShapeError for another shape, ImageError for values outside [0, 1], ConfigError for a strength that is
    negative or not finite.
    """

    net: ControlNet
    picture: Tensor
    strength: float = 1.0
    window: Window = field(default_factory=Window)
    conditional_only: bool = False

    def __post_init__(self) -> None:
        channels = self.net.config.conditioning_channels
        if not isinstance(self.picture, Tensor):
            raise ShapeError(
                f"A control branch follows a tensor (rows, {channels}, H, W) in [0, 1], not a "
                f"{type(self.picture).__name__}; blipdiff.images.picture_tensor makes one of a picture."
            )
        if self.picture.ndim != 4 or self.picture.shape[1] != channels:
            raise ShapeError(
                f"A control picture of shape {tuple(self.picture.shape)} was given; this ControlNet reads "
                f"(rows, {channels}, H, W)."
            )
        low, high = float(self.picture.min()), float(self.picture.max())
        holes = (
            low == -1 and high >= 0 and bool(((self.picture >= 0) | (self.picture == -1).all(1, keepdim=True)).all())
        )
        if not ((low >= 0.0 or holes) and high <= 1.0):
            raise ImageError(
                f"The control picture has values from {low:g} to {high:g}; they must lie in [0, 1], or be -1 where an "
                "inpaint net shall fill it."
            )
        if not (math.isfinite(self.strength) and self.strength >= 0):
            raise ConfigError(f"A control strength of {self.strength} was given; it is 0 or more.")

    def check(self, latents: Tensor, context: Tensor) -> None:
        """Passes when the branch fits latents (rows, channels, h, w) and context (rows, slots, width).

        Raises: ShapeError when the picture's size, the net's width or the number of rows does not fit.
        """
        factor = 2 ** (len(self.net.config.conditioning_embedding_out_channels) - 1)
        size, needed = tuple(self.picture.shape[-2:]), tuple(side * factor for side in latents.shape[-2:])
        if size != needed:
            raise ShapeError(
                f"The control picture has {size[1]} x {size[0]} pixels, the picture to make {needed[1]} x {needed[0]}."
            )
        if context.shape[-1] != self.net.config.cross_attention_dim:
            raise ShapeError(
                f"The ControlNet reads text of width {self.net.config.cross_attention_dim}, the model's has width "
                f"{context.shape[-1]}; it belongs to another model."
            )

    def check_unet(self, unet: UNet) -> None:
        """Passes when the net's residuals are of the U-Net's sizes.

        Raises: ShapeError for a ControlNet of another model.
        """
        for name in _SHARED:
            own, wanted = (_plain(getattr(net.config, name)) for net in (self.net, unet))
            if own != wanted:
                raise ShapeError(
                    f"The ControlNet was made for another model: its {name} is {own}, this model's U-Net has {wanted}."
                )

    def residuals(
        self, latents: Tensor, context: Tensor, moment: Moment, rows: Sequence[int] | None = None
    ) -> tuple[list[Tensor], Tensor] | None:
        """What to add to the U-Net's down blocks and middle block; None, and no work, where there is nothing to add.

        latents: (n, channels, h, w); context: (n, slots, width); rows: the picture that each of the n belongs to,
        its own number if None

        Raises: ShapeError when the branch does not fit them.
        """
        if self.strength == 0 or not self.window.holds(moment):
            return None
        self.check(latents, context)
        dtype = self.net.dtype
        picture = self._picture_of(range(latents.shape[0]) if rows is None else rows).to(latents.device, dtype)
        given = latents.to(dtype), moment.timestep, context.to(dtype), picture
        if are_allowed() and not self.net.config.global_pool_conditions:
            found = computed(self.net, *given)
            if found is not None:
                return self._scaled(found)
        down, middle = self.net(
            given[0],
            given[1],
            encoder_hidden_states=given[2],
            controlnet_cond=picture,
            conditioning_scale=self.strength,
            guess_mode=self.conditional_only,
            return_dict=False,
        )
        return list(down), middle

    def _scaled(self, parts: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
        """What the net says at strength 1, by the branch's strength, as diffusers' net itself scales it."""
        scales = torch.full((len(parts),), self.strength)
        if self.conditional_only:
            scales = torch.logspace(-1, 0, len(parts)) * self.strength
        *down, middle = [part * scale for part, scale in zip(parts, scales, strict=True)]
        return down, middle

    def _picture_of(self, rows: Sequence[int]) -> Tensor:
        if self.picture.shape[0] == 1:
            return self.picture.expand(len(rows), -1, -1, -1)
        if max(rows) >= self.picture.shape[0]:
            raise ShapeError(
                f"The control has {self.picture.shape[0]} pictures for {max(rows) + 1} rows; give 1, or one for each."
            )
        return self.picture[torch.as_tensor(list(rows), device=self.picture.device)]
