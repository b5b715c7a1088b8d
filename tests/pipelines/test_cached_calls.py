"""Deep features kept between U-Net calls, from a request to its picture, and where every call is whole."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from blipdiff.conditioning.subject import SubjectPhoto
from blipdiff.errors import ConfigError
from blipdiff.sampling.cost import shallow_share
from pipelines.generate.request import GenerateRequest
from pipelines.pictures import save_picture
from pipelines.plan import encode, plan_encoded
from pipelines.scene.request import SceneRequest
from pipelines.sizes import unet_rows
from pipelines.studio import Studio
from tests.support.every_job import on_white
from tests.support.jobs import pixels_of, repeated, results_of
from tests.support.studios import counted, dog
from tests.support.tiny_models import tiny_model

CALLS = 6


@pytest.fixture(scope="module")
def studio() -> Studio:
    return Studio(tiny_model())


@pytest.fixture
def middles(studio: Studio) -> Iterator[list[int]]:
    """The rows of every call that goes through the middle of the U-Net."""
    with counted(studio.model.unet.mid_block) as rows:
        yield rows


def asked(**changes: Any) -> GenerateRequest:
    usual = {"count": 1, "seed": 5, "steps": CALLS}
    return GenerateRequest(category="dog", prompt="on a beach", **usual | changes)


def test_every_second_call_is_shallow_and_the_picture_tells(studio: Studio, middles: list[int], tmp_path: Path) -> None:
    (plain,) = results_of(studio, asked(), subject=dog())
    assert len(middles) == CALLS
    middles.clear()
    (cached,) = results_of(studio, asked(cache_interval=2, cache_branch=1), subject=dog())
    assert len(middles) == CALLS / 2
    assert not np.array_equal(pixels_of(cached), pixels_of(plain))
    told = cached.picture.metadata()
    assert [told["job"]["request"][name] for name in ("cache_interval", "cache_branch")] == [2, 1]
    save_picture(cached.picture, tmp_path / "cached.png")
    (again,) = repeated(studio, told)
    assert np.array_equal(pixels_of(again), pixels_of(cached))


def test_a_picture_of_before_there_was_caching_is_drawn_by_whole_calls(studio: Studio, middles: list[int]) -> None:
    (plain,) = results_of(studio, asked(), subject=dog())
    told = plain.picture.metadata()
    del told["job"]["request"]["cache_interval"], told["job"]["request"]["cache_branch"]
    middles.clear()
    (again,) = repeated(studio, told)
    assert len(middles) == CALLS
    assert np.array_equal(pixels_of(again), pixels_of(plain))


def test_where_the_unet_is_looked_into_every_call_is_whole(studio: Studio, middles: list[int]) -> None:
    seen = SubjectPhoto(on_white(), "dog")

    def scene(interval: int) -> SceneRequest:
        return SceneRequest(
            prompt="a {dog} on a beach", arrange="row", count=1, steps=4, seed=5, cache_interval=interval
        )

    for request, subject in ((scene, [dog()]), (lambda interval: asked(detail=0.5, cache_interval=interval), seen)):
        pictures, calls = [], []
        for interval in (1, 1, 2):  # the first run reads the photo's details, which the others find
            middles.clear()
            (result,) = results_of(studio, request(interval), subject=subject)
            pictures.append(pixels_of(result))
            calls.append(len(middles))
        assert calls[1] == calls[2] >= 4
        assert np.array_equal(pictures[1], pictures[2])


def test_pictures_of_one_batch_are_cached_as_they_are_alone(studio: Studio) -> None:
    (alone,) = results_of(studio, asked(cache_interval=3), subject=dog())
    several = results_of(studio, asked(cache_interval=3, count=3, seed=4), subject=dog())
    difference = np.abs(pixels_of(several[1]).astype(int) - pixels_of(alone).astype(int))
    assert difference.max() <= 1


def test_the_cost_of_a_plan_counts_shallow_calls(studio: Studio) -> None:
    model = studio.model
    share = shallow_share(model, 0)
    assert 0 < share < shallow_share(model, 1) < 0.7
    request = asked(cache_interval=3, cache_branch=0)
    plan = plan_encoded(model, encode(model, request, model.encode_subject(dog())), [5])
    assert unet_rows(plan, share) == pytest.approx(2 * (2 + 4 * share))


@pytest.mark.parametrize("given", [{"cache_interval": 0}, {"cache_interval": 11}, {"cache_branch": -1}])
def test_what_is_out_of_range_is_refused(given: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=r"[Cc]ache"):
        asked(**given)
