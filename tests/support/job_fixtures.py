"""A studio that draws every job, and the net that stylizing follows."""

from pathlib import Path

import pytest

from blipdiff.checkpoints.controls import save_control
from pipelines.studio import Studio
from tests.support.tiny_models import tiny_controlnet, tiny_model


@pytest.fixture(scope="module")
def studio(net: Path) -> Studio:
    return Studio(tiny_model(), folders=[net])


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nets") / "tiny-net"
    save_control(tiny_controlnet(), folder)
    return folder
