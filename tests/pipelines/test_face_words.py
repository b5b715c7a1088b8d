"""The pipeline as people of diffusers call it: words, subjects and guidance."""

import numpy as np
import pytest
import torch
from PIL import Image

from blipdiff.conditioning.subject import SubjectEmbedding, SubjectPhoto
from blipdiff.errors import ConfigError, ImageError, PromptError, SubjectError
from pipelines import BlipDiffusionPipeline
from tests.support.face import close, differ, draw, seeded
from tests.support.tiny_models import photo, tiny_model

pytest_plugins = ["tests.support.face_fixtures"]


# Words


def test_a_negative_prompt_is_text_list_or_none_and_may_be_too_long(pipe: BlipDiffusionPipeline) -> None:
    plain = draw(pipe)
    assert torch.equal(draw(pipe, neg_prompt=None), plain)
    assert torch.equal(draw(pipe, neg_prompt=""), plain)
    assert torch.equal(draw(pipe, neg_prompt=["snow"]), draw(pipe, neg_prompt="snow"))
    assert differ(draw(pipe, neg_prompt="snow"), plain)
    assert draw(pipe, neg_prompt="snow " * 300).shape == plain.shape


def test_prompt_strength_and_repetitions_multiply_and_never_empty_the_prompt(pipe: BlipDiffusionPipeline) -> None:
    assert torch.equal(draw(pipe, prompt_strength=0.5, prompt_reps=4), draw(pipe, prompt_strength=1.0, prompt_reps=2))
    assert torch.equal(draw(pipe, prompt_strength=0.0), draw(pipe, prompt_reps=1))
    assert differ(draw(pipe, prompt_reps=1), draw(pipe, prompt_reps=2))
    assert torch.equal(draw(pipe, prompt_strength=1e300, prompt_reps=10**9), draw(pipe, prompt_reps=1000))
    for wrong in ({"prompt_strength": -1.0}, {"prompt_strength": float("nan")}, {"prompt_reps": 0}):
        with pytest.raises(ConfigError, match="repetitions"):
            draw(pipe, **wrong)


def test_the_target_is_drawn_in_the_look_of_the_source(pipe: BlipDiffusionPipeline) -> None:
    assert torch.equal(draw(pipe, target_subject_category="dog"), draw(pipe))
    assert differ(draw(pipe, target_subject_category="tiger"), draw(pipe))


@pytest.mark.parametrize("wrong", ["", " ", "\x00"])
def test_a_category_that_says_nothing_is_refused(pipe: BlipDiffusionPipeline, wrong: str) -> None:
    for name in ("source_subject_category", "target_subject_category"):
        with pytest.raises(PromptError):
            draw(pipe, **{name: wrong})


# Subjects


def test_a_card_stands_for_its_photo_and_knows_its_category(pipe: BlipDiffusionPipeline) -> None:
    card = pipe.model.encode_subject(SubjectPhoto(photo(), "dog"), fit="squash")
    assert torch.equal(draw(pipe, reference_image=card, source_subject_category=""), draw(pipe))
    mixed = draw(pipe, prompt=["on a beach"] * 2, reference_image=[card, photo()], generator=[seeded(), seeded()])
    assert torch.equal(mixed[0], mixed[1])


def test_several_photos_of_one_subject_are_averaged(pipe: BlipDiffusionPipeline) -> None:
    one, both = draw(pipe), draw(pipe, reference_image=[[photo(0), photo(1)]])
    assert torch.equal(draw(pipe, reference_image=[[photo(0)]]), one)
    assert close(draw(pipe, reference_image=[(photo(0), photo(0))]), one)
    assert differ(both, one)
    mean = pipe.model.encode_subject([SubjectPhoto(photo(seed), "dog") for seed in (0, 1)], fit="squash")
    assert torch.equal(draw(pipe, reference_image=mean), both)


def test_the_photo_is_squashed_as_the_peer_does_unless_asked_otherwise(pipe: BlipDiffusionPipeline) -> None:
    wide = photo(0, (64, 24))
    squashed = draw(pipe, reference_image=wide)
    assert torch.equal(squashed, draw(pipe, reference_image=wide.resize((32, 32), Image.Resampling.BICUBIC)))
    assert differ(squashed, draw(pipe, reference_image=wide, photo_fit="crop"))
    assert differ(squashed, draw(pipe, reference_image=wide, photo_fit="pad"))
    with pytest.raises(ImageError, match="squash, crop or pad"):
        draw(pipe, reference_image=wide, photo_fit="stretch")


def test_what_is_no_reference_is_named_by_its_type(pipe: BlipDiffusionPipeline) -> None:
    for wrong in (np.zeros(32), torch.zeros(3, 32), "dog.png", None, [[None]]):
        with pytest.raises(ImageError, match="picture"):
            draw(pipe, reference_image=wrong)
    with pytest.raises(ImageError, match="list without pictures"):
        draw(pipe, reference_image=[[]])
    with pytest.raises(ImageError, match="shows nothing"):
        draw(pipe, reference_image=photo(0, (1, 1)))


def test_a_card_of_another_model_is_refused(pipe: BlipDiffusionPipeline) -> None:
    other = tiny_model(1).encode_subject(SubjectPhoto(photo(), "dog"))
    with pytest.raises(SubjectError, match="made by the model"):
        draw(pipe, reference_image=other)
    with pytest.raises(SubjectError, match="width"):
        draw(pipe, reference_image=SubjectEmbedding(torch.zeros(4, 17), "dog"))


# Guidance


def test_a_scale_of_one_or_less_is_unguided_and_each_row_has_its_own(pipe: BlipDiffusionPipeline) -> None:
    unguided = draw(pipe, guidance_scale=1.0, neg_prompt="snow")
    assert torch.equal(draw(pipe, guidance_scale=0.0), unguided)
    assert torch.equal(draw(pipe, guidance_scale=1.0), unguided)
    rows = draw(pipe, prompt=["on a beach"] * 2, guidance_scale=[1.0, 7.5], generator=[seeded(), seeded()])
    assert close(rows, torch.cat([unguided, draw(pipe)]))
    assert differ(rows[:1], rows[1:])
    with pytest.raises(ConfigError, match="finite"):
        draw(pipe, guidance_scale=float("nan"))


def test_guidance_outside_its_window_is_off(pipe: BlipDiffusionPipeline) -> None:
    assert torch.equal(draw(pipe, guidance_window=(0.0, 0.0)), draw(pipe, guidance_scale=1.0))
    half = draw(pipe, guidance_window=(0.5, 1.0))
    assert differ(half, draw(pipe))
    assert differ(half, draw(pipe, guidance_scale=1.0))
    with pytest.raises(ConfigError, match="start <= stop"):
        draw(pipe, guidance_window=(0.6, 0.5))
