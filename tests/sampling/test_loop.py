from types import SimpleNamespace

import diffusers
import pytest
import torch
from diffusers import StableDiffusionControlNetPipeline, StableDiffusionPipeline

from blipdiff.control.controlnet import ControlBranch
from blipdiff.errors import ConfigError, NumericsError
from blipdiff.latents import noise, row_generators
from blipdiff.moment import Window
from blipdiff.sampling.loop import denoise
from blipdiff.sampling.predictor import GuidedPredictor
from blipdiff.sampling.schedulers import SCHEDULER_NAMES, build_scheduler, draws_noise, set_timesteps

STEPS = 6


@pytest.fixture(scope="module")
def networks(tiny_unet, tiny_vae, tiny_controlnet):
    """The tiny networks, and what diffusers' pipelines are made of."""
    parts = {"unet": tiny_unet, "vae": tiny_vae, "text_encoder": None, "tokenizer": None}
    spare = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    return SimpleNamespace(unet=tiny_unet, controlnet=tiny_controlnet, pipeline=parts | spare)


def run(unet, guidance, config, name, *, seeds, controls=(), steps=STEPS):
    scheduler = build_scheduler(name, config)
    set_timesteps(scheduler, steps)
    generators = row_generators(seeds)
    latents = noise(generators, (4, 8, 8))
    return list(denoise(GuidedPredictor(unet, guidance, controls), scheduler, latents, generators=generators))


def pipeline_arguments(guidance, seeds):
    generators = row_generators(seeds)
    return {
        "prompt_embeds": guidance.positive.embeddings,
        "negative_prompt_embeds": guidance.negative.embeddings,
        "latents": noise(generators, (4, 8, 8)),
        "generator": generators,
        "guidance_scale": float(guidance.scale[0]),
        "num_inference_steps": STEPS,
        "output_type": "latent",
    }


