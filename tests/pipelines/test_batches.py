"""What every task's drawing keeps, whatever it draws."""

import pytest

from blipdiff.conditioning.subject import SubjectPhoto
from blipdiff.errors import ConfigError
from pipelines.generate.request import GenerateRequest
from pipelines.studio import Studio
from tests.support.jobs import events_of, notices_in
from tests.support.tiny_models import photo, tiny_model


def test_what_the_model_cannot_draw_is_said_before_any_notice() -> None:
    studio, subject = Studio(tiny_model()), SubjectPhoto(photo(0), "dog")
    long = {"prompt": "on a beach " * 40, "steps": 1, "count": 1}
    assert notices_in(events_of(studio, GenerateRequest(category="dog", **long), subject=subject))
    with pytest.raises(ConfigError, match="width is 9"):
        next(events_of(studio, GenerateRequest(category="dog", width=9, **long), subject=subject))
