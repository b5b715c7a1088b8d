"""Composite: the pictures that an edit ends in."""

from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from blipdiff.attention.word_maps import WordMap, word_maps
from blipdiff.images import fitted, picture_tensor, to_pictures
from blipdiff.latents import decode_latents
from blipdiff.models.blip_diffusion import BlipDiffusion
from pipelines.edit.invert import PhotoSource
from pipelines.edit.plan import SOURCE, TARGET, EditPlan


@dataclass(frozen=True, slots=True, eq=False)
class EditPictures:
    """Before and after, of one size, with what tells where and why."""

    before: Image.Image  # the photo itself, or the generated source
    after: Image.Image
    mask: Image.Image | None  # white where the edit happened; None without a mask
    source_maps: tuple[WordMap, ...]  # of the source's words, of the pictures' size
    target_maps: tuple[WordMap, ...]


def edit_pictures(
    model: BlipDiffusion,
    plan: EditPlan,
    latents: Tensor,
    *,
    photo: PhotoSource | None = None,
    keep_background: bool = False,
) -> EditPictures:
    """The pictures of an edit that has run, at a photo's own size.

    latents: (2, channels, h, w), rows [source, target]; keep_background: outside the mask, the pixels of `before`
    """
    drawn = to_pictures(decode_latents(model.vae, latents))
    before = drawn[SOURCE] if photo is None else photo.photo
    after = fitted(drawn[TARGET], before.size, "squash")
    mask = None if plan.blend is None else plan.blend.mask((latents.shape[-2], latents.shape[-1]))
    size = (before.height, before.width)
    weight = None if mask is None else _enlarged(mask, size)
    if keep_background and weight is not None:
        mixed = torch.lerp(picture_tensor(before), picture_tensor(after), weight)
        after = to_pictures(mixed[None])[0]
    seen = plan.store.mean()
    layouts = plan.sampling.guidance.positive.layouts
    return EditPictures(
        before=before,
        after=after,
        mask=None if weight is None else to_pictures(weight.expand(1, 3, *size))[0].convert("L"),
        source_maps=word_maps(seen[SOURCE], layouts[SOURCE], size),
        target_maps=word_maps(seen[TARGET], layouts[TARGET], size),
    )


def _enlarged(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """The latents' mask on pixels, its edge a ramp of about one latent place: (H, W)"""
    smooth = torch.nn.functional.interpolate(mask.float().cpu()[None, None], size=size, mode="bilinear")
    return smooth[0, 0].clamp(0, 1)
