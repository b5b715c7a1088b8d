"""Pairs whose target has the subject's look in another shape: what they show, and that they come from chance alone."""

import cv2
import numpy as np
import pytest

from blipdiff.data.drawn.shapes import bent, cluttered, drawn_shape, filled, recast
from blipdiff.data.pairs import PairLibrary
from blipdiff.data.reshaped import ReshapedPairs
from blipdiff.training.maps import MAPS, ROUGH

SIDE = 64


def look(colours: tuple[tuple[int, int, int], tuple[int, int, int]] = ((200, 30, 30), (30, 30, 200))) -> np.ndarray:
    """A disc, the upper half of one colour and the lower of another."""
    cut_out = np.zeros((SIDE, SIDE, 4), np.uint8)
    mask = cv2.circle(np.zeros((SIDE, SIDE), np.uint8), (SIDE // 2, SIDE // 2), 24, 255, -1)
    cut_out[: SIDE // 2, :, :3], cut_out[SIDE // 2 :, :, :3] = colours
    cut_out[..., 3] = mask
    cut_out[mask == 0] = 0
    return cut_out


def solid(cut_out: np.ndarray) -> np.ndarray:
    return cut_out[cut_out[..., 3] == 255][:, :3].astype(float)


def test_drawn_shapes_are_many_closed_and_in_the_middle() -> None:
    shapes = [drawn_shape(SIDE, np.random.default_rng(seed)) for seed in range(60)]
    again = drawn_shape(SIDE, np.random.default_rng(7))
    assert np.array_equal(again, shapes[7])
    assert len({shape.tobytes() for shape in shapes}) == 60
    assert np.median([(shape > 127).mean() for shape in shapes]) > 0.08
    for shape in shapes:
        assert shape.shape == (SIDE, SIDE) and shape.dtype == np.uint8 and shape.max() > 200
        assert max(shape[0].max(), shape[-1].max(), shape[:, 0].max(), shape[:, -1].max()) == 0


def test_a_bent_silhouette_is_like_it_and_not_it() -> None:
    mask = look()[..., 3]
    shares = []
    for seed in range(12):
        other = bent(mask, np.random.default_rng(seed)) > 127
        shares.append((other & (mask > 127)).sum() / (other | (mask > 127)).sum())
    assert 0.4 < np.mean(shares) < 0.95


def test_a_filled_shape_is_full_of_the_looks_colours_in_their_order() -> None:
    for seed in range(12):
        mask = drawn_shape(SIDE, np.random.default_rng(seed))
        body = filled(look(), mask)
        assert np.array_equal(body[..., 3], mask)
        rows = np.flatnonzero((mask > 250).any(axis=1))
        top, bottom = body[rows[0] + 1], body[rows[-1] - 1]
        for line, channel in ((top, 0), (bottom, 2)):
            inside = line[line[:, 3] > 250]
            if len(inside):
                assert inside[:, channel].mean() > 150 and inside[:, 2 - channel].mean() < 80


def test_a_recast_subject_has_the_mean_and_spread_of_the_looks_colours_and_its_own_drawing() -> None:
    rng = np.random.default_rng(0)
    drawn, wanted = look(), look()
    for cut_out, middle in ((drawn, (90, 120, 60)), (wanted, (150, 90, 140))):
        inside = cut_out[..., 3] > 0
        cut_out[inside, :3] = np.clip(rng.normal(middle, (25, 12, 18), (inside.sum(), 3)), 0, 255)
    made = recast(drawn, wanted)
    assert np.array_equal(made[..., 3], drawn[..., 3])
    assert np.allclose(solid(made).mean(0), solid(wanted).mean(0), atol=2)
    assert np.allclose(np.cov(solid(made).T), np.cov(solid(wanted).T), rtol=0.1, atol=30)
    assert np.allclose(solid(recast(drawn, drawn)), solid(drawn), atol=2)


def test_clutter_draws_edges_all_over_a_picture_and_leaves_the_given_one() -> None:
    plain = np.full((SIDE, SIDE, 3), 120, np.uint8)
    made = cluttered(plain, np.random.default_rng(1))
    assert (plain == 120).all() and (made != plain).any(axis=2).mean() > 0.02


def test_a_share_of_the_pairs_is_reshaped_and_the_others_are_the_librarys(library: PairLibrary) -> None:
    pairs = ReshapedPairs(library, 0.5)
    drawn, own = [pairs.draw(index, 3) for index in range(80)], [library.draw(index, 3) for index in range(80)]
    same = [np.array_equal(one.target, other.target) for one, other in zip(drawn, own, strict=True)]
    assert 0.3 < np.mean(same) < 0.7
    assert all(np.array_equal(ReshapedPairs(library, 0.0).draw(k, 3).target, own[k].target) for k in range(4))
    again = pairs.draw(5, 3)
    assert np.array_equal(again.target, drawn[5].target) and again.word == drawn[5].word
    assert any(one.word is not None for one in drawn)
    names = {record.category for record in library.records}
    assert {one.word for one in drawn} - {None} <= names


@pytest.mark.parametrize("name", list(MAPS))
def test_rough_maps_differ_from_clean_ones_and_show_the_same_thing(name: str, library: PairLibrary) -> None:
    for index in range(12):
        clean = MAPS[name](library.draw(index, 0), np.random.default_rng(index))
        rough = ROUGH[name](clean, np.random.default_rng(index))
        assert rough.shape == clean.shape and rough.dtype == np.uint8
        if name == "canny" and clean.any():
            assert np.corrcoef(rough.ravel() > 0, cv2.dilate(clean, np.ones((3, 3))).ravel() > 0)[0, 1] > 0.3
