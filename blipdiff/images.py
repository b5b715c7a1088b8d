"""Pixels <-> tensors: every picture that a person gives, and every picture that the model makes, passes here."""

import math
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image, ImageCms, ImageOps, features
from torch import Tensor

from blipdiff.errors import ImageError, NumericsError, ShapeError

PhotoFit = Literal["squash", "crop", "pad"]

LARGEST_PIXELS = 100_000_000
SMALLEST_SIDE = 8
_EXTREME_ASPECT = 16
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "JPEG2000", "PPM", "TGA", "ICO")
_DAMAGED = (  # what Pillow's readers raise on broken files
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    EOFError,
    NotImplementedError,
    MemoryError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


@dataclass(frozen=True, slots=True)
class PhotoSettings:
    """What the vision trunk was trained to see: the side of its square and the normalisation of its channels."""

    side: int = 224
    mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)
    std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)


def open_picture(path: str | Path, ground: str = "white") -> Image.Image:
    """The first frame of the picture in a file: upright, RGB, transparent parts on `ground`.

    Raises: ImageError for a file that is missing, empty, damaged, not a picture, or above 100 megapixels.
    """
    with picture_file(path) as picture:
        return as_rgb(picture, ground)


@contextmanager
def picture_file(path: str | Path) -> Iterator[Image.Image]:
    """A picture as its file has it, for the length of the block; checked, and nothing decoded yet.

    Raises: ImageError, as `open_picture`.
    """
    path = Path(path)
    try:
        if not path.exists():
            raise ImageError(f"There is no picture at {path}.")
        if not path.is_file():
            raise ImageError(f"{path} is not a file; give the path of one picture.")
        with path.open("rb") as stream:
            if not stream.read(1):
                raise ImageError(f"{path} is an empty file, not a picture.")
            stream.seek(0)
            with _opened(stream, path) as picture:
                yield picture
    except OSError as reason:
        raise ImageError(f"{path} cannot be read: {reason.strerror or reason}.") from reason


def as_rgb(image: Image.Image, ground: str = "white") -> Image.Image:
    """Any PIL picture as upright 8-bit RGB: EXIF rotation applied, alpha composited on `ground`, 16 bits scaled.

    Raises: ImageError for more than 100 megapixels, and for pixels that cannot be decoded.
    """
    _check_pixels(image.size, "The picture")
    name = getattr(image, "filename", "") or "the picture"
    try:
        if getattr(image, "n_frames", 1) > 1:
            image.seek(0)
        image.load()
        return _in_rgb(ImageOps.exif_transpose(image), ground)
    except _DAMAGED as reason:
        raise ImageError(f"The pixels of {name} are damaged or cut off: {reason}.") from reason


def subject_pixels(image: Image.Image, settings: PhotoSettings, *, fit: PhotoFit) -> Tensor:
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
    pixels = _to_tensor(fitted(rgb, (settings.side, settings.side), fit))
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (settings.mean, settings.std))
    return (pixels - mean) / std


def picture_tensor(image: Image.Image, size: tuple[int, int] | None = None, *, fit: PhotoFit = "squash") -> Tensor:
    """A control map or a source picture as (3, H, W) in [0, 1], resized to `size` = (W, H) where it is given."""
    rgb = as_rgb(image)
    return _to_tensor(rgb if size is None else fitted(rgb, size, fit))


