"""The pipeline as people of diffusers call it: callbacks, schedulers and ControlNets."""

from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
)
from PIL import Image
from torch import Tensor

from blipdiff.errors import BlipdiffError, ConfigError, ImageError, ShapeError
from pipelines import BlipDiffusionControlNetPipeline, BlipDiffusionPipeline
from tests.support.face import STEPS, close, differ, draw, quiet, seeded
from tests.support.studios import counted
from tests.support.tiny_models import photo

pytest_plugins = ["tests.support.face_fixtures"]


# Deep features that are kept between calls


def test_cached_calls_are_those_of_the_request(pipe: BlipDiffusionPipeline) -> None:
    with counted(pipe.unet.mid_block) as middles:
        cached = draw(pipe, cache_interval=2, cache_branch=0)
        assert len(middles) == -(-len(pipe.scheduler.timesteps) // 2)
    assert differ(cached, draw(pipe))
    assert torch.equal(cached, draw(pipe, cache_interval=2, cache_branch=0))
    with pytest.raises(ConfigError, match="kept for 1 to 10 calls"):
        draw(pipe, cache_interval=0)


# Callbacks


def test_a_callback_sees_every_step_and_what_it_returns_goes_on(pipe: BlipDiffusionPipeline) -> None:
    seen: list[tuple[int, int, tuple[int, ...]]] = []

    def watch(given: Any, index: int, timestep: Tensor, values: dict[str, Any]) -> dict[str, Any]:
        assert given is pipe
        seen.append((index, int(timestep), tuple(values["latents"].shape)))
        return values

    plain = draw(pipe, callback_on_step_end=watch, callback_on_step_end_tensor_inputs=["latents"])
    assert torch.equal(plain, draw(pipe))
    assert seen == [(n, int(t), (1, 4, 8, 8)) for n, t in enumerate(pipe.scheduler.timesteps)]

    def flatten(_pipe: Any, index: int, _timestep: Tensor, values: dict[str, Any]) -> dict[str, Any]:
        return {"latents": torch.zeros_like(values["latents"])} if index == len(seen) - 1 else {}

    assert float(draw(pipe, callback_on_step_end=flatten, output_type="latent").abs().max()) == 0
    assert torch.equal(draw(pipe, callback_on_step_end=lambda *_: None), plain), "a callback may return nothing"


def test_a_callback_that_interrupts_stops_the_run_and_not_the_next_one(pipe: BlipDiffusionPipeline) -> None:
    steps: list[Tensor] = []

    def stop(given: Any, index: int, _timestep: Tensor, values: dict[str, Any]) -> dict[str, Any]:
        steps.append(values["latents"])
        given._interrupt = index == 1
        return values

    stopped = draw(pipe, callback_on_step_end=stop, num_inference_steps=10, output_type="latent")
    assert len(steps) == 2
    assert torch.equal(stopped, steps[-1])
    assert pipe.interrupt
    whole = draw(pipe)
    assert not pipe.interrupt
    assert torch.equal(whole, draw(pipe))


def test_callbacks_that_do_not_fit_are_refused(pipe: BlipDiffusionPipeline) -> None:
    with pytest.raises(ConfigError, match="latents, not prompt_embeds"):
        draw(pipe, callback_on_step_end_tensor_inputs=["latents", "prompt_embeds"])
    with pytest.raises(ShapeError, match="The callback returned"):
        draw(pipe, callback_on_step_end=lambda *_: {"latents": torch.zeros(1, 4, 4, 4)})


def test_an_error_in_a_callback_leaves_the_pipeline_fit_for_use(pipe: BlipDiffusionPipeline) -> None:
    before = draw(pipe)
    processors = list(pipe.unet.attn_processors.values())

    def fail(*_: Any) -> dict[str, Any]:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        draw(pipe, callback_on_step_end=fail)
    assert all(one is other for one, other in zip(processors, pipe.unet.attn_processors.values(), strict=True))
    assert torch.equal(draw(pipe), before)


# Schedulers


@pytest.mark.parametrize(
    "kind", [DDIMScheduler, EulerDiscreteScheduler, DPMSolverMultistepScheduler, EulerAncestralDiscreteScheduler]
)
def test_the_scheduler_can_be_swapped(pipe: BlipDiffusionPipeline, kind: Any) -> None:
    own = draw(pipe)
    pipe.scheduler = kind.from_config(pipe.scheduler.config)
    swapped = draw(pipe)
    assert differ(swapped, own)
    assert torch.equal(swapped, draw(pipe)), "a run leaves nothing in the scheduler"
    for steps in (0, 1001, 2.5):
        with pytest.raises(ConfigError, match="steps were asked for"):
            draw(pipe, num_inference_steps=steps)


# ControlNet


def test_both_spellings_of_the_conditioning_image_work(controlled: BlipDiffusionPipeline) -> None:
    plain, edges = draw(controlled), photo(3)
    right = draw(controlled, conditioning_image=edges)
    assert differ(right, plain)
    assert torch.equal(draw(controlled, condtioning_image=edges), right)
    assert torch.equal(draw(controlled, conditioning_image=[edges]), right)
    assert differ(draw(controlled, conditioning_image=photo(4)), right)
    third = quiet(BlipDiffusionControlNetPipeline.from_model(controlled.model))
    by_place = third("on a beach", photo(), edges, "dog", generator=seeded(), num_inference_steps=STEPS)
    picture = draw(controlled, conditioning_image=edges, output_type="pil")[0]
    assert np.array_equal(np.asarray(by_place.images[0]), np.asarray(picture))


def test_strength_and_window_say_how_much_and_when_the_control_counts(controlled: BlipDiffusionPipeline) -> None:
    plain, edges = draw(controlled), {"conditioning_image": photo(3)}
    full = draw(controlled, **edges)
    assert torch.equal(draw(controlled, **edges, controlnet_conditioning_scale=0.0), plain)
    assert differ(draw(controlled, **edges, controlnet_conditioning_scale=0.5), full)
    assert torch.equal(draw(controlled, **edges, control_guidance_end=0.0), plain)
    assert torch.equal(draw(controlled, **edges, control_guidance_start=1.0), plain)
    half = draw(controlled, **edges, control_guidance_end=0.5)
    assert differ(half, full)
    assert differ(half, plain)
    for wrong in (
        {"controlnet_conditioning_scale": -1.0},
        {"control_guidance_start": 0.6, "control_guidance_end": 0.5},
    ):
        with pytest.raises(ConfigError):
            draw(controlled, **edges, **wrong)


def test_guess_mode_leaves_the_unconditional_rows_alone(controlled: BlipDiffusionPipeline) -> None:
    edges = {"conditioning_image": photo(3)}
    guessed = draw(controlled, **edges, guess_mode=True)
    assert differ(guessed, draw(controlled, **edges))
    assert differ(guessed, draw(controlled))


def test_each_row_follows_its_own_conditioning_image(controlled: BlipDiffusionPipeline) -> None:
    prompts, edges = ["on a beach", "in the snow"], [photo(3), photo(4)]
    seeds = [seeded(seed) for seed in range(4)]
    together = draw(controlled, prompt=prompts, conditioning_image=edges, num_images_per_prompt=2, generator=seeds)
    for row in range(4):
        alone = draw(controlled, prompt=prompts[row // 2], conditioning_image=edges[row // 2], generator=seeded(row))
        assert close(together[row : row + 1], alone)


@pytest.mark.parametrize("count", [0, 2, 3, 5])
def test_conditioning_images_of_another_number_are_refused(controlled: BlipDiffusionPipeline, count: int) -> None:
    with pytest.raises(ShapeError, match=f"{count} conditioning images were given for 4 prompts"):
        draw(controlled, prompt=["a", "b", "c", "d"], conditioning_image=[photo(3)] * count)


def test_several_controlnets_each_follow_their_own_image(controlled: BlipDiffusionPipeline) -> None:
    net, edges = controlled.controlnet, photo(3)
    pipe = BlipDiffusionPipeline.from_model(controlled.model, controlnet=[net, net])
    whole = draw(controlled, control_image=edges)
    halves = draw(pipe, control_image=[edges, edges], controlnet_conditioning_scale=[0.5, 0.5])
    assert torch.allclose(halves, whole, atol=1e-4)
    first = draw(pipe, control_image=[edges, photo(4)], control_guidance_end=[1.0, 0.0])
    assert torch.equal(first, whole)
    with pytest.raises(ConfigError, match="3 control images were given for 2 ControlNets"):
        draw(pipe, control_image=[edges] * 3)
    with pytest.raises(ConfigError, match="save each"):
        pipe.save_pretrained("nowhere")


def test_a_conditioning_image_without_a_controlnet_is_refused(pipe: BlipDiffusionPipeline) -> None:
    with pytest.raises(ConfigError, match="has no ControlNet"):
        draw(pipe, conditioning_image=photo())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"generator": 3}, "The generator is 3; give a torch.Generator"),
        ({"generator": [3]}, r"The generator is \[3\]; give"),
        ({"num_images_per_prompt": 1.5}, "1.5 pictures per prompt"),
        ({"num_images_per_prompt": "2"}, "2 pictures per prompt"),
        ({"num_images_per_prompt": None}, "None pictures per prompt"),
        ({"height": "128"}, "The height is '128'; give whole pixels, in multiples of"),
        ({"width": 128.0}, "The width is 128.0; give whole pixels, in multiples of"),
        ({"prompt": 3}, "The prompt is 3; a text"),
        ({"negative_prompt": [None]}, "The negative_prompt is None; a text was expected"),
        ({"neg_prompt": 3}, "The neg_prompt is 3; a text was expected"),
    ],
)
def test_values_of_another_kind_are_named(pipe: BlipDiffusionPipeline, given: dict[str, Any], words: str) -> None:
    with pytest.raises(BlipdiffError, match=words):
        draw(pipe, **given)


