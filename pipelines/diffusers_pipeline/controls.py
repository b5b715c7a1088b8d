"""Controls as callers of the diffusers face ask for them: one net or several, their maps, scales and windows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from diffusers.models.controlnets.multicontrolnet import MultiControlNetModel
from PIL import Image

from blipdiff.control.controlnet import ControlBranch
from blipdiff.diffusers_types import ControlNet
from blipdiff.errors import ConfigError, ShapeError
from blipdiff.given_pictures import PictureLike, as_image, each_of
from blipdiff.images import as_rgb, map_tensor
from blipdiff.moment import Window

ControlPictures: TypeAlias = PictureLike | Sequence[PictureLike] | Sequence[Sequence[PictureLike]] | None


@dataclass(frozen=True, slots=True, eq=False)
class ControlsAsked:
    """The call's arguments about control: each value for all nets, or one each."""

    pictures: ControlPictures
    scale: float | Sequence[float]
    start: float | Sequence[float]
    end: float | Sequence[float]
    guess_mode: bool
    resample: str = "bicubic"  # or lanczos

    def branches(
        self,
        nets: ControlNet | MultiControlNetModel | None,
        size: tuple[int, int],
        rows: int,
        prompts: int,
        device: torch.device,
    ) -> tuple[ControlBranch, ...]:
        """A branch for each net of the pipeline.

        Raises: ConfigError without a net and for another number of values than nets, ShapeError for another number of
        pictures than prompts or rows, ImageError for what is no picture.
        """
        if nets is None:
            raise ConfigError(
                "A control image was given, but this checkpoint has no ControlNet; load one with "
                "from_pretrained(..., controlnet=ControlNetModel.from_pretrained(...)), or a list of them."
            )
        several = isinstance(nets, MultiControlNetModel)
        each: list[Any] = list(nets.nets) if several else [nets]
        maps: list[Any] = each_of(self.pictures) if several else [self.pictures]
        if len(maps) != len(each):
            raise ConfigError(f"{len(maps)} control images were given for {len(each)} ControlNets; give one each.")
        scales, starts, ends = (self._one_each(name, len(each)) for name in ("scale", "start", "end"))
        return tuple(
            ControlBranch(
                net,
                _tensor(picture, size, rows, prompts, self.resample).to(device),
                scale,
                Window(start, end),
                self.guess_mode,
            )
            for net, picture, scale, start, end in zip(each, maps, scales, starts, ends, strict=True)
        )

    def _one_each(self, name: str, count: int) -> list[float]:
        value = getattr(self, name)
        values = [float(one) for one in value] if isinstance(value, list | tuple) else [float(value)] * count
        if len(values) != count:
            raise ConfigError(f"{len(values)} values of the control's {name} were given for {count} ControlNets.")
        return values


def _pictures(given: Any) -> list[Image.Image]:
    """In RGB; RGBA where a tensor or an array says with -1 what an inpaint net shall fill."""
    parts = each_of(given)
    if len(parts) != 1 or parts[0] is not given:
        return [picture for one in parts for picture in _pictures(one)]
    axis = 0 if isinstance(given, torch.Tensor) else -1 if isinstance(given, np.ndarray) else None
    if axis is None or given.ndim != 3:
        return [as_rgb(given)]
    values = torch.as_tensor(given)  # bytes hold no -1, and torch would take 255 for one
    if not values.is_floating_point() or not bool((values == -1).any()):
        return [as_rgb(given)]
    kept = (values != -1).all(dim=axis, keepdim=True)
    layers = torch.cat([torch.where(kept, values, 0), kept.to(values)], dim=axis)
    return [as_image(layers if axis == 0 else layers.numpy())]


def _tensor(picture: Any, size: tuple[int, int], rows: int, prompts: int, resample: str) -> torch.Tensor:
    """(rows, 3, H, W) in [0, 1], -1 in holes; pictures for the prompts are repeated for the rows of each."""
    pictures = _pictures(picture)
    if len(pictures) not in (1, prompts, rows):
        raise ShapeError(
            f"{len(pictures)} conditioning images were given for {prompts} prompts and {rows} pictures; "
            "give 1, or one each."
        )
    repeated = [one for one in pictures for _ in range(rows // len(pictures))]
    return torch.stack([map_tensor(one, size, resample=resample) for one in repeated])
