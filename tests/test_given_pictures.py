"""Pictures as programs hand them over: whatever holds the same pixels is the same picture."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from blipdiff.conditioning.subject import SubjectPhoto
from blipdiff.control.choices import MapChoice
from blipdiff.control.preprocessors import Preprocessors
from blipdiff.errors import ImageError
from blipdiff.given_pictures import as_images
from blipdiff.images import PhotoSettings, as_rgb, picture_tensor, subject_pixels, thumbnail

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
TENSOR = torch.from_numpy(PIXELS).permute(2, 0, 1)
GIVEN: dict[str, Any] = {
    "uint8": PIXELS,
    "float32": PIXELS.astype(np.float32) / 255,
    "float64": PIXELS / 255,
    "rows apart": np.ascontiguousarray(PIXELS[::-1])[::-1],
    "tensor of bytes": TENSOR,
    "tensor": TENSOR / 255,
    "half tensor": (TENSOR / 255).half(),
    "tensor with gradient": (TENSOR / 255).requires_grad_(),
}


@pytest.mark.parametrize("kind", GIVEN)
def test_arrays_and_tensors_are_the_pictures_that_they_hold(kind: str) -> None:
    assert np.array_equal(np.asarray(as_rgb(GIVEN[kind])), PIXELS)


def test_every_door_takes_them() -> None:
    picture, tensor = Image.fromarray(PIXELS), TENSOR / 255
    settings, choice = PhotoSettings(side=32), MapChoice("canny")
    assert torch.equal(picture_tensor(tensor, (8, 8)), picture_tensor(picture, (8, 8)))
    assert torch.equal(subject_pixels(PIXELS, settings, fit="pad"), subject_pixels(picture, settings, fit="pad"))
    assert thumbnail(tensor, 4).tobytes() == thumbnail(picture, 4).tobytes()
    assert SubjectPhoto(tensor, "dog").image.tobytes() == picture.tobytes()  # type: ignore[arg-type]
    maps = Preprocessors()
    assert maps.map_of(tensor, choice).tobytes() == maps.map_of(picture, choice).tobytes()


def test_grey_two_valued_and_see_through_arrays_are_pictures() -> None:
    assert np.array_equal(np.asarray(as_rgb(PIXELS[..., 0]))[..., 2], PIXELS[..., 0])
    assert np.array_equal(np.asarray(as_rgb(TENSOR[:1]))[..., 1], PIXELS[..., 0])
    assert as_rgb(np.eye(4, dtype=bool)).getpixel((0, 0)) == (255, 255, 255)
    assert as_rgb(np.zeros((4, 4, 4), np.uint8)).getpixel((0, 0)) == (255, 255, 255)


def test_many_in_one_and_lists_in_lists_are_many() -> None:
    flipped = np.stack([PIXELS, PIXELS[::-1]])
    for many in (flipped, torch.from_numpy(flipped).permute(0, 3, 1, 2), [PIXELS, [Image.fromarray(PIXELS[::-1])]]):
        assert [np.asarray(one).tolist() for one in as_images(many)] == flipped.tolist()


WRONG: dict[str, tuple[Any, str]] = {
    "a path": (Path("dog.png"), "open_picture"),
    "bytes": (b"x", "A bytes was given"),
    "nothing": (None, "A NoneType was given"),
    "channels first": (np.zeros((3, 8, 9), np.uint8), r"\(3, 8, 9\)"),
    "channels last": (torch.zeros(8, 9, 3), r"\(8, 9, 3\)"),
    "from -1 to 1": (torch.full((3, 8, 8), -1.0), "from -1 to -1; they must lie from 0 to 1"),
    "not a number": (np.full((8, 8, 3), np.nan), "from nan"),
    "whole numbers": (np.zeros((8, 8, 3), np.int64), "int64"),
    "no pixels": (np.zeros((0, 8, 3), np.uint8), r"\(0, 8, 3\)"),
    "several for one": (torch.zeros(2, 3, 8, 8), r"\(2, 3, 8, 8\).*one picture"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_no_picture_is_told_with_what_is_one(kind: str) -> None:
    given, words = WRONG[kind]
    with pytest.raises(ImageError, match=words):
        as_rgb(given)


def test_a_list_without_pictures_is_told() -> None:
    with pytest.raises(ImageError, match="without pictures"):
        as_images([])
