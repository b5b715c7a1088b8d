"""Views of one subject: its photos' cut-outs on other grounds, hardly shifted, scaled and turned, as latents.

Where a subject stands is not what is to be learned: views that move much are learned as a blur, since the noisiest
times, where a subject's look is settled, are told of its mean over all places.

All views are made before the first step, so that a step needs neither the autoencoder nor the photos.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.random import Generator
from PIL import Image
from torch import Tensor
from torch.nn import functional

from blipdiff.conditioning.prompt import build_prompt
from blipdiff.data.composites import composite, premultiplied, warped
from blipdiff.data.records import Pixels
from blipdiff.diffusers_types import VAE
from blipdiff.images import as_rgb
from blipdiff.latents import encode_picture
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.models.tokenizers import prompt_ids
from blipdiff.sampling.cost import own_size

_AS_IT_IS, _ON_PLAIN = 0.1, 0.3  # of the views: the photo itself, its own ground around it; of the others: on a colour
_FILLED = 0.875  # of a frame that the cut-out's longer side takes
_SCALES, _MOST_SHIFT, _MOST_DEGREES = (0.75, 0.9), 0.03, 5.0
_GROUNDS = {  # plain grounds, told by their names
    "white": (250, 250, 250), "black": (18, 18, 20), "gray": (140, 140, 142), "red": (205, 40, 40),
    "orange": (240, 140, 40), "yellow": (245, 220, 70), "green": (70, 160, 80), "blue": (60, 100, 215),
    "purple": (130, 75, 175), "pink": (250, 165, 200), "brown": (115, 75, 45),
}  # fmt: skip
_NEAR = 12  # by which a named colour varies, of 255
_AT_ONCE = 8


@dataclass(frozen=True, slots=True, eq=False)
class SubjectPicture:
    """A photo as it is learned from: the whole of it, and its subject cut out (RGBA) where one was found."""

    photo: Image.Image
    cut_out: Image.Image | None


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """What a subject is set on: pixels (side, side, 3), and what a prompt says of them, "on a beach"."""

    pixels: Pixels
    prompt: str


@dataclass(frozen=True, slots=True, eq=False)
class Views:
    """Pictures of a subject as the U-Net learns from them.

    latents: (n, channels, h, w); inside: (n, h, w), where the subject is, 0 to 1; ids: (n, words); tokens: (n, 16,
    width), for pictures of other subjects, which have rows of their own
    """

    latents: Tensor
    inside: Tensor
    ids: Tensor
    tokens: Tensor | None = None

    def __len__(self) -> int:
        return len(self.latents)


def subject_views(
    model: BlipDiffusion,
    pictures: Sequence[SubjectPicture],
    category: str,
    *,
    count: int,
    seed: int,
    flips: bool,
    grounds: Sequence[Ground] = (),
) -> Views:
    """`count` views of a subject, each photo in turn.

    flips: whether the subject may be mirrored; grounds: pictures to set it on beside plain colours, of the model's size
    """
    side = max(own_size(model))
    drawn = [
        _view(pictures[number % len(pictures)], side, np.random.default_rng((seed, number)), grounds, flips=flips)
        for number in range(count)
    ]
    prompts = [build_prompt(category, prompt) for _, _, prompt in drawn]
    return views_of(model, [one for one, _, _ in drawn], [mask for _, mask, _ in drawn], prompts)


def views_of(
    model: BlipDiffusion,
    pictures: Sequence[Pixels],
    masks: Sequence[Pixels],
    prompts: Sequence[str],
    tokens: Tensor | None = None,
) -> Views:
    """Pictures (side, side, 3), with masks (side, side) and prompts, as latents. tokens: of their own subjects"""
    latents = torch.cat(
        [_latents(model.vae, pictures[first : first + _AT_ONCE]) for first in range(0, len(pictures), _AT_ONCE)]
    )
    whole = torch.from_numpy(np.stack(masks))[:, None].float() / 255
    inside = functional.interpolate(whole, tuple(latents.shape[-2:]), mode="area")[:, 0]
    length = model.positions - model.subject_slots
    ids = torch.tensor([prompt_ids(model.prompt_tokenizer, prompt, length) for prompt in prompts])
    return Views(latents.cpu(), inside, ids, tokens)


def _latents(vae: VAE, pictures: Sequence[Pixels]) -> Tensor:
    batch = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        return encode_picture(vae, batch.to(vae.device)).cpu()


def _view(
    picture: SubjectPicture, side: int, rng: Generator, grounds: Sequence[Ground], *, flips: bool
) -> tuple[Pixels, Pixels, str]:
    """A picture, the mask in it, and what its prompt says of its ground."""
    is_mirrored = flips and rng.random() < 0.5
    if picture.cut_out is None or rng.random() < _AS_IT_IS:
        return _as_it_is(picture, side, rng, is_mirrored=is_mirrored)
    cut_out = premultiplied(_framed(picture.cut_out, side))
    if is_mirrored:
        cut_out = np.ascontiguousarray(cut_out[:, ::-1])
    x, y = 0.5 + rng.uniform(-_MOST_SHIFT, _MOST_SHIFT, 2)
    degrees = rng.uniform(-_MOST_DEGREES, _MOST_DEGREES)
    placed = warped(cut_out, rng.uniform(*_SCALES) / _FILLED, degrees, float(x), float(y))
    ground = grounds[int(rng.integers(len(grounds)))] if grounds and rng.random() >= _ON_PLAIN else _plain(side, rng)
    return composite(placed, ground.pixels), np.ascontiguousarray(placed[..., 3]), ground.prompt


def _as_it_is(picture: SubjectPicture, side: int, rng: Generator, *, is_mirrored: bool) -> tuple[Pixels, Pixels, str]:
    """The whole photo, fitted in as people's photos are; without a cut-out all of it counts."""
    rgb = as_rgb(picture.photo)
    scale = side / max(rgb.size)
    size = (max(1, round(rgb.width * scale)), max(1, round(rgb.height * scale)))
    small = np.asarray(rgb.resize(size, Image.Resampling.LANCZOS))
    top, left = (side - size[1]) // 2, (side - size[0]) // 2
    edges = (top, side - size[1] - top, left, side - size[0] - left)
    whole: Pixels = cv2.copyMakeBorder(small, *edges, cv2.BORDER_REPLICATE)
    inside = np.zeros((side, side), np.uint8)
    inside[top : top + size[1], left : left + size[0]] = 255
    shift = np.array([[1, 0, rng.uniform(-2, 2)], [0, 1, rng.uniform(-2, 2)]], np.float32)
    whole = cv2.warpAffine(whole, shift, (side, side), borderMode=cv2.BORDER_REPLICATE)
    if is_mirrored:
        whole, inside = np.ascontiguousarray(whole[:, ::-1]), np.ascontiguousarray(inside[:, ::-1])
    return whole, inside, ""


