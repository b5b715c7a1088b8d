"""Measures of structure and colour: what they say of equal, shifted, and unrelated pictures."""

import cv2
import numpy as np
import pytest

from blipdiff.errors import ConfigError
from blipdiff.evaluation.structure import chosen_by_colour, draw_structure_trials, edge_agreement


def disc(colour=(200, 30, 30), centre=(32, 32)) -> np.ndarray:
    picture = np.full((64, 64, 3), 255, np.uint8)
    cv2.circle(picture, centre, 16, colour, -1)
    return picture


def test_edges_agree_with_themselves_and_within_two_pixels():
    assert edge_agreement(disc(), disc((30, 30, 200))) == 1
    assert edge_agreement(disc(), disc(centre=(34, 32))) > 0.95
    assert edge_agreement(disc(), disc(centre=(44, 32))) < 0.5
    assert edge_agreement(disc(), np.full((64, 64, 3), 9, np.uint8)) == 0


def test_the_look_is_found_by_its_colours_inside_the_shape():
    mask = np.zeros((64, 64), np.uint8)
    cv2.circle(mask, (32, 32), 14, 255, -1)
    colours = [(30, 30, 200), (190, 50, 40), (30, 180, 30)]
    candidates = [np.dstack([disc(colour), mask]) for colour in colours]
    assert chosen_by_colour(disc((200, 30, 30)), mask, candidates) == 1
    assert chosen_by_colour(disc((40, 170, 40)), mask, candidates) == 2


def test_trials_repeat_and_never_show_the_structure_among_the_looks(library):
    one, other = (draw_structure_trials(library, "train", count=4, choices=3, seed=1) for _ in range(2))
    for trial, again in zip(one, other, strict=True):
        assert trial.candidates == again.candidates and np.array_equal(trial.look, again.look)
        concepts = [library.records[number].concept for number in (*trial.candidates, trial.structure.subject)]
        assert len(set(concepts)) == len(concepts) == 4
    with pytest.raises(ConfigError, match="concepts"):
        draw_structure_trials(library, "train", choices=1000)
