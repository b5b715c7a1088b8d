"""An evaluation from request to report, with a tiny model of random weights: whole, repeatable, and at chance."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from blipdiff.checkpoints import load_model
from blipdiff.data import PairLibrary
from blipdiff.errors import ConfigError, OutputError, ShapeError
from blipdiff.evaluation import (
    METRIC_NAMES,
    TOGETHER,
    ContextClassifier,
    Ensemble,
    Report,
    draw_trials,
    metric_named,
    subject_views,
)
from blipdiff.evaluation.contexts import ContextHead, library_key
from blipdiff.evaluation.ensemble import unrelated_pictures
from blipdiff.evaluation.sheets import contact_sheet
from blipdiff.evaluation.summary import FORCED_CHOICE, NO_SUBJECT, RIGHT, TRUE, WRONG, Answers, collect, lines_of
from blipdiff.models.blip_diffusion import BlipDiffusion
from pipelines.evaluate.drawing import Wanted, draw_pictures
from pipelines.evaluate.requests import EvaluateRequest, EvaluationProgress
from pipelines.evaluate.subjects import evaluate, subject_grid, unseen_subjects
from pipelines.studio import Studio

REQUEST = EvaluateRequest(
    split="source", subjects=2, pictures=2, choices=3, varied=1, seeds=2, steps=2, batch=4, shown=2, scheduler="ddim"
)


@pytest.fixture(scope="module")
def model(tiny: Path) -> BlipDiffusion:
    return load_model(tiny, dtype="stored")


@pytest.fixture(scope="module")
def classifier_file(library: PairLibrary, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier that never learned anything: quick, and of this library."""
    pytest.importorskip("efficientnet_lite_pytorch")
    scenes = sorted({record.scene for record in library.scene_records})
    path = tmp_path_factory.mktemp("classifier") / "classifier.safetensors"
    ContextClassifier(ContextHead(2816, len(scenes), 2), scenes, ("none", "sepia"), library_key(library)).save(path)
    return path


@pytest.fixture(scope="module")
def events(
    model: BlipDiffusion, library: PairLibrary, classifier_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[object], Path]:
    folder = tmp_path_factory.mktemp("evaluation")
    return list(evaluate(Studio(model), library, folder, REQUEST, classifier_file=classifier_file)), folder


def test_progress_counts_up_in_every_stage_and_the_report_comes_last(events: tuple[list[object], Path]) -> None:
    *progress, report = events[0]
    assert isinstance(report, Report)
    stages: dict[str, list[int]] = {}
    for event in progress:
        assert isinstance(event, EvaluationProgress)
        assert event.done <= event.total
        stages.setdefault(event.stage, []).append(event.done)
    assert {RIGHT, WRONG, NO_SUBJECT, "several seeds"} <= set(stages)
    assert all(counts == sorted(counts) for counts in stages.values())


def test_the_report_is_written_whole(events: tuple[list[object], Path]) -> None:
    report = events[0][-1]
    assert isinstance(report, Report)
    written = json.loads((events[1] / "report.json").read_text("utf-8"))
    assert written == json.loads(json.dumps(report.as_json()))
    assert written["about"]["subjects"] == 2
    for metric in (TOGETHER, *METRIC_NAMES):
        for column in (TRUE, RIGHT, WRONG, NO_SUBJECT):
            figure = report.figure(FORCED_CHOICE, column, metric=metric)
            assert figure.count == 4
            assert 0 <= figure.low <= figure.value <= figure.high <= 1
    assert report.figure("scene", RIGHT).count <= 4
    assert not [path for path in events[1].iterdir() if "part" in path.name]
    with pytest.raises(KeyError, match="beauty"):
        report.figure("beauty", RIGHT)


