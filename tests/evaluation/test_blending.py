"""Measures of blends, and the report of a tiny model's scenes."""

import json

import pytest
from PIL import Image

from blipdiff.errors import ShapeError
from blipdiff.evaluation.blending import is_monotone, spearman
from pipelines.evaluate.blending import TRUE, VARIANTS, BlendingReport, evaluate_blending
from pipelines.evaluate.requests import BlendingRequest
from pipelines.studio import Studio
from tests.support.tiny_models import tiny_model


def test_a_path_is_monotone_when_it_never_goes_back_further_than_the_slack():
    assert is_monotone([0, 1, 1, 3])
    assert not is_monotone([0, 2, 1.8, 3])
    assert is_monotone([0, 2, 1.8, 3], slack=0.1)
    assert not is_monotone([0, 2, 1.5, 3], slack=0.1)


def test_spearmans_correlation_is_of_ranks_and_knows_ties():
    assert spearman([1, 10, 100, 1000]) == pytest.approx(1)
    assert spearman([3, 2, 1]) == pytest.approx(-1)
    assert spearman([1, 3, 2, 4]) == pytest.approx(0.8)
    assert spearman([1, 1, 2]) == pytest.approx(0.866, abs=1e-3)
    assert spearman([5, 5, 5]) == 0
    with pytest.raises(ShapeError):
        spearman([1])


def test_the_report_tells_every_way_of_drawing_scenes_and_hard_choices_of_the_usual_one(library, tmp_path, monkeypatch):
    monkeypatch.setitem(library.members, "held_out", library.members["source"])  # which has concepts enough
    request = BlendingRequest(what="scenes", pairs=2, choices=3, steps=4)
    *_, report = evaluate_blending(Studio(tiny_model()), library, tmp_path, request)
    assert isinstance(report, BlendingReport)
    told = json.loads((tmp_path / "blending.json").read_text())
    for name in (*VARIANTS, TRUE):
        assert told[f"own subject in each region among 3, {name}"]["count"] == 4
        assert 0 <= told[f"both regions right, {name}"]["value"] <= 1
    assert told[f"own subject in each region among 3, {TRUE}"]["value"] > 0.5
    hard = {name for name in told if "hard choice of 3" in name}
    assert {name.split(", ")[-1] for name in hard} == {VARIANTS[0], TRUE}
    assert Image.open(tmp_path / "scenes.png").width > 100 and dict(report.lines).keys() == told.keys() - {
        "request",
        "model",
    }
