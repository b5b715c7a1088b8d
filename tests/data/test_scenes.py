"""Scenes and styles are repeatable, distinct, and named."""

import numpy as np
import pytest

from blipdiff.data.drawn import SCENES, STYLES, Scene, Style, paint_scene
from blipdiff.data.drawn.colours import NAMED_COLOURS, named_colour


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_a_scene_repeats_itself_varies_and_has_words(scene: Scene) -> None:
    (one, record), (again, _), (other, _) = (paint_scene(scene, np.random.default_rng(i), 64) for i in (1, 1, 2))
    assert one.shape == (64, 64, 3)
    assert one.dtype == np.uint8
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    assert record.wordings
    assert record.colourless
    assert all(wording and "{" not in wording for wording in record.wordings + record.colourless)


def test_there_are_at_least_28_scenes_with_names_of_their_own() -> None:
    assert len({scene.name for scene in SCENES}) == len(SCENES) >= 28


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.name)
def test_a_style_changes_the_picture_keeps_its_size_and_leaves_its_input_alone(style: Style) -> None:
    picture, _ = paint_scene(SCENES[-5], np.random.default_rng(0), 64)
    before = picture.copy()
    styled = style.apply(picture, np.random.default_rng(0))
    assert styled.shape == picture.shape
    assert styled.dtype == np.uint8
    assert np.array_equal(picture, before)
    assert not np.array_equal(styled, picture)
    assert all(style.wordings)


def test_named_colours_are_what_they_say() -> None:
    rng = np.random.default_rng(0)
    for name in NAMED_COLOURS:
        red, green, blue = named_colour(rng, name)
        brightest = {"red": red, "green": green, "blue": blue}.get(name)
        assert brightest is None or brightest == max(red, green, blue)
        assert name != "white" or min(red, green, blue) > 240
        assert name != "black" or max(red, green, blue) < 40
