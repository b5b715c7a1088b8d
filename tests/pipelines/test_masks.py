"""Painted masks: what is one, where they let an edit happen, and how a repeated edit has them again."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from blipdiff.errors import ConfigError, ImageError
from pipelines import masks
from pipelines.edit_request import EditRequest
from pipelines.edit_run import Edited, EditEvent, SourcePhoto, repeat_edit, run_edit
from pipelines.masks import as_mask
from pipelines.studio import Notice, Studio
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


def edited(events: Sequence[EditEvent]) -> Edited:
    assert isinstance(events[-1], Edited)
    return events[-1]


def pixels(of: Edited) -> np.ndarray:
    return np.asarray(of.after.image)


def source(size: tuple[int, int] = SIZE) -> list[SourcePhoto]:
    return [SourcePhoto(photo(1, size))]


# What is one


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
def test_what_is_no_mask_is_refused_before_anything_runs(kind: str, studio: Studio) -> None:
    mask, words = NO_MASKS[kind]
    with pytest.raises(ImageError, match=f"{words}.*white where"):
        next(iter(run_edit(studio, asked(), None, source(), mask=mask)))


# Where they let an edit happen


def test_a_painted_mask_restricts_and_a_photo_is_kept_around_it(studio: Studio) -> None:
    whole = edited(list(run_edit(studio, asked(blend=0.05, strength=1.0), None, source())))
    found = edited(list(run_edit(studio, asked(blend=0.05, strength=1.0), None, source(), mask=left_half())))
    assert whole.pictures.mask is not None
    assert found.pictures.mask is not None
    outside = (slice(None), slice(SIZE[0] // 2 + 8, None))
    assert np.asarray(whole.pictures.mask)[outside].max() > 0, "the words alone reach beyond the painted place"
    assert np.asarray(found.pictures.mask)[outside].max() == 0
    assert np.array_equal(pixels(found)[outside], np.asarray(photo(1, SIZE))[outside])
    assert not np.array_equal(pixels(found), np.asarray(photo(1, SIZE)))


def test_the_background_is_kept_by_default_of_photos_alone(studio: Studio) -> None:
    def differs(photos: list[SourcePhoto], **changes: object) -> bool:
        one, other = (edited(list(run_edit(studio, asked(**more), None, photos))) for more in ({}, changes))
        return not np.array_equal(pixels(one), pixels(other))

    assert not differs(source(), keep_background=True)
    assert differs(source(), keep_background=False)
    assert not differs([], keep_background=False)


def test_a_mask_that_the_words_do_not_reach_is_told(studio: Studio) -> None:
    words = edited(list(run_edit(studio, asked(), None, source()))).pictures.mask
    assert words is not None
    empty = np.asarray(words) == 0
    assert empty.any()
    elsewhere = Image.fromarray(empty).convert("L")
    events = list(run_edit(studio, asked(), None, source(), mask=elsewhere))
    assert any("Nothing was edited" in event.text for event in events if isinstance(event, Notice))
    alone = list(run_edit(studio, asked(mask_use="alone"), None, source(), mask=elsewhere))
    assert not [event for event in alone if isinstance(event, Notice)]


# A repeated edit


def test_a_repeated_edit_has_its_large_mask_again(studio: Studio) -> None:
    size = (640, 480)
    mask = Image.fromarray(np.random.default_rng(0).integers(0, 256, size[::-1], dtype=np.uint8))
    first = edited(list(run_edit(studio, asked(mask_use="alone"), None, source(size), mask=mask)))
    told = first.after.metadata()
    assert len(told["request"]["painted"]) > 2**18
    again = edited(list(repeat_edit(studio, told, source(size))))
    assert np.array_equal(pixels(first), pixels(again))


def test_a_mask_too_large_for_the_metadata_is_asked_for(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masks, "_MOST_LETTERS", 8)
    events = list(run_edit(studio, asked(), None, source(), mask=left_half()))
    assert any("give the mask again" in event.text for event in events if isinstance(event, Notice))
    told = edited(events).after.metadata()
    with pytest.raises(ConfigError, match=r"too large.*give that mask"):
        list(repeat_edit(studio, told, source()))
    with pytest.raises(ConfigError, match="not the one"):
        list(repeat_edit(studio, told, source(), mask=left_half().transpose(Image.Transpose.ROTATE_180)))
    again = edited(list(repeat_edit(studio, told, source(), mask=left_half())))
    assert np.array_equal(pixels(edited(events)), pixels(again))


def of_an_earlier_version(told: dict[str, Any], **changes: object) -> dict[str, Any]:
    request = {name: value for name, value in told["request"].items() if name not in ("mask_use", "keep_background")}
    return {**told, "request": {**request, **changes}}


def test_edits_of_earlier_versions_repeat_as_they_were_drawn(studio: Studio) -> None:
    as_then = asked(mask_use="joined", keep_background=False)
    first = edited(list(run_edit(studio, as_then, None, source(), mask=left_half())))
    again = edited(list(repeat_edit(studio, of_an_earlier_version(first.after.metadata()), source())))
    assert np.array_equal(pixels(first), pixels(again))
    now = edited(list(run_edit(studio, asked(), None, source(), mask=left_half())))
    assert not np.array_equal(pixels(first), pixels(now))


def test_an_earlier_edit_whose_mask_was_dropped_is_not_drawn_without_it(studio: Studio) -> None:
    first = edited(list(run_edit(studio, asked(), None, source(), mask=left_half())))
    lost = of_an_earlier_version(first.after.metadata(), painted=None)
    with pytest.raises(ConfigError, match=r"too large.*give that mask"):
        list(repeat_edit(studio, lost, source()))
