"""Metrics know a subject again wherever it stands, and know nothing about noise."""

import cv2
import numpy as np
import pytest

from blipdiff.data import PairLibrary, composite
from blipdiff.errors import ConfigError
from blipdiff.evaluation import Metric, choose, draw_trials, metric_named, subject_views
from blipdiff.evaluation.views import Remembered


def test_the_right_subject_is_found_in_true_composites(library: PairLibrary, metric: Metric) -> None:
    trials = draw_trials(library, "source", subjects=16, pictures=1, choices=5, seed=3)
    trials = [trial for trial in trials if trial.pair.style is None]
    found = [
        choose(metric, trial.pair.target, subject_views(library, trial.candidates), trial.right) for trial in trials
    ]
    assert np.mean([choice.hit for choice in found]) >= 0.9
    assert np.mean([choice.margin for choice in found]) > 0


def test_random_pictures_leave_the_choice_to_chance(library: PairLibrary, metric: Metric) -> None:
    trials = draw_trials(library, "source", subjects=60, pictures=1, seed=4)
    rng = np.random.default_rng(0)
    hits = []
    for trial in trials:
        noise = cv2.resize(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8), (128, 128), interpolation=cv2.INTER_CUBIC)
        hits.append(choose(metric, noise, subject_views(library, trial.candidates), trial.right).hit)
    assert np.mean(hits) < 0.25


def test_place_size_and_mirroring_change_little(library: PairLibrary, metric: Metric) -> None:
    views = subject_views(library, range(6))
    ground = np.full((128, 128, 3), (90, 140, 200), np.uint8)
    for mirrored, scale, move in ((False, 0.6, (25, 20)), (True, 0.75, (-10, 15)), (True, 0.9, (0, 0))):
        placed = np.roll(views[2].placed(scale, mirrored=mirrored), move, (0, 1))
        assert int(metric.compare(composite(placed, ground), views).argmax()) == 2


def test_a_larger_picture_is_scored_the_same(library: PairLibrary, metric: Metric) -> None:
    views = subject_views(library, range(5))
    small = composite(views[1].placed(0.8), np.full((128, 128, 3), 60, np.uint8))
    large = cv2.resize(small, (512, 512), interpolation=cv2.INTER_CUBIC)
    assert np.allclose(metric.compare(small, views), metric.compare(large, views), atol=0.1)


def test_the_order_of_subjects_does_not_matter(library: PairLibrary, metric: Metric) -> None:
    views = subject_views(library, range(4))
    picture = library.draw(0, 0).target
    forth, back = metric.compare(picture, views), metric.compare(picture, views[::-1])
    assert np.allclose(forth, back[::-1], atol=1e-4)


def test_an_unknown_metric_is_refused_with_the_names_of_those_there_are() -> None:
    with pytest.raises(ConfigError, match="perceptual"):
        metric_named("model itself")


def test_what_is_remembered_is_made_once_and_the_oldest_forgotten(library: PairLibrary) -> None:
    made = []
    views = subject_views(library, range(3))
    remembered = Remembered(lambda view: made.append(view.name) or view.name, most=2)
    for place in (0, 1, 0, 2, 0, 1):
        remembered(views[place])
    assert made == [views[place].name for place in (0, 1, 2, 1)]
