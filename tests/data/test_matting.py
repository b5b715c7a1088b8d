"""Captions and mattes: what is kept of them, and what is refused."""

from importlib.util import find_spec

import numpy as np
import pytest
from PIL import Image

from blipdiff.cut_out import closed_form_matte
from blipdiff.data.captioner import captioned_and_filtered
from blipdiff.data.matting import cut_out, trimap_of
from blipdiff.errors import MissingDependencyError, SubjectError


def test_captions_that_do_not_match_are_refused_given_ones_too() -> None:
    class Speaker:
        def captions(self, photo, count, speaking):
            return ["a dog", "a car", "a dog", ""][:count]

    class Judge:
        def matches(self, photo, texts):
            return [0.9 if "dog" in text else 0.2 for text in texts]

    photo = Image.new("RGB", (8, 8))
    kept = captioned_and_filtered(photo, ["a bus", "my dog"], Speaker(), Judge(), count=4, least=0.5, seed=0)
    assert kept.captions == ("a dog", "my dog")
    assert kept.refused == 2


def test_a_trimap_has_all_three_kinds_or_is_refused_in_words() -> None:
    chances = np.zeros((60, 80), np.float32)
    chances[20:40, 30:50] = 1
    trimap = trimap_of(chances)
    assert set(np.unique(trimap)) == {0, 128, 255}
    assert trimap[30, 40] == 255
    assert trimap[5, 5] == 0
    for empty, words in ((np.zeros_like(chances), "nothing"), (np.ones_like(chances), "everywhere")):
        with pytest.raises(SubjectError, match=words):
            trimap_of(empty)


def test_a_cut_out_fills_its_square_without_a_fringe() -> None:
    alpha = np.zeros((60, 80))
    alpha[20:40, 30:40] = 1
    picture = np.zeros((60, 80, 3))
    picture[20:40, 30:40] = (1, 0, 0)
    subject = cut_out(alpha, picture, 64)
    solid = subject[..., 3] > 128
    assert 50 <= np.flatnonzero(solid.any(axis=1)).size <= 60
    assert (subject[solid][:, 0] > 240).all()
    assert (subject[solid][:, 1:3] < 10).all()
    assert subject[0, 0, 3] == 0


def test_closed_form_matting_finds_a_soft_edge() -> None:
    if find_spec("pymatting") is None:
        with pytest.raises(MissingDependencyError, match=r"blipdiff\[data\]"):
            closed_form_matte(np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8))
        return
    ramp = np.clip((np.arange(48) - 16) / 16, 0, 1)
    picture = np.repeat((ramp[None, :, None] * np.array([255, 0, 0]))[:, :, :], 48, axis=0).astype(np.uint8)
    trimap = np.full((48, 48), 128, np.uint8)
    trimap[:, :12], trimap[:, 36:] = 0, 255
    alpha, colours = closed_form_matte(picture, trimap)
    assert np.abs(alpha[24] - ramp).mean() < 0.05
    assert colours.shape == (48, 48, 3)
