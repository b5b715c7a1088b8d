"""Colours under an ICC profile -> sRGB, which is what the model has learned."""

import io

import numpy as np
from PIL import Image, ImageCms

_UNSEEN = 2  # levels of 255 by which a profile may differ from sRGB and leave the pixels alone
_UNUSABLE = (ImageCms.PyCMSError, OSError, ImportError)  # a broken profile, or Pillow without the library for them
_MODES = {"RGB": ("RGB", "RGB"), "CMYK": ("CMYK", "RGB"), "GRAY": ("L", "RGB")}  # of the profile -> before, after


def in_srgb(image: Image.Image) -> Image.Image:
    """The picture in sRGB's colours, its alpha kept; the same picture where its profile is broken, absent or sRGB's."""
    data = image.info.get("icc_profile")
    if not isinstance(data, bytes) or not data:
        return image
    try:
        return _applied(image, ImageCms.ImageCmsProfile(io.BytesIO(data)))
    except _UNUSABLE:
        return image


def _applied(image: Image.Image, profile: ImageCms.ImageCmsProfile) -> Image.Image:
    space = profile.profile.xcolor_space.strip()
    if space not in _MODES or (space == "CMYK") != (image.mode == "CMYK"):
        return image
    if space == "GRAY" and image.mode not in ("1", "L", "LA"):
        return image
    before, after = _MODES[space]
    clear = image.has_transparency_data
    if clear and space == "RGB":
        before = after = "RGBA"
    transform = ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), before, after)
    if space != "CMYK" and not _is_seen(transform, before):
        return image
    pixels = image.convert(before) if image.mode != before else image
    changed = ImageCms.applyTransform(pixels, transform)
    if changed is None:
        return image
    if clear and space == "GRAY":
        changed.putalpha(image.convert("LA").getchannel("A"))
    return changed


def _is_seen(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether it changes any of some colours all over the range by more than rounding does."""
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    if mode == "L":
        colours = np.arange(256, dtype=np.uint8)[None].repeat(3, 0).T[None]  # (1, 256, 3)
    else:
        colours = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
    probe = Image.fromarray(np.ascontiguousarray(colours)).convert(mode)
    changed = ImageCms.applyTransform(probe, transform)
    if changed is None:
        return False
    return bool((np.abs(np.asarray(changed)[..., :3].astype(int) - colours) > _UNSEEN).any())
