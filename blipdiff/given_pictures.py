"""Pictures as programs hand them over: Pillow's, arrays, tensors, and lists of them -> Pillow's."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from blipdiff.errors import ImageError

if TYPE_CHECKING:  # pictures are read without torch
    from torch import Tensor

    PictureLike: TypeAlias = Image.Image | npt.NDArray[Any] | Tensor
else:
    PictureLike = Image.Image | npt.NDArray[Any]

_EXPECTED = (
    "give a PIL picture, an array (H, W, 3) of uint8 or of numbers from 0 to 1, or a tensor (3, H, W) of the same"
)


def as_image(given: Any) -> Image.Image:
    """One picture, PIL's own as it is; numbers from 0 to 1 are rounded to the nearest of 256 values.

    given: a PIL picture, an array (H, W) or (H, W, 1, 3 or 4), or a tensor (1, 3 or 4, H, W)

    Raises: ImageError for another shape, kind or range.
    """
    if isinstance(given, Image.Image):
        return given
    if isinstance(given, str | Path):
        raise ImageError(f"The path {given} was given for a picture; open it with blipdiff.images.open_picture.")
    if is_tensor(given):
        if given.ndim != 3:
            raise ImageError(f"A tensor of shape {tuple(given.shape)} was given for one picture; {_EXPECTED}.")
        values = given.detach().permute(1, 2, 0).cpu()
        return _of_array((values.float() if values.is_floating_point() else values).numpy(), tuple(given.shape))
    if isinstance(given, np.ndarray):
        return _of_array(given, given.shape)
    raise ImageError(f"A {type(given).__name__} was given for a picture; {_EXPECTED}.")


def as_images(given: Any) -> list[Image.Image]:
    """One or several pictures: each as `as_image`, lists of them, arrays (n, H, W, 3) and tensors (n, 3, H, W).

    Raises: ImageError as `as_image`, and for a list without a picture.
    """
    several = each_of(given)
    if not several:
        raise ImageError(f"A list without pictures was given; {_EXPECTED}, or several of them.")
    return [image for one in several for image in ([as_image(one)] if one is given else as_images(one))]


def each_of(given: Any) -> list[Any]:
    """What a list holds, or an array (n, H, W, 3) or tensor (n, 3, H, W) of pictures; anything else alone."""
    if isinstance(given, list | tuple):
        return list(given)
    return list(given) if (is_tensor(given) or isinstance(given, np.ndarray)) and given.ndim == 4 else [given]


def is_tensor(given: Any) -> bool:
    """Whether this is a tensor; nobody can have one who has not loaded torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(given, torch.Tensor)


def _of_array(values: npt.NDArray[Any], shape: tuple[int, ...]) -> Image.Image:
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[..., 0]
    if not (values.ndim == 2 or (values.ndim == 3 and values.shape[2] in (3, 4))) or 0 in values.shape:
        raise ImageError(f"Numbers of shape {shape} were given for one picture; {_EXPECTED}.")
    if values.dtype.kind == "f":
        low, high = float(values.min()), float(values.max())
        if not (low >= 0.0 and high <= 1.0):
            raise ImageError(f"A picture's numbers go from {low:g} to {high:g}; they must lie from 0 to 1.")
        values = np.rint(values * values.dtype.type(255)).astype(np.uint8)
    if values.dtype.kind == "b":
        values = values.astype(np.uint8) * np.uint8(255)
    if values.dtype != np.uint8:
        raise ImageError(f"A picture's numbers are {values.dtype}; {_EXPECTED}.")
    return Image.fromarray(np.ascontiguousarray(values))
