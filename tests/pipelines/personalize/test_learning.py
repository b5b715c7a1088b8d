"""What a subject is learned from, and what of it: on a tiny model."""

from pathlib import Path

import numpy as np
import pytest
import torch

from blipdiff.errors import ConfigError
from blipdiff.sampling.cost import own_size
from blipdiff.training.personal_views import Ground, subject_views
from blipdiff.training.personalize import PersonalBatches, PersonalObjective
from pipelines.personalize.run import read_photos
from pipelines.studio import Studio
from tests.support.learned import learning, view
from tests.support.tiny_models import tiny_model


@pytest.fixture(scope="module")
def studio() -> Studio:
    return Studio(tiny_model())


def test_around_the_subject_and_in_others_nothing_is_asked_but_to_stay_as_it_was(
    studio: Studio, tmp_path: Path
) -> None:
    found = learning(studio, tmp_path, method="full", prior=0.5)
    objective = PersonalObjective(studio.model, found.rows, found.twin, found.recipe)
    batch = PersonalBatches(found.material.views, found.material.others, found.recipe, seed=1)[0]
    assert len(batch["tokens"]) == len(batch["latents"]) // 2

    def parts(changed: dict[str, torch.Tensor]) -> dict[str, float]:
        _, told = objective.loss(batch | changed, torch.Generator().manual_seed(2))
        return {name: float(value) for name, value in told.items()}

    untouched = parts({})
    assert (untouched["ground"], untouched["others"]) == pytest.approx((0, 0), abs=1e-9)
    assert untouched["subject"] > 0.1
    with torch.no_grad():
        found.rows.tokens.mul_(-3.0)  # the subject's rows alone: others have their own
    moved = parts({})
    assert moved["ground"] > 0
    assert moved["others"] == pytest.approx(0, abs=1e-9)
    with torch.no_grad():
        next(iter(found.twin.unet.parameters())).add_(0.1)
    assert parts({})["others"] > 1e-6


@pytest.mark.parametrize(("small", "exponent", "batch"), [(True, 2.5, 16), (False, 1.0, 4)])
def test_what_nobody_asks_for_is_the_models_own(
    studio: Studio, small: bool, exponent: float, batch: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.personalize.defaults._LARGE", 320 if small else 1)
    found = learning(studio, tmp_path, batch=0, rate=0.0, steps=0).recipe
    assert (found.timestep_exponent, found.batch, found.steps) == (exponent, batch, 45)


def test_views_stand_on_the_grounds_that_are_given(studio: Studio) -> None:
    photos = read_photos(studio, [view(0), view(1)], "dog", "pad")
    side = max(own_size(studio.model))
    lime = Ground(np.full((side, side, 3), (0, 255, 0), np.uint8), "in a field of lime")
    made = [
        subject_views(studio.model, photos.pictures, "dog", count=12, seed=2, flips=False, grounds=grounds)
        for grounds in ((), [lime])
    ]
    words = [studio.model.prompt_tokenizer.decode(ids, skip_special_tokens=True) for ids in made[1].ids]
    assert sum("lime" in text or "field" in text for text in words) >= 5
    assert not torch.equal(made[0].latents, made[1].latents)


@pytest.mark.parametrize("is_fast", [True, False])
def test_bfloat16_is_left_to_processors_that_multiply_it_in_hardware(
    studio: Studio, is_fast: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.personalize.learning.has_fast_bfloat16", lambda: is_fast)
    assert learning(studio, tmp_path).recipe.bfloat16 == is_fast


def test_eight_bits_off_cuda_are_a_sentence(studio: Studio, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="8-bit optimizer runs on CUDA"):
        next(iter(learning(studio, tmp_path, eight_bit=True).steps()))
