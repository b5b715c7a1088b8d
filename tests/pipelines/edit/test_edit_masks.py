"""Painted masks: what is one, where they let an edit happen, and how a repeated edit has them again."""

from typing import Any

import numpy as np
import pytest
from PIL import Image

from blipdiff.errors import ConfigError, ImageError
from pipelines import inputs
from pipelines.edit.request import EditRequest
from pipelines.inputs import Input
from pipelines.studio import Studio
from pipelines.task import Result
from tests.support.jobs import earlier_metadata, events_of, notices_in, pixels_of, repeated, results_in, results_of
from tests.support.tiny_models import photo, tiny_model

SIZE = (64, 48)


@pytest.fixture(scope="module")
def studio() -> Studio:
    return Studio(tiny_model())


def asked(**changes: object) -> EditRequest:
    values = {"source": "dog", "target": "tiger", "prompt": "on a beach", "steps": 3, "guidance": 3.0, "seed": 5}
    return EditRequest(**{**values, **changes})  # type: ignore[arg-type]


def left_half() -> Image.Image:
    painted = Image.new("L", SIZE)
    painted.paste(255, (0, 0, SIZE[0] // 2, SIZE[1]))
    return painted


def edited(studio: Studio, request: EditRequest, **inputs: Any) -> Result:
    (found,) = results_of(studio, request, **inputs)
    return found


def source(size: tuple[int, int] = SIZE) -> list[Input]:
    return [Input(photo(1, size))]


# What is one


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
def test_what_is_no_mask_is_refused_before_anything_runs(kind: str, studio: Studio) -> None:
    mask, words = NO_MASKS[kind]
    with pytest.raises(ImageError, match=f"{words}.*white where"):
        next(events_of(studio, asked(), source=source(), mask=mask))


# Where they let an edit happen


def test_a_painted_mask_restricts_and_a_photo_is_kept_around_it(studio: Studio) -> None:
    whole = edited(studio, asked(mask_threshold=0.05, strength=1.0), source=source())
    found = edited(studio, asked(mask_threshold=0.05, strength=1.0), source=source(), mask=left_half())
    assert whole.detail.mask is not None
    assert found.detail.mask is not None
    outside = (slice(None), slice(SIZE[0] // 2 + 8, None))
    assert np.asarray(whole.detail.mask)[outside].max() > 0, "the words alone reach beyond the painted place"
    assert np.asarray(found.detail.mask)[outside].max() == 0
    assert np.array_equal(pixels_of(found)[outside], np.asarray(photo(1, SIZE))[outside])
    assert not np.array_equal(pixels_of(found), np.asarray(photo(1, SIZE)))


def test_the_background_is_kept_by_default_of_photos_alone(studio: Studio) -> None:
    def differs(photos: list[Input], **changes: object) -> bool:
        of_seed = {} if photos else {"from_prompt": True}
        one, other = (edited(studio, asked(**of_seed, **more), source=photos) for more in ({}, changes))
        return not np.array_equal(pixels_of(one), pixels_of(other))

    assert not differs(source(), keep_background=True)
    assert differs(source(), keep_background=False)
    assert not differs([], keep_background=False)


def test_a_mask_that_the_words_do_not_reach_is_told(studio: Studio) -> None:
    words = edited(studio, asked(), source=source()).detail.mask
    assert words is not None
    empty = np.asarray(words) == 0
    assert empty.any()
    elsewhere = Image.fromarray(empty).convert("L")
    events = list(events_of(studio, asked(), source=source(), mask=elsewhere))
    assert any("Nothing was edited" in text for text in notices_in(events))
    assert not notices_in(events_of(studio, asked(mask_use="alone"), source=source(), mask=elsewhere))


# A repeated edit


def test_a_repeated_edit_has_its_large_mask_again(studio: Studio) -> None:
    size = (640, 480)
    mask = Image.fromarray(np.random.default_rng(0).integers(0, 256, size[::-1], dtype=np.uint8))
    first = edited(studio, asked(mask_use="alone"), source=source(size), mask=mask)
    told = first.picture.metadata()
    assert len(told["job"]["inputs"]["mask"][0]["picture"]) > 2**18
    (again,) = repeated(studio, told, source=source(size))
    assert np.array_equal(pixels_of(first), pixels_of(again))


def test_a_mask_too_large_for_the_metadata_is_asked_for(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "_MOST_MASK_LETTERS", 8)
    events = list(events_of(studio, asked(), source=source(), mask=left_half()))
    assert any("give the mask again" in text for text in notices_in(events))
    (first,) = results_in(events)
    told = first.picture.metadata()
    with pytest.raises(ConfigError, match=r"the mask, which is not in its metadata; give that one too"):
        repeated(studio, told, source=source())
    with pytest.raises(ConfigError, match="This is not the mask that the picture was made of: its pixels differ"):
        repeated(studio, told, source=source(), mask=[left_half().transpose(Image.Transpose.ROTATE_180)])
    (again,) = repeated(studio, told, source=source(), mask=[left_half()])
    assert np.array_equal(pixels_of(first), pixels_of(again))


def of_an_earlier_version(of: Result, **changes: object) -> dict[str, Any]:
    told = earlier_metadata(of.picture)
    request = {name: value for name, value in told["request"].items() if name not in ("mask_use", "keep_background")}
    return {**told, "request": {**request, **changes}}


def test_edits_of_earlier_versions_repeat_as_they_were_drawn(studio: Studio) -> None:
    as_then = asked(mask_use="joined", keep_background=False)
    first = edited(studio, as_then, source=source(), mask=left_half())
    (again,) = repeated(studio, of_an_earlier_version(first), source=source())
    assert np.array_equal(pixels_of(first), pixels_of(again))
    now = edited(studio, asked(), source=source(), mask=left_half())
    assert not np.array_equal(pixels_of(first), pixels_of(now))


def test_an_earlier_edit_whose_mask_was_dropped_is_not_drawn_without_it(studio: Studio) -> None:
    first = edited(studio, asked(), source=source(), mask=left_half())
    lost = of_an_earlier_version(first, painted=None)
    with pytest.raises(ConfigError, match=r"the mask, which is not in its metadata; give that one too"):
        repeated(studio, lost, source=source())
