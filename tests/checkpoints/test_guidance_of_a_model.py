"""A checkpoint may name the guidance scale that serves it best."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from blipdiff.checkpoints import load_model, save_model
from blipdiff.errors import CheckpointError
from blipdiff.ranges import USUAL_GUIDANCE
from tests.support.tiny_models import tiny_model


def test_the_scale_goes_with_the_checkpoint(tmp_path: Path) -> None:
    model = tiny_model()
    save_model(model, tmp_path / "usual")
    save_model(replace(model, guidance=2.5), tmp_path / "own")
    assert "guidance_scale" not in json.loads((tmp_path / "usual" / "model_index.json").read_text())
    assert load_model(tmp_path / "usual", dtype="stored").guidance == USUAL_GUIDANCE
    assert load_model(tmp_path / "own", dtype="stored").guidance == 2.5


@pytest.mark.parametrize("scale", [True, -1, 51, "3", None])
def test_a_scale_that_is_none_is_refused(tmp_path: Path, scale: object) -> None:
    save_model(tiny_model(), tmp_path / "model")
    index = tmp_path / "model" / "model_index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {"guidance_scale": scale}))
    with pytest.raises(CheckpointError, match="guidance_scale"):
        load_model(tmp_path / "model", dtype="stored")
