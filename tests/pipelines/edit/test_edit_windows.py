"""The U-Net calls in which an edit holds words and shapes: as the authors' code counts them, or as it once was."""

from dataclasses import asdict

import numpy as np
import pytest
import torch

from blipdiff.attention.sites import AttentionSite
from blipdiff.checkpoints import load_model
from blipdiff.conditioning.subject import SubjectPhoto
from blipdiff.errors import ConfigError
from blipdiff.moment import Moment
from pipelines.edit.plan import encode_edit, plan_edit
from pipelines.edit.request import BY_FRACTIONS, EditRequest
from pipelines.studio import Studio
from tests.support.jobs import earlier_metadata, pixels_of, repeated, results_of
from tests.support.tiny_models import photo

CROSS, SELF = (AttentionSite(f"mid_block.{kind}", "mid", kind) for kind in ("cross", "self"))


@pytest.fixture(scope="module")
def studio() -> Studio:
    """The bundled model: what is held changes its pictures, as it does not those of random weights."""
    return Studio(load_model("mini", dtype=torch.float32))


def asked(**changes: object) -> EditRequest:
    values = {"source": "dog", "target": "tiger", "prompt": "on a beach", "steps": 4, "guidance": 3.0, "seed": 5}
    return EditRequest(**{**values, **changes})  # type: ignore[arg-type]


def held_calls(studio: Studio, request: EditRequest, site: AttentionSite) -> tuple[list[int], int]:
    """The calls at which the run's own tap takes a layer, and how many there are."""
    encoded = encode_edit(studio.model, request)
    plan = plan_edit(studio.model, encoded, 0).sampling
    count = len(plan.scheduler.timesteps)
    tap = plan.taps[0]
    return [k for k in range(count) if tap.wants(site, Moment(k, count, torch.tensor(0)), 1)], count


@pytest.mark.parametrize("scheduler", ["ddim", "pndm"])
@pytest.mark.parametrize("steps", [1, 4, 7, 9, 10, 14, 23, 49, 50])
def test_words_and_shapes_are_held_in_the_calls_of_the_authors_code(studio: Studio, steps: int, scheduler: str) -> None:
    for stop in (0.0, 0.2, 0.29, 0.4, 0.8, 0.95, 1.0):
        request = asked(steps=steps, scheduler=scheduler, cross_stop=stop, self_stop=stop, local_blend=False)
        words, count = held_calls(studio, request, CROSS)
        assert words == [k for k in range(count) if k < int(stop * (steps + 1))]
        shapes, _ = held_calls(studio, request, SELF)
        assert shapes == [k for k in range(count) if k < int(stop * steps)]


def test_a_words_own_window_is_counted_like_the_others(studio: Studio) -> None:
    request = asked(steps=9, cross_stop=0.0, word_stops="beach: 0.5", local_blend=False)
    assert held_calls(studio, request, CROSS)[0] == list(range(5))


def test_a_picture_from_before_the_counting_was_told_is_repeated_bit_for_bit(studio: Studio) -> None:
    subject = studio.subject([SubjectPhoto(photo(0, (64, 64)), "tiger")])
    settings = {"cross_stop": 0.8, "self_stop": 0.5, "local_blend": False}
    pictures = {}
    for counting in (BY_FRACTIONS, "authors"):
        request = asked(counting=counting, from_prompt=True, **settings)
        (pictures[counting],) = results_of(studio, request, subject=subject)
    old = pictures[BY_FRACTIONS]
    assert not np.array_equal(pixels_of(old), pixels_of(pictures["authors"]))
    for edited, drop in ((old, ("counting",)), (pictures["authors"], ())):
        metadata = earlier_metadata(edited.picture)
        for name in drop:
            del metadata["request"][name]
        (again,) = repeated(studio, metadata)
        assert np.array_equal(pixels_of(again), pixels_of(edited))


def test_the_counting_is_told_and_an_unknown_one_refused() -> None:
    assert asdict(asked())["counting"] == "authors"
    with pytest.raises(ConfigError, match="authors or fractions"):
        asked(counting="by heart")
