"""Invert: a photo becomes the noise that the model would draw it from."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from blipdiff.conditioning.guidance import Conditioning, Guidance
from blipdiff.errors import ConfigError, ImageError
from blipdiff.given_pictures import PictureLike
from blipdiff.images import as_rgb, picture_tensor
from blipdiff.latents import encode_picture, latent_size, size_factor
from blipdiff.masks import as_mask
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.sampling.inversion import InversionMethod, check_invertible, invert
from blipdiff.sampling.loop import Step
from blipdiff.sampling.predictor import Control, GuidedPredictor
from blipdiff.sampling.schedulers import Scheduler, build_scheduler, set_timesteps
from pipelines.edit.request import EditRequest
from pipelines.plan import check_size

MOST_ASPECT = 4.0  # of a photo's longer side to its shorter one


@dataclass(frozen=True, slots=True, eq=False)
class PhotoSource:
    """A photo that is ready to be inverted."""

    photo: Image.Image  # upright, RGB, of its own size
    latents: Tensor  # (1, channels, h, w) of it at the working size
    painted: Tensor | None  # (h, w): where the edit may happen


@dataclass(frozen=True, slots=True, eq=False)
class Inversion:
    """A photo and the way to its noise: its latents, then those after each step, each (1, channels, h, w)."""

    photo: PhotoSource
    way: tuple[Tensor, ...]


def prepare_photo(
    model: BlipDiffusion,
    request: EditRequest,
    photo: PictureLike,
    *,
    mask: PictureLike | None = None,
    generator: torch.Generator | None = None,
) -> PhotoSource:
    """The photo's latents at the nearest size that suits the model; everything that can be wrong is wrong here.

    mask: of the photo's size, white where the edit may happen; generator: samples the autoencoder instead of taking
    its mode

    Raises: ImageError for a photo of extreme aspect or a mask that is empty or of another size, ConfigError for a
    scheduler that cannot invert or a size the model cannot do.
    """
    photo_scheduler(model, request)
    upright = as_rgb(photo)
    width, height = work_size(model, request, upright.size)
    size = latent_size(model.vae, height, width)
    painted = None if mask is None else painted_mask(mask, upright.size, size)
    pixels = picture_tensor(upright, (width, height))[None].to(model.vae.device)
    return PhotoSource(upright, encode_picture(model.vae, pixels, generator).to(model.device), painted)


def invert_photo(
    model: BlipDiffusion,
    request: EditRequest,
    words: Conditioning,
    photo: PhotoSource,
    *,
    controls: Sequence[Control] = (),
) -> Iterator[Step]:
    """The steps from the photo to its noise, unguided; their latents go the `Inversion`'s way.

    words: what the photo shows, in its first row, as the edit's source row will be told

    Raises: ConfigError for a scheduler that cannot invert.
    """
    predict = GuidedPredictor(model.unet, Guidance.even(words.select([0]), None, 1.0), controls)
    method: InversionMethod = request.inversion  # type: ignore[assignment]
    return invert(predict, photo_scheduler(model, request), photo.latents, method=method)


def photo_scheduler(model: BlipDiffusion, request: EditRequest) -> Scheduler:
    """The request's scheduler, readied.

    Raises: ConfigError when it cannot invert.
    """
    scheduler = build_scheduler(request.scheduler, model.scheduler_config)
    set_timesteps(scheduler, request.steps, model.device)
    check_invertible(scheduler)
    return scheduler


def work_size(model: BlipDiffusion, request: EditRequest, photo: tuple[int, int]) -> tuple[int, int]:
    """(width, height) that a photo is edited at: its aspect, about as many pixels as the model was trained at.

    Raises: ImageError for a photo more than four times as long as wide, ConfigError for half a size.
    """
    width, height = photo
    if max(width, height) > MOST_ASPECT * min(width, height):
        raise ImageError(
            f"The photo is {width} x {height} pixels; the longer side may be at most {MOST_ASPECT:g} times the "
            "shorter. Crop it first."
        )
    if (request.width is None) != (request.height is None):
        raise ConfigError("A photo's working size needs both width and height, or neither.")
    if request.width is not None and request.height is not None:
        return check_size(model, (request.width, request.height))
    factor = size_factor(model.vae)
    unit = factor * 2 ** (len(model.unet.config.block_out_channels) - 1)  # whole places at every level of the U-Net
    scale = int(model.unet.config.sample_size) * factor / math.sqrt(width * height)
    return max(unit, round(width * scale / unit) * unit), max(unit, round(height * scale / unit) * unit)


def painted_mask(mask: PictureLike, picture: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """A painted mask on the latents' grid; grey is a part.

    picture: (width, height) that the mask must have; size: (h, w) -> (h, w) in [0, 1]

    Raises: ImageError for a mask of another size, an empty one, and what is no mask.
    """
    painted_on = as_rgb(mask, "black")
    if painted_on.size != picture:
        raise ImageError(
            f"The mask is {painted_on.width} x {painted_on.height} pixels, the picture {picture[0]} x {picture[1]}; "
            "paint it on the picture itself."
        )
    grey = picture_tensor(as_mask(mask)).mean(0)[None, None]  # (1, 1, H, W)
    painted = torch.nn.functional.interpolate(grey, size=size, mode="area")[0, 0].clamp(0, 1)
    if not bool((painted > 0).any()):
        raise ImageError("The mask is empty: nothing would be edited. Paint white where the edit may happen.")
    return painted