def _framed(cut_out: Image.Image, side: int) -> Pixels:
    """RGBA in the middle of a square, its longer side taking `_FILLED` of it."""
    scale = _FILLED * side / max(cut_out.size)
    size = (max(1, round(cut_out.width * scale)), max(1, round(cut_out.height * scale)))
    small = np.asarray(cut_out.convert("RGBa").resize(size, Image.Resampling.LANCZOS).convert("RGBA"))
    frame = np.zeros((side, side, 4), np.uint8)
    top, left = (side - size[1]) // 2, (side - size[0]) // 2
    frame[top : top + size[1], left : left + size[0]] = small
    return frame


def _plain(side: int, rng: Generator) -> Ground:
    """A plain ground or one of two colours, with the words for it."""
    names = list(_GROUNDS)
    first, second = (_shade(str(names[place]), rng) for place in rng.integers(len(names), size=2))
    if rng.random() < 0.3:
        slope = np.linspace(0, 1, side)[:, None, None]
        return Ground((first * (1 - slope) + second * slope + np.zeros((1, side, 1))).astype(np.uint8), "")
    name = names[int(rng.integers(len(names)))]
    ground = np.empty((side, side, 3), np.uint8)
    ground[:] = _shade(name, rng)
    return Ground(ground, f"on a {name} background")


def _shade(name: str, rng: Generator) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.clip(np.array(_GROUNDS[name]) + rng.uniform(-_NEAR, _NEAR, 3), 0, 255)
