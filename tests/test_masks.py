"""Painted masks: what is one, and what is none."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from blipdiff.errors import ImageError
from blipdiff.masks import as_mask
from tests.support.tiny_models import photo

SIZE = (64, 48)


def left_half() -> Image.Image:
    painted = Image.new("L", SIZE)
    painted.paste(255, (0, 0, SIZE[0] // 2, SIZE[1]))
    return painted


def test_white_grey_and_strokes_on_nothing_are_masks(tmp_path: Path) -> None:
    strokes = Image.new("RGBA", SIZE, (0, 0, 0, 0))
    strokes.paste((255, 255, 255, 255), (0, 0, SIZE[0] // 2, SIZE[1]))
    left_half().convert("RGB").save(tmp_path / "a.jpg", quality=60)
    for given in (left_half(), left_half().convert("RGB"), left_half().convert("1"), strokes):
        assert as_mask(given).tobytes() == left_half().tobytes()
    assert np.abs(np.asarray(as_mask(Image.open(tmp_path / "a.jpg"))).astype(int) - np.asarray(left_half())).max() < 40
    soft = Image.linear_gradient("L")
    assert as_mask(soft.convert("RGBA")).tobytes() == soft.tobytes()


def with_hole(picture: Image.Image) -> Image.Image:
    clear = picture.convert("RGBA")
    clear.paste((0, 0, 0, 0), (5, 5, 30, 30))
    return clear


NO_MASKS = {
    "a photo": (photo(1, SIZE), "coloured picture"),
    "a photo with an erased hole": (with_hole(photo(1, SIZE)), "erased parts"),
    "a grey photo with an erased hole": (with_hole(photo(1, SIZE).convert("L")), "erased parts"),
    "red strokes": (Image.composite(Image.new("RGB", SIZE, "red"), Image.new("RGB", SIZE), left_half()), "coloured"),
}


@pytest.mark.parametrize("kind", NO_MASKS)
def test_what_is_no_mask_is_refused(kind: str) -> None:
    mask, words = NO_MASKS[kind]
    with pytest.raises(ImageError, match=f"{words}.*white where"):
        as_mask(mask)
