"""Pixels <-> tensors: every picture that a person gives, and every picture that the model makes, passes here."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, ImageColor

from blipdiff.colour_profiles import in_srgb
from blipdiff.errors import ImageError, NumericsError, ShapeError
from blipdiff.given_pictures import PictureLike, as_image
from blipdiff.picture_files import check_pixels, decoding, orientation, picture_of, read_picture
from blipdiff.ranges import RESAMPLING_NAMES

if TYPE_CHECKING:  # pictures are read without torch
    from torch import Tensor

PhotoFit = Literal["squash", "crop", "pad"]
SubjectFit: TypeAlias = PhotoFit | Literal["cut-out"]  # or the subject alone, cut out of its photo, on white
RESAMPLING = dict(zip(RESAMPLING_NAMES, (Image.Resampling.BICUBIC, Image.Resampling.LANCZOS), strict=True))

SMALLEST_SIDE = 8
_EXTREME_ASPECT = 16
_BAND = 2**20  # pixels of a wide picture that are scaled at once
_ONE_AT_A_TIME = tuple(Lock() for _ in range(16))  # by a picture's identity: Pillow cannot decode it in two threads
_TURNED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True, slots=True)
class PhotoSettings:
    """What the vision trunk was trained to see: the side of its square and the normalisation of its channels."""

    side: int = 224
    mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)
    std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)


def open_picture(path: str | Path, ground: str = "white") -> Image.Image:
    """The first frame of the picture in a file: upright, RGB in sRGB's colours, transparent parts on `ground`.

    Raises: ImageError for a file that is missing, empty, damaged, not a picture, or above 100 megapixels;
    MissingDependencyError for a HEIC picture where nothing can read it.
    """
    return _plain(_in_rgb(_upright(read_picture(path)), ground, str(path)))


def picture_from(data: bytes, name: str) -> Image.Image:
    """The picture in the bytes of a file, as `open_picture`; `name` says in an error what it is."""
    return _plain(_in_rgb(_upright(picture_of(data, name)), "white", name))


def as_rgb(image: PictureLike, ground: str = "white") -> Image.Image:
    """Any picture as upright 8-bit RGB in sRGB's colours: EXIF's rotation and the ICC profile applied, alpha composited
    on `ground`, 16 bits scaled. What was given stays as it is.

    image: PIL's, an array (H, W, 3) or a tensor (3, H, W), of uint8 or of numbers from 0 to 1

    Raises: ImageError for more than 100 megapixels, for pixels that cannot be decoded, and for what is no picture.
    """
    given = as_image(image)
    check_pixels(given.size, "The picture")
    name = getattr(given, "filename", "") or "the picture"
    with _ONE_AT_A_TIME[id(given) % len(_ONE_AT_A_TIME)], decoding(name):
        if given.tell() != 0 and given.format != "HEIF":  # a HEIC file names its first picture itself
            given.seek(0)
        given.load()
    rgb = _in_rgb(_upright(given), ground, name)
    return _plain(rgb.copy() if rgb is given else rgb)


def open_layers(path: str | Path) -> Image.Image:
    """The picture in a file as `as_layers`. Raises: as `open_picture`."""
    return _plain(_in_layers(_upright(read_picture(path)), str(path)))


def layers_from(data: bytes, name: str) -> Image.Image:
    """The picture in the bytes of a file as `as_layers`; `name` says in an error what it is."""
    return _plain(_in_layers(_upright(picture_of(data, name)), name))


def as_layers(image: PictureLike) -> Image.Image:
    """Any picture as `as_rgb`, with its alpha where it has transparent parts: RGB or RGBA."""
    given = as_image(image)
    if not given.has_transparency_data:
        return as_rgb(given)
    check_pixels(given.size, "The picture")
    name = getattr(given, "filename", "") or "the picture"
    with _ONE_AT_A_TIME[id(given) % len(_ONE_AT_A_TIME)], decoding(name):
        given.load()
    return _plain(_in_layers(_upright(given), name))


def subject_pixels(image: PictureLike, settings: PhotoSettings, *, fit: PhotoFit) -> "Tensor":
    """A subject's photo as the vision trunk takes it: (3, side, side), float32, normalised.

    `squash` ignores the aspect (diffusers' pipeline), `crop` keeps the centre (the original code), `pad` adds white.
    Raises: ImageError for a photo below 8 pixels a side.
    """
    rgb = as_rgb(image)
    if min(rgb.size) < SMALLEST_SIDE:
        raise ImageError(
            f"A subject's photo of {rgb.width} x {rgb.height} pixels shows nothing; "
            f"give one of at least {SMALLEST_SIDE} x {SMALLEST_SIDE}."
        )
    import torch

    pixels = _to_tensor(fitted(rgb, (settings.side, settings.side), fit))
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (settings.mean, settings.std))
    return (pixels - mean) / std


def picture_tensor(
    image: PictureLike, size: tuple[int, int] | None = None, *, fit: PhotoFit = "squash", resample: str = "bicubic"
) -> "Tensor":
    """A control map or a source picture as (3, H, W) in [0, 1], resized to `size` = (W, H) where it is given."""
    rgb = as_rgb(image)
    return _to_tensor(rgb if size is None else fitted(rgb, size, fit, resample))


def map_tensor(image: PictureLike, size: tuple[int, int] | None = None, *, resample: str = "bicubic") -> "Tensor":
    """A control map as `picture_tensor`; -1 in the transparent parts of an RGBA picture, as inpaint nets read it."""
    import torch

    layers = as_image(image)
    if layers.mode != "RGBA":
        return picture_tensor(image, size, resample=resample)
    values = _to_tensor(layers if size is None else fitted(layers, size, "squash", resample))
    return torch.where(values[3:] < 0.5, -torch.ones(()), values[:3])


def to_pictures(pixels: "Tensor") -> list[Image.Image]:
    """pixels (n, 3, H, W) in [0, 1] -> n pictures, rounded to the nearest of 256 values; beyond the range is clipped.

    Raises: ShapeError for another shape, NumericsError for not-a-number.
    """
    if pixels.ndim != 4 or pixels.shape[1] != 3:
        raise ShapeError(f"Pixels must be of shape (n, 3, H, W), not {tuple(pixels.shape)}.")
    import torch

    values = pixels.detach().to("cpu", torch.float32)
    if not bool(torch.isfinite(values).all()):
        raise NumericsError("The pixels hold not-a-number or infinite values; decode the latents in float32.")
    rounded = (values.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
    return [Image.fromarray(picture.contiguous().numpy()) for picture in rounded]


def thumbnail(image: PictureLike, side: int = 96) -> Image.Image:
    """A small RGB copy whose longer side is at most `side` pixels."""
    small = as_rgb(image)
    small.thumbnail((side, side))
    return small


def fitted(rgb: Image.Image, size: tuple[int, int], fit: PhotoFit, resample: str = "bicubic") -> Image.Image:
    """An RGB picture at exactly `size` = (W, H): stretched, cut at the centre, or padded with white.

    resample: "bicubic" or "lanczos"

    Raises: ImageError for a size below one pixel, an unknown `fit` or `resample`.
    """
    if resample not in RESAMPLING:
        raise ImageError(f"A picture is resized by {' or '.join(RESAMPLING)}, not by '{resample}'.")
    method = RESAMPLING[resample]
    if min(size) < 1:
        raise ImageError(f"A picture cannot be made {size[0]} x {size[1]} pixels.")
    if fit == "squash" or rgb.size == size:
        return rgb.resize(size, method)
    if fit == "crop":
        return _cropped(rgb, size, method)
    if fit == "pad":
        return _padded(rgb, size, method)
    raise ImageError(f"A photo is fitted by squash, crop or pad, not by '{fit}'.")


def _cropped(rgb: Image.Image, size: tuple[int, int], method: Image.Resampling) -> Image.Image:
    """Resize until the frame is covered, then cut the centre, with torchvision's rounding as the original has it."""
    width, height = size
    most = math.ceil(_EXTREME_ASPECT * max(width / height, height / width) * min(rgb.size))
    if max(rgb.size) > most:  # a strip would need much memory at full length: its ends are cut off in any case
        rgb = _centre(rgb, (min(rgb.width, most), min(rgb.height, most)))
    if width * rgb.height >= height * rgb.width:
        covering = (width, width * rgb.height // rgb.width)
    else:
        covering = (height * rgb.width // rgb.height, height)
    return _centre(rgb.resize(covering, method), size)


def _centre(rgb: Image.Image, size: tuple[int, int]) -> Image.Image:
    left, top = round((rgb.width - size[0]) / 2), round((rgb.height - size[1]) / 2)
    return rgb.crop((left, top, left + size[0], top + size[1]))


def _padded(rgb: Image.Image, size: tuple[int, int], method: Image.Resampling) -> Image.Image:
    scale = min(size[0] / rgb.width, size[1] / rgb.height)
    inner = (
        max(1, min(size[0], round(rgb.width * scale))),
        max(1, min(size[1], round(rgb.height * scale))),
    )
    frame = Image.new("RGB", size, "white")
    frame.paste(rgb.resize(inner, method), ((size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2))
    return frame


def _upright(image: Image.Image) -> Image.Image:
    method = _TURNED.get(orientation(image))
    return image if method is None else image.transpose(method)


def _plain(rgb: Image.Image) -> Image.Image:
    """Without what its file told about it, which holds no longer."""
    rgb.info = {}
    return rgb


def _in_layers(image: Image.Image, name: str) -> Image.Image:
    """RGBA in sRGB's colours where there are transparent parts, else RGB."""
    if not image.has_transparency_data:
        return _in_rgb(image, "white", name)
    with decoding(name):
        image = in_srgb(image)
        return image.convert("RGBA")


def _in_rgb(image: Image.Image, ground: str, name: str) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        profile = image.info.get("icc_profile")
        image = _scaled(image)
        image.info = {"icc_profile": profile}
    colour = ImageColor.getrgb(ground)
    with decoding(name):
        image = in_srgb(image)
        if image.mode == "LAB":
            lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
            image = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB") or image
        if image.has_transparency_data:
            clear = image.convert("RGBA")
            return Image.alpha_composite(Image.new("RGBA", clear.size, colour), clear).convert("RGB")
        return image if image.mode == "RGB" else image.convert("RGB")


def _scaled(image: Image.Image) -> Image.Image:
    """Numbers of any width as 0..255: scaled by the range that they were written in, which their type or size tells."""
    kind = np.asarray(image.crop((0, 0, 1, 1))).dtype
    scaled = Image.new("L", image.size)
    if kind.kind == "u" and kind.itemsize == 2:
        levels = np.rint(np.arange(65536) * (255.0 / 65535.0)).astype(np.uint8)
        for top, values in _bands(image):
            scaled.paste(Image.fromarray(levels[values]), (0, top))
        return scaled
    highest = max(float(_finite(values).max(initial=0.0)) for _, values in _bands(image))
    limits = (1.0, 255.0, 65535.0) if kind.kind == "f" else (255.0, 65535.0)
    full = next((limit for limit in limits if highest <= limit), highest)
    for top, values in _bands(image):
        numbers = np.clip(np.rint(_finite(values) * (255.0 / full)), 0, 255).astype(np.uint8)
        scaled.paste(Image.fromarray(numbers), (0, top))
    return scaled


def _finite(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    return np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)


def _bands(image: Image.Image) -> Iterator[tuple[int, npt.NDArray[Any]]]:
    """Some rows at a time, with the first one's number: a copy of all of them would take much memory."""
    rows = max(1, _BAND // image.width)
    for top in range(0, image.height, rows):
        yield top, np.asarray(image.crop((0, top, image.width, min(top + rows, image.height))))


def _to_tensor(rgb: Image.Image) -> "Tensor":
    import torch

    pixels = torch.from_numpy(np.array(rgb, dtype=np.uint8))
    return pixels.permute(2, 0, 1).contiguous().to(torch.float32) / 255
