"""Pairs are repeatable, true to their captions, and never show training what is held out."""

from pathlib import Path

import numpy as np
import pytest

from blipdiff.data import Pair, PairLibrary, composite, premultiplied, split_of, warped
from blipdiff.data.drawn import is_held_out
from blipdiff.data.drawn.scenes import SCENES
from blipdiff.data.drawn.styles import STYLES
from blipdiff.errors import ConfigError

SIDE = 64


def same(one: Pair, other: Pair) -> bool:
    arrays = all(np.array_equal(getattr(one, a), getattr(other, a)) for a in ("photo", "target", "mask"))
    return arrays and (one.prompt, one.category, one.subject) == (other.prompt, other.category, other.subject)


def test_the_same_seed_and_index_give_the_same_pair(library: PairLibrary) -> None:
    assert all(same(library.draw(i, 3), library.draw(i, 3)) for i in range(20))
    assert not same(library.draw(0, 3), library.draw(1, 3))
    assert not same(library.draw(0, 3), library.draw(0, 4))


def test_held_out_concepts_and_the_held_out_source_never_reach_training(library: PairLibrary) -> None:
    for i in range(300):
        record = library.records[library.draw(i, 0).subject]
        assert record.source != "noto"
        assert not is_held_out(record.concept)


def test_every_split_draws_only_its_own_subjects(library: PairLibrary) -> None:
    assert sum(len(members) for members in library.members.values()) == len(library.records)
    for split in ("train", "held_out", "source"):
        assert len(library.members[split]) > 0
        assert all(split_of(library.records[library.draw(i, 1, split).subject]) == split for i in range(30))


def test_all_artists_of_a_concept_are_held_out_together(library: PairLibrary) -> None:
    drawn_ones = [record for record in library.records if record.source != "noto"]
    for record in drawn_ones:
        assert record.held_out == is_held_out(record.concept)


def test_pictures_have_the_library_side_and_prompts_have_words(library: PairLibrary) -> None:
    for i in range(100):
        pair = library.draw(i, 5)
        assert pair.photo.shape == pair.target.shape == (SIDE, SIDE, 3)
        assert pair.mask.shape == (SIDE, SIDE)
        assert pair.photo.dtype == pair.target.dtype == pair.mask.dtype == np.uint8
        assert pair.prompt.strip() == pair.prompt != ""
        assert pair.mask.max() > 128, "the subject must be visible"
        assert (pair.style or "") in {"", *(style.name for style in STYLES)}
        assert pair.scene in {"plain white", *(scene.name for scene in SCENES)}


def test_outside_the_mask_a_plain_ground_stays_plain_and_inside_it_does_not(library: PairLibrary) -> None:
    placed = warped(premultiplied(np.pad(library.subjects[1], ((16, 16), (16, 16), (0, 0)))), 0.6, 10.0, 0.4, 0.6)
    ground = np.full((96, 96, 3), (10, 200, 30), np.uint8)
    target = composite(placed, ground)
    mask = placed[..., 3]
    assert np.array_equal(target[mask == 0], ground[mask == 0])
    solid = mask == 255
    assert solid.sum() > 300
    assert np.array_equal(target[solid], placed[..., :3][solid])


def test_on_an_unstyled_white_ground_everything_outside_the_mask_is_white(library: PairLibrary) -> None:
    pairs = [pair for pair in (library.draw(i, 9) for i in range(300)) if pair.scene == "plain white"]
    plain = [pair for pair in pairs if pair.style is None]
    assert plain
    assert all((pair.target[pair.mask == 0] == 255).all() for pair in plain)


def test_colours_are_named_only_where_a_style_keeps_them(library: PairLibrary) -> None:
    draining = {style.name for style in STYLES if not style.keeps_colours}
    names = {"red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "gray"}
    styled = [pair for pair in (library.draw(i, 11) for i in range(600)) if pair.style in draining]
    assert styled
    assert not any(names & set(pair.prompt.split()) for pair in styled)


def test_a_folder_without_a_library_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no complete library"):
        PairLibrary(tmp_path)
