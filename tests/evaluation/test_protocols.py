"""Trials are fair and repeatable; figures follow from answers."""

import numpy as np
import pytest

from blipdiff.data import PairLibrary
from blipdiff.errors import ConfigError
from blipdiff.evaluation import draw_trials, forced_choice
from blipdiff.evaluation.protocols import choice_of, context_figures, diversity


def test_candidates_are_unseen_and_of_different_concepts(library: PairLibrary) -> None:
    members = set(library.members["source"].tolist())
    for trial in draw_trials(library, "source", subjects=20, pictures=2):
        everyone = (*trial.candidates, trial.wrong)
        assert len(trial.candidates) == 10
        assert trial.candidates[trial.right] == trial.pair.subject
        assert set(everyone) <= members
        assert len({library.records[subject].concept for subject in everyone}) == 11


def test_the_same_seed_gives_the_same_trials_and_another_seed_others(library: PairLibrary) -> None:
    one, same, other = (draw_trials(library, "source", subjects=8, pictures=2, seed=seed) for seed in (1, 1, 2))
    assert [trial.candidates for trial in one] == [trial.candidates for trial in same]
    assert all(np.array_equal(a.pair.target, b.pair.target) for a, b in zip(one, same, strict=True))
    assert [trial.candidates for trial in one] != [trial.candidates for trial in other]


def test_every_subject_comes_as_often_and_the_right_place_varies(library: PairLibrary) -> None:
    trials = draw_trials(library, "source", subjects=30, pictures=3)
    counts = np.unique([trial.pair.subject for trial in trials], return_counts=True)[1]
    assert counts.tolist() == [3] * 30
    assert len({trial.right for trial in trials}) == 10
    assert len({trial.seed for trial in trials}) == len(trials)


def test_only_the_scenes_that_were_asked_for_are_drawn(library: PairLibrary) -> None:
    trials = draw_trials(library, "source", subjects=5, pictures=2, scenes=("snow", "beach"))
    assert {trial.pair.scene for trial in trials} <= {"snow", "beach"}
    with pytest.raises(ConfigError, match="no scene named bathtub"):
        draw_trials(library, "source", scenes=("bathtub",))


def test_too_few_unseen_concepts_are_refused(library: PairLibrary) -> None:
    with pytest.raises(ConfigError, match="101 unseen concepts"):
        draw_trials(library, "source", choices=100)


def test_equal_numbers_share_the_hit() -> None:
    assert choice_of(np.array([1, 1, 0, 0], np.float32), 1).hit == 0.5
    assert choice_of(np.array([1, 1, 0, 0], np.float32), 2).hit == 0
    assert forced_choice([choice_of(np.ones(10, np.float32), place) for place in range(10)]).value == pytest.approx(0.1)


def test_the_margin_is_the_lead_over_the_best_other() -> None:
    choice = choice_of(np.array([0.2, 0.9, 0.5], np.float32), 1)
    assert (choice.hit, round(choice.alike, 3), round(choice.margin, 3)) == (1, 0.9, 0.4)
    assert choice_of(np.array([0.2, 0.9, 0.5], np.float32), 0).margin == pytest.approx(-0.7)


def test_contexts_named_as_drawn_count_in_full_and_untold_scenes_not_at_all(library: PairLibrary) -> None:
    trials = draw_trials(library, "source", subjects=60, pictures=3, seed=5)
    truth = [(trial.pair.scene, trial.pair.style or "none") for trial in trials]
    figures = context_figures(truth, trials)
    assert all(figure.value == 1 for figure in figures.values())
    untold = [
        trial for trial in trials if trial.pair.scene.startswith("plain") and trial.pair.style in ("sepia", "blueprint")
    ]
    assert untold
    assert figures["scene"].count + figures["scene under a style"].count <= len(trials) - len(untold)
    assert figures["style"].count + figures["no style where none was asked"].count == len(trials)
    assert context_figures([("nowhere", "never")] * len(trials), trials)["scene"].value == 0


def test_equal_pictures_have_no_diversity_and_opposite_ones_all(library: PairLibrary) -> None:
    picture = library.draw(0, 0).target
    black, white = np.zeros((64, 64, 3), np.uint8), np.full((64, 64, 3), 255, np.uint8)
    assert diversity([[picture, picture, picture]]).value == 0
    assert diversity([[black, white]]).value == pytest.approx(1, abs=0.01)
    assert diversity([]).count == 0