def to_pictures(pixels: Tensor) -> list[Image.Image]:
    """pixels (n, 3, H, W) in [0, 1] -> n pictures, rounded to the nearest of 256 values; beyond the range is clipped.

    Raises: ShapeError for another shape, NumericsError for not-a-number.
    """
    if pixels.ndim != 4 or pixels.shape[1] != 3:
        raise ShapeError(f"Pixels must be of shape (n, 3, H, W), not {tuple(pixels.shape)}.")
    values = pixels.detach().to("cpu", torch.float32)
    if not bool(torch.isfinite(values).all()):
        raise NumericsError("The pixels hold not-a-number or infinite values; decode the latents in float32.")
    rounded = (values.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
    return [Image.fromarray(picture.contiguous().numpy()) for picture in rounded]


def thumbnail(image: Image.Image, side: int = 96) -> Image.Image:
    """A small RGB copy whose longer side is at most `side` pixels."""
    small = as_rgb(image).copy()
    small.thumbnail((side, side))
    small.info = {}
    return small


def fitted(rgb: Image.Image, size: tuple[int, int], fit: PhotoFit) -> Image.Image:
    """An RGB picture at exactly `size` = (W, H), bicubic: stretched, cut at the centre, or padded with white.

    Raises: ImageError for a size below one pixel or an unknown `fit`.
    """
    if min(size) < 1:
        raise ImageError(f"A picture cannot be made {size[0]} x {size[1]} pixels.")
    if fit == "squash" or rgb.size == size:
        return rgb.resize(size, Image.Resampling.BICUBIC)
    if fit == "crop":
        return _cropped(rgb, size)
    if fit == "pad":
        return _padded(rgb, size)
    raise ImageError(f"A photo is fitted by squash, crop or pad, not by '{fit}'.")


def _cropped(rgb: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Resize until the frame is covered, then cut the centre, with torchvision's rounding as the original has it."""
    width, height = size
    most = math.ceil(_EXTREME_ASPECT * max(width / height, height / width) * min(rgb.size))
    if max(rgb.size) > most:  # a strip would need much memory at full length: its ends are cut off in any case
        rgb = _centre(rgb, (min(rgb.width, most), min(rgb.height, most)))
    if width * rgb.height >= height * rgb.width:
        covering = (width, width * rgb.height // rgb.width)
    else:
        covering = (height * rgb.width // rgb.height, height)
    return _centre(rgb.resize(covering, Image.Resampling.BICUBIC), size)


def _centre(rgb: Image.Image, size: tuple[int, int]) -> Image.Image:
    left, top = round((rgb.width - size[0]) / 2), round((rgb.height - size[1]) / 2)
    return rgb.crop((left, top, left + size[0], top + size[1]))


def _padded(rgb: Image.Image, size: tuple[int, int]) -> Image.Image:
    scale = min(size[0] / rgb.width, size[1] / rgb.height)
    inner = (
        max(1, min(size[0], round(rgb.width * scale))),
        max(1, min(size[1], round(rgb.height * scale))),
    )
    frame = Image.new("RGB", size, "white")
    frame.paste(rgb.resize(inner, Image.Resampling.BICUBIC), ((size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2))
    return frame


def _opened(stream: object, path: Path) -> Image.Image:
    """The picture's header only; nothing is decoded before its size is known to be bearable."""
    formats = _FORMATS + (("AVIF",) if features.check("avif") else ())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture = Image.open(stream, formats=formats)  # type: ignore[arg-type]
    except Image.DecompressionBombError as reason:
        raise ImageError(f"{path} is above {LARGEST_PIXELS // 10**6} megapixels; give a smaller picture.") from reason
    except _DAMAGED as reason:
        raise ImageError(
            f"{path} is not a picture that can be read, or it is damaged; give one of: {', '.join(formats)}."
        ) from reason
    _check_pixels(picture.size, str(path))
    return picture


def _check_pixels(size: tuple[int, int], name: str) -> None:
    if size[0] * size[1] > LARGEST_PIXELS:
        raise ImageError(
            f"{name} is {size[0]} x {size[1]} pixels, above {LARGEST_PIXELS // 10**6} megapixels; "
            "give a smaller picture."
        )
    if min(size) < 1:
        raise ImageError(f"{name} has no pixels.")


def _in_rgb(image: Image.Image, ground: str) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image.copy()
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_to_bytes(np.asarray(image))).convert("RGB")
    if image.mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
        return image.convert("RGB") if converted is None else converted
    if image.has_transparency_data:
        clear = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", clear.size, ground), clear).convert("RGB")
    return image.convert("RGB")


def _to_bytes(values: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    """Numbers of any width as 0..255: scaled by the range that they were written in, which their type or size tells."""
    wide = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    highest = float(wide.max(initial=0.0))
    if values.dtype.kind == "u" and values.dtype.itemsize == 2:
        full = 65535.0
    elif values.dtype.kind == "f" and highest <= 1.0:
        full = 1.0
    else:
        full = next((limit for limit in (255.0, 65535.0) if highest <= limit), highest)
    return np.clip(np.rint(wide * (255.0 / full)), 0, 255).astype(np.uint8)


def _to_tensor(rgb: Image.Image) -> Tensor:
    pixels = torch.from_numpy(np.array(rgb, dtype=np.uint8))
    return pixels.permute(2, 0, 1).contiguous().to(torch.float32) / 255
