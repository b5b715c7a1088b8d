"""What edits are asked, and the report of a tiny model's edits and inversions."""

import json
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from blipdiff.data import PairLibrary
from blipdiff.errors import ShapeError
from blipdiff.evaluation.edits import MOST_PSNR, background, draw_edit_trials, inside, mask_iou, psnr
from blipdiff.evaluation.report import Report
from pipelines.evaluate.edits import CEILING, EDIT, KEPT, PLAIN, SHEET, evaluate_edits
from pipelines.evaluate.inversion import evaluate_inversion
from pipelines.evaluate.requests import EditEvaluationRequest, InversionEvaluationRequest
from tests.support.command_line import Command, at_call
from tests.support.tiny_models import tiny_model

pytest_plugins = ["tests.support.command_fixtures"]


def test_a_trial_swaps_one_unseen_concept_for_another_and_hides_both_among_others(library: PairLibrary) -> None:
    trials = draw_edit_trials(library, "source", count=12, choices=5, seed=3)
    for trial in trials:
        concepts = [library.records[one].concept for one in trial.candidates]
        assert len(set(concepts)) == len(concepts) == 5
        new, old = library.records[trial.candidates[trial.right]], library.records[trial.pair.subject]
        assert (new.category, new.concept != old.concept) == (trial.category, True)
        assert trial.pair.subject in trial.candidates
    assert {trial.right for trial in trials} == set(range(5))
    again = draw_edit_trials(library, "source", count=12, choices=5, seed=3)
    assert all(np.array_equal(one.photo, other.photo) for one, other in zip(trials, again, strict=True))


def test_psnr_counts_only_the_pixels_that_are_meant() -> None:
    one, other = np.full((8, 8, 3), 100, np.uint8), np.full((8, 8, 3), 100, np.uint8)
    other[:4] = 110
    assert psnr(one, one) == MOST_PSNR
    assert psnr(one, other) == pytest.approx(20 * np.log10(255 / np.sqrt(50)))
    mask = np.zeros((8, 8), np.uint8)
    mask[:4] = 7
    assert psnr(one, other, background(mask)) == MOST_PSNR
    with pytest.raises(ShapeError):
        psnr(one, other[:4])


def test_masks_overlap_by_their_share_and_a_metric_sees_the_square_around_one() -> None:
    one, other = np.zeros((40, 40), np.uint8), np.zeros((40, 40), np.uint8)
    one[10:20, 10:20], other[10:20, 15:25] = 255, 255
    assert mask_iou(one, other) == pytest.approx(1 / 3)
    assert mask_iou(one, one) == mask_iou(one * 0, one * 0) == 1
    picture = np.zeros((40, 40, 3), np.uint8)
    picture[one > 0] = 255
    assert 0.5 < inside(picture, one).mean() / 255 < 0.65
    with pytest.raises(ShapeError):
        inside(picture, one * 0)


def test_the_report_of_edits_has_every_figure_and_a_sheet(library: PairLibrary, tmp_path: Path) -> None:
    request = EditEvaluationRequest(edits=2, choices=3, split="source", steps=2, guidance=2.0, shown=2)
    *_, report = evaluate_edits(tiny_model(), library, tmp_path, request)
    assert isinstance(report, Report)
    for column in (EDIT, KEPT, PLAIN, CEILING):
        assert 0 < report.figure("background, dB", column).value <= MOST_PSNR
    assert report.figure("background, dB", KEPT).value >= report.figure("background, dB", EDIT).value
    assert report.figure("new subject found", EDIT).count == 2
    assert 0 <= report.figure("mask's overlap", EDIT).value <= 1
    assert json.loads((tmp_path / "report.json").read_text())["about"]["edits"] == 2
    assert Image.open(tmp_path / SHEET).width > 7 * 128
    assert "| background, dB | pixels | edit | all |" in report.as_table()


def test_ctrl_c_is_one_line_and_leaves_no_half_of_a_report(
    blipdiff: Command, model: Path, library_folder: Path, tmp_path: Path
) -> None:
    command = ("evaluate-edits", "--data", library_folder, "--output", tmp_path / "out", "--model", model)
    with at_call("sampling/predictor.py", "__call__", 3, lambda: signal.raise_signal(signal.SIGINT)):
        ended = blipdiff(*command, "--edits", 2, "--choices", 3, "--split", "source", "--steps", 2)
    assert (ended.code, ended.out) == (130, "")
    assert ended.err.splitlines()[-1] == "blipdiff: Stopped; what was finished is kept."
    assert "Traceback" not in ended.err
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == []


@pytest.mark.bundled
def test_the_default_inversion_brings_pictures_back_and_ddim_does_less(library: PairLibrary, tmp_path: Path) -> None:
    from pipelines.studio import Studio

    request = InversionEvaluationRequest(pictures=2, steps=5, shown=1, split="source")
    *_, report = evaluate_inversion(Studio.open("mini").model, library, tmp_path, request)
    assert isinstance(report, Report)
    most = report.figure("PSNR, dB", "autoencoder").value
    assert report.figure("PSNR, dB", "fixed-point, held (default), guidance 7.5").value == most
    returned = report.figure("PSNR, dB", "fixed-point, guidance 1").value
    assert returned > 0.97 * most
    assert report.figure("PSNR, dB", "ddim, guidance 1").value < returned
