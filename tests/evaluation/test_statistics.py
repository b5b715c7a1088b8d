"""Intervals hold what they should, and say when they know nothing."""

import math

import numpy as np
import pytest

from blipdiff.errors import ShapeError
from blipdiff.evaluation import mean, share
from blipdiff.evaluation.statistics import paired


def test_wilson_gives_the_published_interval() -> None:
    """81 of 263: 0.2553 to 0.3662 (Newcombe 1998, Stat. Med. 17:857-872, table I, method 3)."""
    figure = share([1] * 81 + [0] * 182)
    assert (round(figure.low, 4), round(figure.high, 4)) == (0.2553, 0.3662)


def test_all_hits_leave_room_below_and_none_above() -> None:
    figure = share([True] * 10)
    assert figure.value == figure.high == 1
    assert 0.7 < figure.low < 0.75


def test_no_cases_give_no_figure() -> None:
    for figure in (share([]), mean([])):
        assert math.isnan(figure.value)
        assert figure.count == 0
        assert figure.as_percent() == "-"


def test_the_bootstrap_covers_the_mean_and_repeats_itself() -> None:
    values = np.random.default_rng(0).normal(3, 1, 200)
    figure = mean(values)
    assert figure.low < 3 < figure.high
    assert figure == mean(values)


def test_equal_cases_of_one_group_widen_the_interval() -> None:
    values = np.repeat(np.random.default_rng(1).normal(0, 1, 20), 10)
    alone, grouped = mean(values), mean(values, groups=[i // 10 for i in range(200)])
    assert grouped.high - grouped.low > 2 * (alone.high - alone.low)


def test_groups_of_another_number_are_refused() -> None:
    with pytest.raises(ShapeError, match="3 values"):
        mean([1, 2, 3], groups=[1])


def test_pairs_tell_a_difference_that_their_means_alone_do_not() -> None:
    rng = np.random.default_rng(0)
    theirs = rng.normal(0, 10, 80)
    ours = theirs + rng.normal(0.5, 0.5, 80)
    difference, chance = paired(ours.tolist(), theirs.tolist())
    assert 0.3 < difference.low < 0.5 < difference.high < 0.7
    assert chance == 0
    assert mean(ours.tolist()).low < mean(theirs.tolist()).high


def test_pairs_of_the_same_distribution_tell_none_and_the_chance_is_even() -> None:
    """The two-sided chance is uniform where there is no difference: a tenth of 200 trials is below 0.1."""
    rng = np.random.default_rng(1)
    chances = [paired(rng.normal(size=40).tolist(), rng.normal(size=40).tolist())[1] for _ in range(200)]
    assert 0.04 < np.mean(np.array(chances) < 0.1) < 0.18
    assert 0.4 < np.mean(chances) < 0.6


def test_whole_groups_are_drawn_again_and_pairs_must_fit() -> None:
    ours, theirs = [1.0] * 10 + [0.0] * 10, [0.0] * 20
    narrow, _ = paired(ours, theirs)
    wide, _ = paired(ours, theirs, groups=[0] * 10 + [1] * 10)
    assert (wide.low, wide.high) == (0, 1)
    assert narrow.high - narrow.low < 0.5
    with pytest.raises(ShapeError, match="20 values were given with 3"):
        paired(ours, [1.0, 2.0, 3.0])
    assert paired([], [])[0].count == 0