def test_whole_numbers_may_be_numpys(pipe: BlipDiffusionPipeline) -> None:
    side = np.int64(pipe.unet.config.sample_size * 2 ** (len(pipe.vae.config.block_out_channels) - 1))
    assert torch.equal(draw(pipe, height=side, width=side, num_images_per_prompt=np.int64(1)), draw(pipe))


# Details


def cut(seed: int) -> Image.Image:
    layers = photo(seed, (32, 32)).convert("RGBA")
    layers.putalpha(Image.new("L", (32, 32)))
    layers.paste(photo(seed, (20, 20)), (6, 6))
    return layers


def test_details_are_read_from_each_prompts_own_photo(pipe: BlipDiffusionPipeline) -> None:
    plain = draw(pipe, reference_image=cut(0))
    assert torch.equal(draw(pipe, reference_image=cut(0), reference_detail=0.0), plain)
    read = draw(pipe, reference_image=cut(0), reference_detail=0.8)
    assert differ(read, plain)
    both = {"prompt": ["on a beach"] * 2, "reference_image": [cut(0), cut(1)], "generator": [seeded(0), seeded(0)]}
    first, _ = draw(pipe, **both, reference_detail=0.8)
    (alone,) = draw(pipe, prompt=["on a beach"], reference_image=cut(0), generator=seeded(0), reference_detail=0.8)
    assert close(first, alone)


def test_details_without_a_photo_are_refused(pipe: BlipDiffusionPipeline) -> None:
    with pytest.raises(ConfigError, match="from 0 to 1"):
        draw(pipe, reference_image=cut(0), reference_detail=1.5)
    with pytest.raises(ImageError, match="No subject was found"):
        draw(pipe, reference_image=Image.new("RGBA", (32, 32)), reference_detail=0.5)
