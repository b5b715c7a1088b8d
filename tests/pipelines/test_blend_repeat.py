"""A blend's frame from metadata that somebody damaged."""

import json
from typing import Any

import pytest

from blipdiff.conditioning.subject import SubjectPhoto
from blipdiff.errors import ConfigError
from pipelines.blend import Frame, blend
from pipelines.blend_repeat import repeat_blend
from pipelines.blend_request import BlendRequest
from pipelines.studio import Studio
from tests.support.tiny_models import photo, tiny_model


@pytest.fixture(scope="module")
def studio() -> Studio:
    return Studio(tiny_model())


@pytest.fixture(scope="module")
def told(studio: Studio) -> dict[str, Any]:
    cards = studio.subjects([SubjectPhoto(photo(seed), word) for seed, word in enumerate(("dog", "tiger"))])
    request = BlendRequest(prompt="on a beach", steps=1, frames=3)
    frames = [one for one in blend(studio, request, cards) if isinstance(one, Frame)]
    metadata: dict[str, Any] = json.loads(json.dumps(frames[1].picture.metadata()))
    return metadata


@pytest.mark.parametrize(
    "changes",
    [{"subjects": [], "categories": []}, {"company": [[[0.5, 0.5], 10**400]]}, {"company": [[[0.5, 0.5], "half"]]}],
)
def test_positions_that_lie_nowhere_are_damage(studio: Studio, told: dict[str, Any], changes: dict[str, Any]) -> None:
    one_subject = {name: told["request"][name][:1] for name in ("subjects", "categories")}
    for damage in (changes, one_subject):
        with pytest.raises(ConfigError, match="damaged"):
            list(repeat_blend(studio, told | {"request": told["request"] | damage}))
