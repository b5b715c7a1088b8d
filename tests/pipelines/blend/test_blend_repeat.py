"""A blend's frame from metadata that somebody damaged."""

import json
from typing import Any

import pytest

from blipdiff.conditioning.subject import SubjectPhoto
from blipdiff.errors import BlipdiffError, ConfigError
from pipelines.blend.request import BlendRequest
from pipelines.pictures import Picture
from pipelines.studio import Studio
from tests.support.jobs import earlier_metadata, pixels_of, repeated, results_of
from tests.support.tiny_models import photo, tiny_model


@pytest.fixture(scope="module")
def studio() -> Studio:
    return Studio(tiny_model())


@pytest.fixture(scope="module")
def frame(studio: Studio) -> Picture:
    cards = studio.subjects([SubjectPhoto(photo(seed), word) for seed, word in enumerate(("dog", "tiger"))])
    request = BlendRequest(prompt="on a beach", steps=1, frames=3)
    picture: Picture = results_of(studio, request, subject=cards)[1].picture
    return picture


def damaged(told: dict[str, Any], version: int, batch: Any) -> dict[str, Any]:
    """The same metadata of another batch, which version 1 called the company."""
    place = told["request"] if version == 1 else told["job"]["detail"]
    place |= {"company" if version == 1 else "batch": batch}
    return told


def metadata_of(frame: Picture, version: int) -> dict[str, Any]:
    found = earlier_metadata(frame) if version == 1 else frame.metadata()
    told: dict[str, Any] = json.loads(json.dumps(found))
    return told


@pytest.mark.parametrize("version", [1, 2])
def test_a_frame_is_drawn_again_bit_for_bit(studio: Studio, frame: Picture, version: int) -> None:
    (again,) = repeated(studio, metadata_of(frame, version))
    assert (pixels_of(again) == frame.image).all()


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("batch", [[[[0.5, 0.5], 10**400]], [[[0.5, 0.5], "half"]], None, []])
def test_positions_that_lie_nowhere_are_damage(studio: Studio, frame: Picture, version: int, batch: Any) -> None:
    with pytest.raises(ConfigError, match="damaged"):
        repeated(studio, damaged(metadata_of(frame, version), version, batch=batch))


@pytest.mark.parametrize("count", [0, 1])
@pytest.mark.parametrize("version", [1, 2])
def test_subjects_that_are_missing_are_damage(studio: Studio, frame: Picture, version: int, count: int) -> None:
    told = metadata_of(frame, version)
    if version == 1:
        told["request"] |= {name: told["request"][name][:count] for name in ("subjects", "categories")}
    else:
        told["job"]["inputs"]["subject"] = told["job"]["inputs"]["subject"][:count]
    with pytest.raises(BlipdiffError, match=r"damaged|2 to 4 subjects"):
        repeated(studio, told)
