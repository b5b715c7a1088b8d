"""An ensemble puts its metrics on one scale, and no subject is favoured for fitting everything."""

import cv2
import numpy as np
import pytest

from blipdiff.data import PairLibrary
from blipdiff.errors import ConfigError
from blipdiff.evaluation import (
    TOGETHER,
    Ensemble,
    Metric,
    SubjectView,
    choose,
    draw_trials,
    metric_named,
    subject_views,
)
from blipdiff.evaluation.ensemble import unrelated_pictures
from blipdiff.evaluation.protocols import choice_of


class Partial:
    """A metric that has a favourite: the first subject of any list scores twice what it deserves."""

    name = "partial"

    def __init__(self, favourite: SubjectView) -> None:
        self._metric, self._favourite = metric_named("colour and shape"), favourite.cut_out.tobytes()

    def compare(self, picture: np.ndarray, subjects: list[SubjectView]) -> np.ndarray:
        favour = np.array([100.0 if view.cut_out.tobytes() == self._favourite else 0.0 for view in subjects])
        return (self._metric.compare(picture, subjects) + favour).astype(np.float32)


def test_unrelated_pictures_score_nothing_on_the_average(library: PairLibrary, metric: Metric) -> None:
    pictures = unrelated_pictures(library, 6)
    views = subject_views(library, library.members["source"][:4].tolist())
    ensemble = Ensemble([metric], pictures)
    scores = np.stack([ensemble.compare(picture, views)[metric.name] for picture in pictures])
    assert np.allclose(scores.mean(0), 0, atol=1e-3)
    assert np.allclose(scores.std(0), 1, atol=1e-3)


def test_a_favourite_does_not_win_by_favour(library: PairLibrary) -> None:
    trials = [trial for trial in draw_trials(library, "source", subjects=16, pictures=1) if trial.pair.style is None]
    favourite = subject_views(library, [trials[0].candidates[trials[0].right]])[0]
    metric = Partial(favourite)
    ensemble = Ensemble([metric], unrelated_pictures(library, 8))
    alone, seated = [], []
    for trial in trials[1:]:
        views = [*subject_views(library, trial.candidates), favourite]
        alone.append(choose(metric, trial.pair.target, views, trial.right).hit)
        seated.append(choice_of(ensemble.compare(trial.pair.target, views)["partial"], trial.right).hit)
    assert np.mean(seated) >= 0.8
    assert np.mean(seated) > np.mean(alone)


def test_blurred_subjects_are_still_found_together(library: PairLibrary) -> None:
    pytest.importorskip("efficientnet_lite_pytorch")
    ensemble = Ensemble.of_library(library)
    assert ensemble.names == (TOGETHER, "perceptual", "colour and shape")
    trials = draw_trials(library, "source", subjects=14, pictures=1, choices=4, seed=2)
    trials = [trial for trial in trials if trial.pair.style is None]
    hits = []
    for trial in trials:
        soft = cv2.GaussianBlur(trial.pair.target, (0, 0), 4)
        scores = ensemble.compare(soft, subject_views(library, trial.candidates))
        assert np.allclose(scores[TOGETHER], scores["perceptual"] + scores["colour and shape"], atol=1e-4)
        hits.append(choice_of(scores[TOGETHER], trial.right).hit)
    assert np.mean(hits) >= 0.8


def test_an_ensemble_of_nobody_or_without_pictures_is_refused(library: PairLibrary) -> None:
    with pytest.raises(ConfigError, match="0 metrics"):
        Ensemble([], unrelated_pictures(library, 2))
    with pytest.raises(ConfigError, match="1 unrelated"):
        Ensemble([metric_named("colour and shape")], unrelated_pictures(library, 1))
