"""A T2I-Adapter with its picture (Mou et al. 2023, arXiv:2302.08453): the light cousin of a ControlNet."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from blipdiff.diffusers_types import Adapter, UNet
from blipdiff.errors import ConfigError, ImageError, ShapeError
from blipdiff.moment import Moment, Window


@dataclass(frozen=True, slots=True, eq=False)
class AdapterBranch:
    """Features of one picture, or of one for each row; they know neither words nor noise, and are computed once.

    features: for each down block (1 or rows, channels, h, w); strength: 0 or more, 1 as trained

    Raises: ConfigError for a strength that is negative or not finite.
    """

    features: tuple[Tensor, ...]
    strength: float = 1.0
    window: Window = field(default_factory=Window)
    conditional_only: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.strength) and self.strength >= 0):
            raise ConfigError(f"A control strength of {self.strength} was given; it is 0 or more.")

    @classmethod
    def of(
        cls,
        net: Adapter,
        picture: Tensor,
        strength: float = 1.0,
        window: Window | None = None,
        conditional_only: bool = False,
    ) -> "AdapterBranch":
        """From the adapter and (1 or rows, channels, H, W) in [0, 1].

        Raises: ShapeError for another shape, ImageError for values outside [0, 1], ConfigError as above.
        """
        channels = int(net.config.in_channels)
        if picture.ndim == 4 and picture.shape[1] == 3 and channels == 1:
            picture = picture.mean(1, keepdim=True)  # sketches and edges are read as grey
        if picture.ndim != 4 or picture.shape[1] != channels:
            raise ShapeError(
                f"A control picture of shape {tuple(picture.shape)} was given; this adapter reads "
                f"(rows, {channels}, H, W)."
            )
        low, high = float(picture.min()), float(picture.max())
        if not (low >= 0.0 and high <= 1.0):
            raise ImageError(f"The control picture has values from {low:g} to {high:g}; they must lie in [0, 1].")
        with torch.no_grad():
            features = tuple(net(picture.to(net.device, net.dtype)))
        return cls(features, strength, window or Window(), conditional_only)

    def check_unet(self, unet: UNet) -> None:
        """Passes when the features are of the U-Net's widths.

        Raises: ShapeError for an adapter of another model.
        """
        own, wanted = [one.shape[1] for one in self.features], list(unet.config.block_out_channels)
        if own != wanted:
            raise ShapeError(f"The adapter was made for another model: its widths are {own}, this U-Net's {wanted}.")

    def check(self, latents: Tensor, context: Tensor) -> None:  # noqa: ARG002
        """Passes when the features fit latents (rows, channels, h, w).

        Raises: ShapeError when the picture was of another size than the one to make.
        """
        if self.features[0].shape[-2:] != latents.shape[-2:]:
            raise ShapeError(
                f"The adapter's features are of {tuple(self.features[0].shape[-2:])}, the latents of "
                f"{tuple(latents.shape[-2:])}; give a control picture of the size to make."
            )

    def residuals(
        self,
        latents: Tensor,
        context: Tensor,
        moment: Moment,
        rows: Sequence[int] | None = None,
    ) -> tuple[list[Tensor], None] | None:
        """What to add within the U-Net's down blocks; None where there is nothing to add.

        latents: (n, channels, h, w); rows: the picture that each of the n belongs to, its own number if None

        Raises: ShapeError when the branch does not fit them.
        """
        if self.strength == 0 or not self.window.holds(moment):
            return None
        self.check(latents, context)
        taken = list(range(latents.shape[0]) if rows is None else rows)
        if self.features[0].shape[0] == 1:
            taken = [0] * len(taken)
        elif max(taken) >= self.features[0].shape[0]:
            raise ShapeError(
                f"The control has {self.features[0].shape[0]} pictures for {max(taken) + 1} rows; "
                "give 1, or one for each."
            )
        return [self.strength * one[taken].to(latents) for one in self.features], None
