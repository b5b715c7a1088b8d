"""Variations: pictures near another one, by noise between two seeds."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from blipdiff.conditioning.subject import SubjectPhoto
from blipdiff.errors import ConfigError
from blipdiff.latents import noise, turned
from pipelines.job import Job, run
from pipelines.metadata import job_of
from pipelines.studio import Studio
from pipelines.variations import varied
from tests.support.jobs import pixels_of, results_in
from tests.support.studios import asked, dog, drawn, job, picture_of
from tests.support.tiny_models import tiny_model

SHAPE = (4, 16, 16)


@pytest.fixture(scope="module")
def studio() -> Studio:
    return Studio(tiny_model())


def pixels(studio: Studio, one: Job) -> list[np.ndarray]:
    return [pixels_of(result) for result in results_in(run(studio, one))]


def test_turned_noise_goes_from_one_seed_to_the_other_and_stays_noise() -> None:
    one, other = noise([1], SHAPE), noise([2], SHAPE)
    assert torch.equal(turned(one, other, 0.0), one)
    assert torch.equal(turned(one, other, 1.0), other)
    near, half = turned(one, other, 0.1), turned(one, other, 0.5)
    assert 0 < float((near - one).norm()) < float((half - one).norm())
    assert abs(float(half.std()) - 1) < 0.05, "a mean of two noises would have a deviation of 0.7"
    assert torch.equal(turned(one, one, 0.5), one)
    with pytest.raises(ConfigError, match="from 0 to 1"):
        turned(one, other, 1.5)


def test_no_variation_changes_no_bit(studio: Studio) -> None:
    (plain,), (same,) = drawn(studio, seed=5), drawn(studio, seed=5, variation=0.0, variation_seed=77)
    assert np.array_equal(plain, same)


def test_variations_are_of_one_seed_and_a_whole_one_is_the_other_seeds_picture(studio: Studio) -> None:
    (whole,), (other,) = drawn(studio, seed=5, variation=1.0, variation_seed=9), drawn(studio, seed=9)
    assert np.array_equal(whole, other)
    together = drawn(studio, seed=5, count=3, batch=1, variation=0.3, variation_seed=9)
    alone = [drawn(studio, seed=5, variation=0.3, variation_seed=9 + place)[0] for place in range(3)]
    assert all(np.array_equal(one, same) for one, same in zip(together, alone, strict=True))
    assert len({one.tobytes() for one in together}) == 3


def test_a_little_variation_changes_little(studio: Studio) -> None:
    (plain,) = drawn(studio, seed=5)
    apart = [
        np.abs(drawn(studio, seed=5, variation=strength, variation_seed=9)[0] - plain).mean()
        for strength in (0.05, 0.3, 1.0)
    ]
    assert 0 < apart[0] < apart[1] < apart[2]


def test_a_picture_is_varied_by_its_own_job_and_repeats_from_its_file(studio: Studio) -> None:
    picture = picture_of(studio, 1, seed=5, count=2, batch=1)
    again = varied(job_of(picture.metadata()), 0.3, 9, count=2)
    results = results_in(run(studio, again))
    assert [np.array_equal(pixels_of(one), same) for one, same in zip(
        results, drawn(studio, seed=6, count=2, batch=1, variation=0.3, variation_seed=9), strict=True
    )] == [True, True]  # fmt: skip
    assert [one.name for one in results] == ["dog-6-varied-9", "dog-6-varied-10"]
    assert [one.picture.seed for one in results] == [6, 6], "that is the seed that they have"
    assert "Variation seed: 10" in results[1].picture.parameters()
    (repeated,) = pixels(studio, job_of(results[1].picture.metadata()))
    assert np.array_equal(repeated, pixels_of(results[1]))


def test_a_variation_is_varied_from_where_it_is(studio: Studio) -> None:
    (first,) = results_in(run(studio, varied(job(seed=5), 0.3, 9)))
    (same,) = pixels(studio, varied(job_of(first.picture.metadata()), 0.0, 30))
    (near,) = pixels(studio, varied(job_of(first.picture.metadata()), 0.02, 30))
    (plain,) = drawn(studio, seed=5)
    assert np.array_equal(same, pixels_of(first))
    away = np.abs(near.astype(int) - pixels_of(first)).mean()
    assert 0 < away < np.abs(near.astype(int) - plain).mean()


def test_a_blend_and_an_edit_are_varied_too(studio: Studio) -> None:
    from pipelines.blend.request import BlendRequest
    from pipelines.edit.request import EditRequest

    blend = Job.of(BlendRequest(shape="one", steps=2), subject=[replace_word("dog"), replace_word("cat")])
    edit = Job.of(EditRequest(source="dog", target="cat", from_prompt=True, steps=2), subject=dog())
    for one in (blend, edit):
        (plain,), (near,) = pixels(studio, one), pixels(studio, varied(one, 0.2, 3))
        assert not np.array_equal(plain, near)
        assert np.array_equal(plain, pixels(studio, varied(one, 0.0, 3))[0])


def test_what_cannot_be_varied_is_said() -> None:
    edit = job(count=2)
    with pytest.raises(ConfigError, match="from 0 to 1"):
        varied(edit, 2.0, 1)
    with pytest.raises(ConfigError, match="pass the largest seed"):
        asked(variation=0.1, variation_seed=2**63 - 1, count=2)
    with pytest.raises(ConfigError, match="comes from no seed"):
        varied(replace(edit, request=object()), 0.1, 1)


def replace_word(word: str) -> SubjectPhoto:
    return replace(dog(), category=word)
