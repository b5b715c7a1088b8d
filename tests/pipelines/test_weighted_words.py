"""Weights of words and of the subject, on the rows that they are for, in requests and in the diffusers face."""

from typing import Any

import pytest
import torch

from blipdiff.conditioning.weighting import weighted
from blipdiff.models.blip_diffusion import BlipDiffusion
from pipelines.edit.request import EditRequest
from pipelines.job import Job, run
from pipelines.metadata import job_of
from pipelines.studio import Studio
from tests.support.face import close, differ, draw
from tests.support.jobs import pixels_of, results_of
from tests.support.studios import asked, dog, drawn, pictures, pixels
from tests.support.tiny_models import tiny_model

pytest_plugins = ["tests.support.face_fixtures"]


@pytest.fixture(scope="module")
def model() -> BlipDiffusion:
    return tiny_model()


def rows(model: BlipDiffusion, text: str, meaning: str = "a1111", subject: Any = None) -> torch.Tensor:
    return model.encode_prompts([weighted(text, meaning)], [subject]).embeddings[0]


def test_a1111_multiplies_the_word_s_rows_and_restores_the_mean(model: BlipDiffusion) -> None:
    plain, found = rows(model, "a dog on a beach"), rows(model, "a (dog:1.5) on a beach")
    wanted = plain.clone()
    wanted[2] *= 1.5
    assert close(found, wanted * (plain.mean() / wanted.mean()), 1e-6)
    assert float(found.mean()) == pytest.approx(float(plain.mean()), abs=1e-7)


def test_compel_moves_the_word_s_rows_away_from_an_empty_prompt_s(model: BlipDiffusion) -> None:
    plain, empty = rows(model, "a dog on a beach"), rows(model, "")
    found = rows(model, "a (dog:1.5) on a beach", "compel")
    wanted = plain.clone()
    wanted[2] += 0.5 * (plain[2] - empty[2])
    assert close(found, wanted, 1e-6)


def test_compel_goes_half_way_to_the_prompt_without_a_word_of_half_weight(model: BlipDiffusion) -> None:
    plain, empty, without = rows(model, "a dog on a beach"), rows(model, ""), rows(model, "a on a beach")
    found = rows(model, "a (dog:0.5) on a beach", "compel")
    own = plain.clone()
    own[2] = empty[2] + 0.5 * (plain[2] - empty[2])
    assert close(found, (own + without) / 2, 1e-5)
    gone = rows(model, "a (dog:0) on a beach", "compel")
    assert close(gone, without, 1e-3)


@pytest.mark.parametrize("meaning", ["a1111", "compel"])
def test_a_weight_of_one_changes_no_bit(model: BlipDiffusion, meaning: str) -> None:
    assert torch.equal(rows(model, "a (dog:1) on {subject:1} a beach", meaning), rows(model, "a dog on a beach"))


def test_the_subject_s_slots_have_a_weight_of_their_own(model: BlipDiffusion) -> None:
    subject = model.encode_subject(dog())
    plain, found = (rows(model, text, subject=subject) for text in ("a dog", "a dog {subject:1.2}"))
    wanted = plain.clone()
    wanted[model.insert_at : model.insert_at + model.subject_slots] *= 1.2
    assert close(found, wanted * (plain.mean() / wanted.mean()), 1e-6)


def test_layouts_hold_the_words_and_no_marks(model: BlipDiffusion) -> None:
    layout = model.encode_prompts([weighted("a (dog:1.3) on a [beach]", "a1111")]).layouts[0]
    assert layout == model.encode_prompts(["a dog on a beach"]).layouts[0]


def test_a_request_reads_marks_unless_it_says_off() -> None:
    studio = Studio(tiny_model())
    plain = drawn(studio, prompt="on a beach")[0]
    heavy = drawn(studio, prompt="on a (beach:3)")[0]
    literal = drawn(studio, prompt="on a (beach:3)", weighting="off")[0]
    assert (heavy != plain).any() and (literal != heavy).any()
    assert (drawn(studio, prompt="on a (beach:1)")[0] == plain).all()


def test_pictures_of_a_version_without_weights_are_repeated_literally() -> None:
    studio = Studio(tiny_model())
    first = pictures(run(studio, Job.of(asked(prompt="on a (beach:3)", weighting="off"), subject=dog())))[0]
    told = first.metadata()
    del told["job"]["request"]["weighting"]
    again = job_of(told)
    assert again.request.weighting == "off"
    assert (pixels(pictures(run(studio, again))[0]) == pixels(first)).all()


def test_the_face_reads_marks_when_it_is_asked_to(pipe: Any) -> None:
    plain = draw(pipe, prompt="on a beach", prompt_reps=1)
    heavy = draw(pipe, prompt="on a (beach:3)", prompt_reps=1, prompt_weighting="a1111")
    assert differ(heavy, plain)
    assert torch.equal(draw(pipe, prompt="on a (beach:1)", prompt_reps=1, prompt_weighting="compel"), plain)
    assert differ(draw(pipe, prompt="on a (beach:1)", prompt_reps=1), plain)


@pytest.mark.parametrize("method", ["refine", "replace"])
def test_edits_align_words_and_keep_their_weights(method: str) -> None:
    studio, shared = Studio(tiny_model()), {"source": "tiger", "category": "dog", "from_prompt": True, "method": method}
    shared |= {"count": 1, "steps": 3, "target_prompt": None}
    plain, same, heavy = (
        pixels_of(results_of(studio, EditRequest(**shared, prompt=prompt), subject=dog())[0])
        for prompt in ("on a beach", "on a (beach:1)", "on a (beach:4) {subject:2}")
    )
    assert (same == plain).all()
    assert (heavy != plain).any()
