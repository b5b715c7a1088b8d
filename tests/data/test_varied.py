"""Described drawings of stage 1: by another hand, in scenes, and each subject a second time."""

import numpy as np
import pytest

from blipdiff.data import PairLibrary, premultiplied
from blipdiff.data.varied import VariedPairs, another_hand


def test_the_same_index_gives_the_same_picture_and_caption(library: PairLibrary) -> None:
    pairs = VariedPairs(library, scenes=0.4, varied=0.7)
    for index in range(20):
        (one, category, said), (other, *same) = (pairs.draw_described(index, 3) for _ in range(2))
        assert np.array_equal(one, other)
        assert [category, said] == same
        assert np.array_equal(pairs.draw_again(index, 3), pairs.draw_again(index, 3))
        assert not np.array_equal(pairs.draw_again(index, 3), one)
        assert category in said


def test_a_subject_keeps_its_colours_in_the_second_picture(library: PairLibrary) -> None:
    pairs = VariedPairs(library, scenes=0.0, varied=1.0)
    nearer = 0
    for index in range(0, 60, 2):
        first, again, other = (
            pairs.draw_described(index, 1)[0], pairs.draw_again(index, 1), pairs.draw_again(index + 1, 1)
        )  # fmt: skip
        nearer += far(first, again) < far(first, other)
    assert nearer >= 20  # of 30; scenes have their own colours


def far(one: np.ndarray, other: np.ndarray) -> float:
    """How much of a picture's strong colours the other one lacks."""
    histograms = []
    for picture in (one, other):
        strong = picture[np.ptp(picture, axis=2) > 60].reshape(-1, 3)
        counts, _ = np.histogramdd(strong, bins=6, range=[(0, 256)] * 3)
        histograms.append(counts / max(counts.sum(), 1))
    return float(np.minimum(*histograms).sum() * -1)


def test_scenes_come_as_often_as_asked_for(library: PairLibrary) -> None:
    for share in (0.0, 1.0):
        pairs = VariedPairs(library, scenes=share)
        told = [pairs.draw_described(index, 5)[2] for index in range(40)]
        in_scenes = sum(
            any(f" {word} " in f" {said} " for word in ("on", "in", "under", "at", "style")) for said in told
        )
        assert (in_scenes > 25) == (share == 1.0)


@pytest.mark.parametrize("seed", range(24))
def test_another_hand_changes_the_drawing_and_keeps_it_whole(library: PairLibrary, seed: int) -> None:
    cut_out = premultiplied(library.subjects[seed])
    rng = np.random.default_rng(seed)
    before, changed = cut_out.copy(), another_hand(cut_out, rng)
    assert np.array_equal(cut_out, before), "what is given stays"
    assert changed.shape == cut_out.shape
    assert changed.dtype == np.uint8
    assert (changed[..., :3] <= changed[..., 3:].astype(int) + 1).all(), "still premultiplied"
    assert changed[..., 3].mean() > 0.4 * cut_out[..., 3].mean()
