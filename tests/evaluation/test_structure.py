"""Measures of structure and colour: what they say of equal, shifted, and unrelated pictures."""

import cv2
import numpy as np
import pytest

from blipdiff.errors import ConfigError
from blipdiff.evaluation.structure import chosen_by_colour, draw_structure_trials, edge_agreement
from pipelines.evaluate.requests import StructureRequest
from pipelines.evaluate.structure import Way, evaluate_structure, report
from pipelines.studio import Studio
from tests.support.tiny_models import tiny_model


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
        concepts = [library.records[number].concept for number in trial.alike]
        assert trial.alike[trial.right] == trial.candidates[trial.right]
        assert len(trial.alike) == 3 and concepts.count(concepts[trial.right]) == 1
    with pytest.raises(ConfigError, match="concepts"):
        draw_structure_trials(library, "train", choices=1000)


def test_the_alike_are_those_that_colours_confuse_most(library):
    (trial,) = draw_structure_trials(library, "train", count=1, choices=4, seed=2)
    look = trial.candidates[trial.right]
    picture, mask = np.array(library.subjects[look])[..., :3], np.array(library.subjects[look])[..., 3]
    others = [number for number in library.members["train"] if number not in trial.alike]
    strangers = [one for one in others if library.records[int(one)].concept != library.records[look].concept]
    for alike in set(trial.alike) - {look}:
        for stranger in strangers[:20]:
            pair = [np.asarray(library.subjects[int(one)]) for one in (stranger, alike)]
            assert chosen_by_colour(picture, mask, pair) == 1


def test_every_way_draws_the_same_pairs_and_details_are_read_of_each_look(library):
    request = StructureRequest(pairs=2, steps=2, split="source")
    ways = (Way("plain"), Way("details", detail=0.6), Way("again"))
    plain, details, again = evaluate_structure(Studio(tiny_model()), library, request, ways)
    pixels = [[np.asarray(one) for one in way.pictures] for way in (plain, details, again)]
    for row in range(2):
        assert np.array_equal(pixels[0][row], pixels[2][row]) and not np.array_equal(pixels[0][row], pixels[1][row])
    assert plain.edges.count == plain.colours.count == plain.hard_colours.count == 2
    assert [line.count("|") for line in report([plain, details]).splitlines()] == [5] * 4