@pytest.mark.parametrize("spacing", ["leading", "linspace", "trailing"])
@pytest.mark.parametrize("name", [*SCHEDULER_NAMES, None])
def test_every_scheduler_gives_what_diffusers_pipeline_gives(networks, guided, scheduler_config, name, spacing):
    config = {**scheduler_config, "timestep_spacing": spacing}
    guidance, seeds = guided(2), [5, 6]
    pipeline = StableDiffusionPipeline(**networks.pipeline, scheduler=build_scheduler(name, config))
    pipeline.set_progress_bar_config(disable=True)
    own = {"eta": 0.3} if name == "tcd" else {}  # its class's own, and the paper's; the pipeline's is DDIM's
    expected = pipeline(**pipeline_arguments(guidance, seeds), **own).images
    got = run(networks.unet, guidance, config, name, seeds=seeds)[-1].latents
    assert torch.allclose(got, expected, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize("name", ["pndm", "euler-a"])
@pytest.mark.parametrize("guess", [False, True])
def test_a_control_branch_gives_what_diffusers_controlnet_pipeline_gives(
    networks, guided, scheduler_config, name, guess
):
    guidance, seeds = guided(2), [5, 6]
    picture = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    parts = {**networks.pipeline, "controlnet": networks.controlnet}
    pipeline = StableDiffusionControlNetPipeline(**parts, scheduler=build_scheduler(name, scheduler_config))
    pipeline.set_progress_bar_config(disable=True)
    expected = pipeline(
        **pipeline_arguments(guidance, seeds),
        image=picture.expand(2, -1, -1, -1),
        controlnet_conditioning_scale=0.7,
        control_guidance_end=0.5,
        guess_mode=guess,
    ).images
    branch = ControlBranch(networks.controlnet, picture, 0.7, Window(0, 0.5), conditional_only=guess)
    got = run(networks.unet, guidance, scheduler_config, name, seeds=seeds, controls=[branch])[-1].latents
    assert torch.allclose(got, expected, atol=1e-4 * float(expected.abs().max()))
    plain = run(networks.unet, guidance, scheduler_config, name, seeds=seeds)[-1].latents
    assert not torch.allclose(got, plain, atol=1e-2)


@pytest.mark.parametrize("name", SCHEDULER_NAMES)
def test_a_batch_equals_its_single_runs(tiny_unet, guided, scheduler_config, name):
    guidance, seeds = guided(3, [7.5, 1.0, 4.0]), [11, 12, 13]
    batch = run(tiny_unet, guidance, scheduler_config, name, seeds=seeds)[-1].latents
    for row, seed in enumerate(seeds):
        single = run(tiny_unet, guidance.select([row]), scheduler_config, name, seeds=[seed])[-1].latents
        assert torch.allclose(batch[row : row + 1], single, atol=1e-4 * float(single.abs().max()))


@pytest.mark.parametrize("name", SCHEDULER_NAMES)
def test_the_step_noise_of_a_row_is_bit_equal_in_every_batch(scheduler_config, name):
    def rows(seeds):
        scheduler = build_scheduler(name, scheduler_config)
        set_timesteps(scheduler, STEPS)
        generators = row_generators(seeds)
        latents = noise(generators, (4, 8, 8))
        *_, last = denoise(lambda x, moment: x * 0.5, scheduler, latents, generators=generators)
        return last.latents

    batch = rows([1, 2, 3])
    assert all(torch.equal(batch[row : row + 1], rows([row + 1])) for row in range(3))


@pytest.mark.parametrize("name", SCHEDULER_NAMES)
def test_a_run_leaves_its_scheduler_as_it_was_and_can_be_repeated(tiny_unet, guided, scheduler_config, name):
    scheduler = build_scheduler(name, scheduler_config)
    set_timesteps(scheduler, STEPS)
    latents = noise([1], (4, 8, 8))
    predict = GuidedPredictor(tiny_unet, guided(1))
    *_, first = denoise(predict, scheduler, latents, generators=row_generators([2]))
    next(denoise(predict, scheduler, latents, generators=row_generators([2])))  # stopped after one step
    *_, second = denoise(predict, scheduler, latents, generators=row_generators([2]))
    assert torch.equal(first.latents, second.latents)
    assert getattr(scheduler, "step_index", None) is None


def test_two_runs_side_by_side_do_not_disturb_each_other(tiny_unet, guided, scheduler_config):
    scheduler = build_scheduler("pndm", scheduler_config)
    set_timesteps(scheduler, STEPS)
    predict = GuidedPredictor(tiny_unet, guided(1))
    alone = [list(denoise(predict, scheduler, noise(seed, (4, 8, 8)))) for seed in (1, 2)]
    together = list(zip(*[denoise(predict, scheduler, noise(seed, (4, 8, 8))) for seed in (1, 2)], strict=True))
    for run_number in (0, 1):
        assert torch.equal(together[-1][run_number].latents, alone[run_number][-1].latents)


def test_steps_tell_where_the_run_is(tiny_unet, guided, scheduler_config):
    steps = run(tiny_unet, guided(1), scheduler_config, "pndm", seeds=[1], steps=5)
    assert [step.index for step in steps] == list(range(6))
    assert {step.count for step in steps} == {6}
    assert [int(step.timestep) for step in steps] == [801, 601, 601, 401, 201, 1]


@pytest.mark.parametrize("name", ["ddim", "euler", "dpm++2m-karras"])
def test_the_clean_latents_of_a_step_are_the_schedulers_own(tiny_unet, guided, scheduler_config, name):
    last = run(tiny_unet, guided(1, 1.0), scheduler_config, name, seeds=[1])[-1]
    assert torch.allclose(last.clean, last.latents, atol=0.05 * float(last.latents.abs().max()))


def test_the_clean_latents_of_a_run_that_predicts_them_are_the_prediction(scheduler_config):
    scheduler = build_scheduler("ddim", {**scheduler_config, "prediction_type": "sample"})
    set_timesteps(scheduler, 2)
    step = next(denoise(lambda x, moment: x * 0.5, scheduler, noise(1, (4, 8, 8))))
    assert torch.equal(step.clean, step.prediction)


def test_edits_see_each_step_and_their_result_is_kept(tiny_unet, guided, scheduler_config):
    scheduler = build_scheduler("ddim", scheduler_config)
    set_timesteps(scheduler, 4)
    seen = []

    def halve(latents, moment):
        seen.append(moment.index)
        return latents * 0.5

    latents = noise(1, (4, 8, 8))
    plain = next(denoise(GuidedPredictor(tiny_unet, guided(1)), scheduler, latents))
    edited = list(denoise(GuidedPredictor(tiny_unet, guided(1)), scheduler, latents, [halve, halve]))
    assert torch.equal(edited[0].latents, plain.latents * 0.25)
    assert seen == [0, 0, 1, 1, 2, 2, 3, 3]


def test_no_gradient_is_kept_and_none_is_switched_off_outside(tiny_unet, guided, scheduler_config):
    scheduler = build_scheduler("ddim", scheduler_config)
    set_timesteps(scheduler, 2)
    for step in denoise(GuidedPredictor(tiny_unet, guided(1)), scheduler, noise(1, (4, 8, 8))):
        assert torch.is_grad_enabled()
        assert not step.latents.requires_grad


def test_the_latents_that_were_given_stay_as_they_were(tiny_unet, guided, scheduler_config):
    scheduler = build_scheduler("euler", scheduler_config)
    set_timesteps(scheduler, 2)
    latents = noise(1, (4, 8, 8))
    list(denoise(GuidedPredictor(tiny_unet, guided(1)), scheduler, latents))
    assert torch.equal(latents, noise(1, (4, 8, 8)))


@pytest.mark.parametrize("name", ["euler-a", "lcm", "tcd"])
def test_a_scheduler_that_adds_noise_asks_for_its_generators(scheduler_config, name):
    scheduler = build_scheduler(name, scheduler_config)
    set_timesteps(scheduler, 2)
    assert draws_noise(scheduler)
    with pytest.raises(ConfigError, match="one generator for each of 2 rows"):
        next(denoise(lambda x, moment: x, scheduler, noise([1, 2], (4, 8, 8))))
    with pytest.raises(ConfigError, match="1 generators were given for 2 rows"):
        next(denoise(lambda x, moment: x, scheduler, noise([1, 2], (4, 8, 8)), generators=row_generators(1)))


def test_a_run_without_timesteps_is_refused(scheduler_config):
    with pytest.raises(ConfigError, match="set_timesteps"):
        next(denoise(lambda x, moment: x, build_scheduler("ddim", scheduler_config), noise(1, (4, 8, 8))))


def test_latents_that_are_not_finite_stop_the_run_and_name_the_step(scheduler_config):
    scheduler = build_scheduler("ddim", scheduler_config)
    set_timesteps(scheduler, 4)

    def predict(latents, moment):
        return latents * (float("inf") if moment.index == 2 else 1.0)

    with pytest.raises(NumericsError, match="step 3 of 4"):
        list(denoise(predict, scheduler, noise(1, (4, 8, 8))))


def test_the_loop_inverts_with_diffusers_inverse_scheduler(scheduler_config):
    forward = build_scheduler("ddim", scheduler_config)
    inverse = diffusers.DDIMInverseScheduler.from_config(forward.config)

    def predict(latents, moment):  # the exact noise of data with half the width of the noise
        kept = forward.alphas_cumprod[moment.timestep]
        return latents * (1 - kept).sqrt() / (kept * 0.25 + 1 - kept)

    for scheduler in (inverse, forward):
        set_timesteps(scheduler, 50)
    start = noise(1, (4, 8, 8)) * 0.5
    *_, inverted = denoise(predict, inverse, start)
    *_, back = denoise(predict, forward, inverted.latents)
    assert 0.9 < float(inverted.latents.std()) < 1.1
    assert float((back.latents - start).norm() / start.norm()) < 0.05
