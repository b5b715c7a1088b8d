"""Generate: from a request to a plan. Plans are made without running anything, and rows do not know each other."""

from typing import Any

import pytest
import torch

from blipdiff.conditioning.subject import SubjectEmbedding, SubjectPhoto
from blipdiff.errors import ConfigError, PromptError, SubjectError
from blipdiff.latents import noise
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.ranges import AS_CONFIGURED, SCHEDULER_NAMES
from pipelines.generate.request import GenerateRequest
from pipelines.plan import encode, execute, picture_size, plan_encoded
from tests.support.tiny_models import PIXELS, photo, tiny_model


@pytest.fixture(scope="module")
def model() -> BlipDiffusion:
    return tiny_model()


@pytest.fixture(scope="module")
def subject(model: BlipDiffusion) -> SubjectEmbedding:
    return model.encode_subject(SubjectPhoto(photo(), "dog"))


def asked(**changes: Any) -> GenerateRequest:
    return GenerateRequest(**{"category": "dog", "prompt": "on a beach", "steps": 4} | changes)


def latents_of(model: BlipDiffusion, subject: SubjectEmbedding, request: GenerateRequest, seeds: list[int]) -> Any:
    *_, last = execute(model.unet, plan_encoded(model, encode(model, request, subject), seeds))
    return last.latents


def test_the_subject_stands_between_the_article_and_its_target(model: BlipDiffusion, subject: SubjectEmbedding) -> None:
    layout = encode(model, asked(target="tiger"), subject).positive.layouts[0]
    pieces = layout.pieces
    assert pieces[1] == "a</w>"
    assert list(layout.subject_slots) == list(range(2, 2 + model.subject_slots))
    assert pieces[2 + model.subject_slots :][:1] == ("tiger</w>",)


def test_one_row_is_encoded_whatever_the_number_of_pictures(model: BlipDiffusion, subject: SubjectEmbedding) -> None:
    encoded = encode(model, asked(count=64), subject)
    assert encoded.positive.rows == 1
    assert encoded.negative is not None
    assert encoded.negative.rows == 1
    assert encode(model, asked(guidance=1.0), subject).negative is None, "nothing is computed that is not used"


def test_what_is_cut_from_the_prompts_is_said(model: BlipDiffusion, subject: SubjectEmbedding) -> None:
    assert encode(model, asked(), subject).warnings == ()
    encoded = encode(model, asked(prompt="beach " * 60, negative="snow " * 60), subject)
    assert len(encoded.warnings) == 2
    assert all("left out" in warning for warning in encoded.warnings)


def test_repeats_fill_the_prompt_as_far_as_it_goes(model: BlipDiffusion, subject: SubjectEmbedding) -> None:
    once, often = (encode(model, asked(repeats=repeats), subject) for repeats in (1, 20))
    dogs = [sum(piece == "dog</w>" for piece in each.positive.layouts[0].pieces) for each in (once, often)]
    assert dogs[0] == 1
    assert dogs[1] > 1
    assert often.warnings == ()


def test_a_subject_that_does_not_fit_is_refused(model: BlipDiffusion, subject: SubjectEmbedding) -> None:
    for rows in (1, 3, 5):
        other = SubjectEmbedding(torch.zeros(rows, subject.width), "dog")
        with pytest.raises(SubjectError, match=f"has {rows} rows, this model reads 4"):
            encode(model, asked(guidance=1.0), other)
    with pytest.raises(SubjectError, match="width 8"):
        encode(model, asked(), SubjectEmbedding(torch.zeros(4, 8), "dog"))
    with pytest.raises(SubjectError, match="made by the model"):
        encode(model, asked(), SubjectEmbedding(subject.tokens, "dog", fingerprint="0" * 16))


def test_the_noise_of_a_seed_is_the_same_in_every_batch(model: BlipDiffusion, subject: SubjectEmbedding) -> None:
    encoded = encode(model, asked(), subject)
    together = plan_encoded(model, encoded, [5, 6, 7]).latents
    assert torch.equal(together[1:2], plan_encoded(model, encoded, [6]).latents)
    assert torch.equal(together, noise([5, 6, 7], (4, PIXELS // 2, PIXELS // 2)))


def test_planning_runs_nothing_and_draws_from_no_global_generator(
    model: BlipDiffusion, subject: SubjectEmbedding
) -> None:
    calls: list[str] = []
    hooks = [net.register_forward_hook(lambda *_: calls.append("called")) for net in (model.unet, model.vae.decoder)]
    before = torch.random.get_rng_state()
    plan_encoded(model, encode(model, asked(scheduler="euler-a"), subject), [1, 2])
    for hook in hooks:
        hook.remove()
    assert calls == []
    assert torch.equal(before, torch.random.get_rng_state())


def test_the_size_is_the_models_own_unless_asked(model: BlipDiffusion, subject: SubjectEmbedding) -> None:
    assert picture_size(model, asked()) == (PIXELS, PIXELS)
    assert picture_size(model, asked(width=32)) == (32, PIXELS)
    plan = plan_encoded(model, encode(model, asked(width=32, height=24), subject), [1])
    assert plan.latents.shape == (1, 4, 12, 16)
    with pytest.raises(ConfigError, match="multiples of 2"):
        plan_encoded(model, encode(model, asked(width=33), subject), [1])


def test_a_plan_carries_what_was_asked(model: BlipDiffusion, subject: SubjectEmbedding) -> None:
    encoded = encode(model, asked(guidance=3.0, guidance_start=0.25, guidance_stop=0.5, steps=9), subject)
    plan = plan_encoded(model, encoded, [1, 2])
    assert plan.guidance.scale.tolist() == [3.0, 3.0]
    assert (plan.guidance.window.start, plan.guidance.window.stop) == (0.25, 0.5)
    assert len(plan.scheduler.timesteps) == 9
    assert plan.generators is not None
    assert len(plan.generators) == 2


@pytest.mark.parametrize("scheduler", [*SCHEDULER_NAMES, AS_CONFIGURED])
def test_a_batch_equals_its_single_runs(scheduler: str, model: BlipDiffusion, subject: SubjectEmbedding) -> None:
    request = asked(scheduler=scheduler)
    together = latents_of(model, subject, request, [3, 4, 5])
    alone = torch.cat([latents_of(model, subject, request, [seed]) for seed in (3, 4, 5)])
    assert float((together - alone).abs().max()) <= 1e-4 * max(1.0, float(alone.abs().max()))


def test_the_order_of_the_seeds_does_not_matter(model: BlipDiffusion, subject: SubjectEmbedding) -> None:
    request = asked(scheduler="euler-a")
    forward, backward = (latents_of(model, subject, request, seeds) for seeds in ([1, 2, 3], [3, 2, 1]))
    assert float((forward - backward.flip(0)).abs().max()) <= 1e-4


def test_scale_one_is_the_prompt_alone(model: BlipDiffusion, subject: SubjectEmbedding) -> None:
    plain = latents_of(model, subject, asked(guidance=1.0), [1])
    assert torch.equal(plain, latents_of(model, subject, asked(guidance=1.0, negative="snow"), [1]))
    assert torch.equal(plain, latents_of(model, subject, asked(guidance_start=0.5, guidance_stop=0.5), [1]))
    assert not torch.equal(plain, latents_of(model, subject, asked(), [1]))


def test_words_that_cannot_be_read_are_refused(model: BlipDiffusion, subject: SubjectEmbedding) -> None:
    with pytest.raises(PromptError):
        asked(prompt="\x00")
    with pytest.raises(ConfigError, match="steps"):
        plan_encoded(model, encode(model, asked(scheduler="lcm", steps=999), subject), [1])
