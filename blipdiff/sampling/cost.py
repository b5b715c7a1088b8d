"""How long a run will take, before it begins: operations counted on networks without weights, and one timed call."""

import inspect
import time
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from blipdiff.latents import latent_size, size_factor
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.ranges import OWN_TIMES
from blipdiff.sampling.caching import shallow, whole
from blipdiff.stand_ins import computed

_TRIAL = 2e11  # operations of a call that may be made only to be timed: a second or two on two cores

Size = tuple[int, int]  # (width, height) in pixels


@dataclass(frozen=True, slots=True)
class Operations:
    """What one picture of a size costs."""

    row: int  # of one row of one U-Net call
    picture: int  # of decoding


def own_size(model: BlipDiffusion) -> Size:
    """The size that the model was trained at."""
    side = int(model.unet.config.sample_size) * size_factor(model.vae)
    return side, side


def times_own(model: BlipDiffusion, size: Size) -> float:
    """How many times the pixels of the model's own size these are."""
    width, height = own_size(model)
    return size[0] * size[1] / (width * height)


def most_pixels(model: BlipDiffusion) -> int:
    """Above these nothing is drawn: OWN_TIMES as many as the model was trained at, and 512 x 512 for the smallest."""
    width, height = own_size(model)
    return max(OWN_TIMES * width * height, 512 * 512)


def counted(model: BlipDiffusion, size: Size) -> Operations:
    """The operations of matrix products, convolutions and attention; the last grow with the square of the pixels."""
    height, width = latent_size(model.vae, size[1], size[0])
    with torch.device("meta"), torch.no_grad():
        unet, vae = without_weights(model.unet), without_weights(model.vae)
        latents = torch.empty(1, int(unet.config.in_channels), height, width)
        words = torch.empty(1, model.positions, int(unet.config.cross_attention_dim))
        with FlopCounterMode(display=False) as row:
            unet(latents, torch.empty(()), encoder_hidden_states=words, return_dict=False)
        with FlopCounterMode(display=False) as picture:
            vae.decode(torch.empty(1, int(vae.config.latent_channels), height, width), return_dict=False)
    return Operations(row.get_total_flops(), picture.get_total_flops())


def shallow_share(model: BlipDiffusion, branch: int) -> float:
    """What a call that takes deep features again costs of a whole one, at the model's own size."""
    height = width = int(model.unet.config.sample_size)
    with torch.device("meta"), torch.no_grad():
        unet = without_weights(model.unet)
        given = (
            torch.empty(1, int(unet.config.in_channels), height, width),
            torch.empty(()),
            torch.empty(1, model.positions, int(unet.config.cross_attention_dim)),
        )
        with FlopCounterMode(display=False) as all_of_it:
            _, deep = whole(unet, *given, branch)
        with FlopCounterMode(display=False) as some:
            shallow(unet, *given, deep, branch)
    return float(some.get_total_flops() / all_of_it.get_total_flops())


def without_weights(net: Any) -> Any:
    """A network of the same configuration, made where nothing is computed."""
    known = inspect.signature(type(net).__init__).parameters
    return type(net)(**{name: value for name, value in net.config.items() if name in known})


def seconds_of(model: BlipDiffusion, size: Size, rows: int, pictures: int, *, by_stand_in: bool = False) -> float:
    """The time that `rows` rows of U-Net calls and `pictures` decodings take here, from one call that is timed.

    The call is made at the size itself where that takes no time to speak of, else at a smaller one: operations per
    second differ by less than a third between a model's own size and 16 times it.

    by_stand_in: whether what is held beside the U-Net is timed, which may be converted for it first
    """
    asked, (own, _) = counted(model, size), own_size(model)
    trial, operations = size, asked.row
    for side in (2 * own, own):
        if operations > _TRIAL:
            trial = (side, side)
            operations = counted(model, trial).row
    _seconds_of_row(model, (own, own), by_stand_in)  # the first call of all warms up
    return (asked.row * rows + asked.picture * pictures) * _seconds_of_row(model, trial, by_stand_in) / operations


def _seconds_of_row(model: BlipDiffusion, size: Size, by_stand_in: bool) -> float:
    unet, (height, width) = model.unet, latent_size(model.vae, size[1], size[0])
    given = {"device": model.device, "dtype": unet.dtype}
    latents = torch.zeros(1, int(unet.config.in_channels), height, width, **given)
    words = torch.zeros(1, model.positions, int(unet.config.cross_attention_dim), **given)
    begun = time.perf_counter()
    with torch.no_grad():
        if not by_stand_in or computed(unet, latents, torch.tensor(500), words) is None:
            unet(latents, torch.tensor(500), encoder_hidden_states=words, return_dict=False)[0].cpu()
    return time.perf_counter() - begun
