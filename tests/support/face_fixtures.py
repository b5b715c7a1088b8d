"""The pipeline of diffusers' conventions at tiny sizes, alone and with a ControlNet."""

import pytest

from pipelines import BlipDiffusionPipeline
from tests.support.face import quiet
from tests.support.tiny_models import tiny_controlnet, tiny_model


@pytest.fixture
def pipe() -> BlipDiffusionPipeline:
    return quiet(BlipDiffusionPipeline.from_model(tiny_model()))


@pytest.fixture
def controlled() -> BlipDiffusionPipeline:
    return quiet(BlipDiffusionPipeline.from_model(tiny_model(), controlnet=tiny_controlnet()))