def test_the_page_holds_its_pictures_and_asks_for_nothing_outside(events: tuple[list[object], Path]) -> None:
    page = (events[1] / "report.html").read_text("utf-8")
    assert page.count("<img") == 2 * 6  # photo, wrong photo and four columns, for two rows
    assert set(re.findall(r'src="(.{15})', page)) == {"data:image/jpeg"}
    assert "http" not in page
    assert FORCED_CHOICE in page


def test_the_same_request_gives_the_same_figures(
    model: BlipDiffusion, library: PairLibrary, classifier_file: Path, events: tuple[list[object], Path], tmp_path: Path
) -> None:
    *_, again = evaluate(model, library, tmp_path, REQUEST, classifier_file=classifier_file)
    report = events[0][-1]
    assert isinstance(again, Report)
    assert isinstance(report, Report)
    assert again.as_json()["figures"] == report.as_json()["figures"]


def test_a_folder_that_cannot_be_written_is_named(events: tuple[list[object], Path], tmp_path: Path) -> None:
    report = events[0][-1]
    assert isinstance(report, Report)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="file"):
        report.write(tmp_path / "file" / "folder")


def test_an_evaluation_that_could_not_be_written_does_not_begin(
    model: BlipDiffusion, library: PairLibrary, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="file"):
        next(evaluate(model, library, tmp_path / "file" / "folder", REQUEST))


def test_true_pictures_reach_the_ceiling_and_shuffled_ones_fall_to_chance(library: PairLibrary) -> None:
    trials = draw_trials(library, "source", subjects=40, pictures=1, seed=9)
    trials = [trial for trial in trials if trial.pair.style is None]
    ensemble, answers = Ensemble([metric_named("colour and shape")], unrelated_pictures(library, 6)), Answers()
    pictures = [trial.pair.target for trial in trials]
    for column, drawn in ((RIGHT, pictures), (WRONG, [*pictures[7:], *pictures[:7]])):
        for picture, trial in zip(drawn, trials, strict=True):
            views = subject_views(library, [*trial.candidates, trial.wrong])
            collect(answers, column, ensemble.compare(picture, views), trial)
    figures = {
        line.column: line.figure.value
        for line in lines_of(answers, trials, [])
        if (line.measure, line.cases) == (FORCED_CHOICE, "all")
    }
    assert figures[RIGHT] > 0.9
    assert figures[WRONG] < 0.35


def test_a_batch_of_different_requests_equals_its_single_runs(model: BlipDiffusion, library: PairLibrary) -> None:
    pair = library.draw(0, 0)
    photo = Image.fromarray(pair.photo)
    wanted = [Wanted(photo, "dog", "in the snow", 3), Wanted(None, "cat", "on a beach", 4)]
    settings = {"steps": 2, "guidance": 7.5, "scheduler": "ddim"}
    (together,) = draw_pictures(model, wanted, **settings)
    alone = [next(draw_pictures(model, [one], **settings))[0] for one in wanted]
    for one, other in zip(together, alone, strict=True):
        assert np.abs(np.asarray(one, int) - np.asarray(other, int)).max() <= 1


def test_the_grid_has_a_row_for_each_subject_and_a_column_for_each_prompt(
    model: BlipDiffusion, library: PairLibrary, tmp_path: Path
) -> None:
    subjects = unseen_subjects(library, 2, split="source")
    assert subjects[0].category != subjects[1].category
    path = subject_grid(Studio(model), subjects, ["in the snow", "on a beach"], tmp_path / "grid.png", steps=1, side=64)
    with Image.open(path) as grid:
        assert grid.width == 3 * 68 + 4
        assert grid.height > 2 * 64


def test_a_sheet_with_missing_pictures_is_refused() -> None:
    with pytest.raises(ShapeError, match="headings"):
        contact_sheet([[Image.new("RGB", (8, 8))]], ["a", "b"], ["row"])


@pytest.mark.parametrize("wrong", [{"subjects": 0}, {"split": "train"}, {"steps": 2.5}, {"scheduler": "fastest"}])
def test_a_request_out_of_range_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        EvaluateRequest(**wrong)  # type: ignore[arg-type]
