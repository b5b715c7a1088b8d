"""The pipeline as people of diffusers call it: every argument, and what does not fit."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DiffusionPipeline,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    LCMScheduler,
    UNet2DConditionModel,
)
from PIL import Image
from torch import Tensor

from blipdiff.checkpoints import load_model, save_model
from blipdiff.conditioning.subject import SubjectEmbedding, SubjectPhoto
from blipdiff.errors import CheckpointError, ConfigError, ImageError, PromptError, ShapeError, SubjectError
from pipelines import BlipDiffusionControlNetPipeline, BlipDiffusionPipeline
from tests.pipelines.tiny_models import PIXELS, photo, tiny_controlnet, tiny_model

STEPS = 3


@pytest.fixture
def pipe() -> BlipDiffusionPipeline:
    return quiet(BlipDiffusionPipeline.from_model(tiny_model()))


@pytest.fixture
def controlled() -> BlipDiffusionPipeline:
    return quiet(BlipDiffusionPipeline.from_model(tiny_model(), controlnet=tiny_controlnet()))


def quiet(pipe: Any) -> Any:
    pipe.set_progress_bar_config(disable=True)
    return pipe


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator("cpu").manual_seed(seed)


def draw(pipe: BlipDiffusionPipeline, **changes: Any) -> Any:
    """Pictures (rows, 3, H, W) of a dog on a beach, unless something else is asked for."""
    asked: dict[str, Any] = {
        "prompt": "on a beach",
        "reference_image": photo(),
        "source_subject_category": "dog",
        "num_inference_steps": STEPS,
        "output_type": "pt",
    }
    if "latents" not in changes:
        asked["generator"] = seeded()
    return pipe(**asked | changes).images


def close(one: Tensor, other: Tensor, tolerance: float = 1e-4) -> bool:
    return one.shape == other.shape and float((one - other).abs().max()) <= tolerance


def differ(one: Tensor, other: Tensor) -> bool:
    return float((one - other).abs().max()) > 1e-3


# What comes out


def test_pictures_come_as_pil_numpy_torch_or_latents(pipe: BlipDiffusionPipeline) -> None:
    pixels = draw(pipe, output_type="pt")
    assert pixels.shape == (1, 3, PIXELS, PIXELS)
    assert 0 <= float(pixels.min()) < float(pixels.max()) <= 1
    array = draw(pipe, output_type="np")
    assert array.dtype == np.float32
    assert np.array_equal(array, pixels.permute(0, 2, 3, 1).numpy())
    picture = draw(pipe, output_type="pil")[0]
    assert isinstance(picture, Image.Image)
    assert np.abs(np.asarray(picture) / 255 - array[0]).max() <= 0.5 / 255 + 1e-6
    latents = draw(pipe, output_type="latent")
    assert latents.shape == (1, 4, PIXELS // 2, PIXELS // 2)
    with pytest.raises(ConfigError, match="choose pil, np, pt or latent"):
        draw(pipe, output_type="jpeg")


def test_without_return_dict_a_tuple_comes_back(pipe: BlipDiffusionPipeline) -> None:
    arguments: dict[str, Any] = {"num_inference_steps": 2, "output_type": "pt"}
    (alone,) = pipe("x", photo(), "dog", generator=seeded(), return_dict=False, **arguments)
    assert torch.equal(alone, pipe("x", photo(), "dog", generator=seeded(), **arguments).images)


def test_the_first_fourteen_arguments_stand_in_the_order_of_the_peer(pipe: BlipDiffusionPipeline) -> None:
    noise = torch.randn(1, 4, 8, 12, generator=seeded())
    by_place = pipe(
        ["on a beach"], [photo()], ["dog"], ["tiger"], noise, 3.0, 16, 24, 2, None, "snow", 0.5, 10, "pt", False
    )[0]
    by_name = pipe(
        prompt="on a beach",
        reference_image=photo(),
        source_subject_category="dog",
        target_subject_category="tiger",
        latents=noise,
        guidance_scale=3.0,
        height=16,
        width=24,
        num_inference_steps=2,
        neg_prompt="snow",
        prompt_strength=0.5,
        prompt_reps=10,
        output_type="pt",
    ).images
    assert by_place.shape == (1, 3, 16, 24)
    assert torch.equal(by_place, by_name)


@pytest.mark.parametrize(("height", "width"), [(16, 24), (10, 16), (6, 6)])
def test_the_size_may_be_any_multiple_of_the_factor(pipe: BlipDiffusionPipeline, height: int, width: int) -> None:
    assert draw(pipe, height=height, width=width).shape == (1, 3, height, width)


@pytest.mark.parametrize(("height", "width"), [(17, 16), (16, 15), (0, 16), (-16, 16), (16, 16.0)])
def test_a_size_that_does_not_divide_is_refused_with_the_nearest(
    pipe: BlipDiffusionPipeline, height: Any, width: Any
) -> None:
    with pytest.raises(ConfigError, match="multiples of 2"):
        draw(pipe, height=height, width=width)


# Noise


def test_a_seed_means_one_picture_and_generators_belong_to_rows(pipe: BlipDiffusionPipeline) -> None:
    assert torch.equal(draw(pipe, generator=seeded(3)), draw(pipe, generator=seeded(3)))
    assert differ(draw(pipe, generator=seeded(3)), draw(pipe, generator=seeded(4)))
    both = draw(pipe, generator=[seeded(3), seeded(4)], num_images_per_prompt=2)
    assert close(both, torch.cat([draw(pipe, generator=seeded(3)), draw(pipe, generator=seeded(4))]))
    swapped = draw(pipe, generator=[seeded(4), seeded(3)], num_images_per_prompt=2)
    assert close(swapped, both.flip(0))


def test_schedulers_that_add_noise_draw_it_from_the_row_of_each_generator(pipe: BlipDiffusionPipeline) -> None:
    pipe.scheduler = EulerAncestralDiscreteScheduler.from_config(pipe.scheduler.config)
    both = draw(pipe, generator=[seeded(3), seeded(4)], num_images_per_prompt=2)
    alone = [draw(pipe, generator=seeded(seed)) for seed in (3, 4)]
    assert close(both, torch.cat(alone))
    assert torch.equal(alone[0], draw(pipe, generator=seeded(3)))


def test_without_a_generator_the_global_seed_counts(pipe: BlipDiffusionPipeline) -> None:
    pipe.scheduler = LCMScheduler.from_config(pipe.scheduler.config)
    torch.manual_seed(5)
    first, second = draw(pipe, generator=None), draw(pipe, generator=None)
    torch.manual_seed(5)
    assert torch.equal(first, draw(pipe, generator=None))
    assert differ(first, second)


@pytest.mark.parametrize("count", [0, 1, 3, 5])
def test_generators_of_another_number_than_pictures_are_refused(pipe: BlipDiffusionPipeline, count: int) -> None:
    with pytest.raises(ConfigError, match=f"{count} generators were given for 4 pictures"):
        draw(pipe, prompt=["a", "b"], num_images_per_prompt=2, generator=[seeded(seed) for seed in range(count)])


def test_given_latents_are_used_and_left_as_they_were(pipe: BlipDiffusionPipeline) -> None:
    noise = torch.randn(1, 4, 8, 8, generator=seeded())
    kept = noise.clone()
    assert torch.equal(draw(pipe, latents=noise), draw(pipe))
    assert torch.equal(noise, kept)
    assert torch.equal(draw(pipe, latents=noise.double()), draw(pipe, latents=noise))
    for shape in ((2, 4, 8, 8), (1, 3, 8, 8), (1, 4, 8, 9), (4, 8, 8)):
        with pytest.raises(ShapeError, match="was expected"):
            draw(pipe, latents=torch.zeros(shape))


# Several pictures


def test_pictures_per_prompt_stand_together(pipe: BlipDiffusionPipeline) -> None:
    prompts = ["on a beach", "in the snow"]
    together = draw(pipe, prompt=prompts, num_images_per_prompt=2, generator=[seeded(seed) for seed in range(4)])
    for row, (prompt, seed) in enumerate(((prompts[0], 0), (prompts[0], 1), (prompts[1], 2), (prompts[1], 3))):
        assert close(together[row : row + 1], draw(pipe, prompt=prompt, generator=seeded(seed)))
    for number in (0, -1):
        with pytest.raises(ConfigError, match="at least 1"):
            draw(pipe, num_images_per_prompt=number)


def test_every_list_may_have_one_value_or_one_for_each_prompt(pipe: BlipDiffusionPipeline) -> None:
    prompts, generators = ["on a beach", "in the snow"], [0, 1]
    lists: dict[str, list[Any]] = {
        "reference_image": [photo(0), photo(1)],
        "source_subject_category": ["dog", "teapot"],
        "target_subject_category": ["tiger", "dog"],
        "neg_prompt": ["snow", "beach"],
        "guidance_scale": [3.0, 9.0],
    }
    together = draw(pipe, prompt=prompts, generator=[seeded(seed) for seed in generators], **lists)
    for row in range(2):
        own = {name: values[row] for name, values in lists.items()}
        assert close(together[row : row + 1], draw(pipe, prompt=prompts[row], generator=seeded(row), **own))
    ones = {name: values[:1] for name, values in lists.items()}
    plain = {name: values[0] for name, values in lists.items()}
    seeds = [seeded(0), seeded(1)]
    shared = draw(pipe, prompt=prompts, generator=seeds, **ones)
    assert torch.equal(shared, draw(pipe, prompt=prompts, generator=[seeded(0), seeded(1)], **plain))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("reference_image", [photo(0), photo(1), photo(2)]),
        ("reference_image", []),
        ("source_subject_category", ["dog"] * 3),
        ("target_subject_category", ["dog"] * 4),
        ("neg_prompt", ["a", "b", "c"]),
        ("neg_prompt", []),
        ("guidance_scale", [1.0, 2.0, 3.0]),
    ],
)
def test_a_list_of_another_length_is_refused_by_name(pipe: BlipDiffusionPipeline, name: str, values: list[Any]) -> None:
    with pytest.raises(PromptError, match=f"{len(values)} values were given for {name}; give 1 for all, or 2"):
        draw(pipe, prompt=["a", "b"], **{name: values})


def test_no_prompt_at_all_is_refused_and_an_empty_one_is_not(pipe: BlipDiffusionPipeline) -> None:
    with pytest.raises(PromptError, match="at least one"):
        draw(pipe, prompt=[])
    assert draw(pipe, prompt="").shape == (1, 3, PIXELS, PIXELS)


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
    for wrong in (np.zeros((32, 32, 3), np.uint8), torch.zeros(3, 32, 32), "dog.png", None, [[None]]):
        with pytest.raises(ImageError, match="a PIL picture"):
            draw(pipe, reference_image=wrong)
    with pytest.raises(SubjectError, match="at least one photo"):
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


# Components, folders and precision


def test_what_is_saved_is_loaded_and_draws_the_same_picture(controlled: BlipDiffusionPipeline, tmp_path: Path) -> None:
    controlled.save_pretrained(tmp_path / "saved")
    again = quiet(BlipDiffusionPipeline.from_pretrained(tmp_path / "saved"))
    edges = {"conditioning_image": photo(3)}
    assert torch.equal(draw(again, **edges), draw(controlled, **edges))
    assert again.config.subject_fingerprint == controlled.config.subject_fingerprint
    unet = UNet2DConditionModel.from_pretrained(tmp_path / "saved" / "unet")
    assert all(torch.equal(weight, again.unet.state_dict()[name]) for name, weight in unet.state_dict().items())
    for wish in ({"push_to_hub": True}, {"safe_serialization": False}, {"variant": "fp16"}):
        with pytest.raises(ConfigError, match=next(iter(wish))):
            controlled.save_pretrained(tmp_path / "other", **wish)
    assert not (tmp_path / "other").exists()


def test_the_way_through_lavis_layout_changes_no_picture(pipe: BlipDiffusionPipeline, tmp_path: Path) -> None:
    pipe.save_pretrained(tmp_path / "hub")
    save_model(pipe.model, tmp_path / "lavis", "lavis")
    model = load_model(
        tmp_path / "lavis", configs_from=tmp_path / "hub", qformer_tokenizer=tmp_path / "hub" / "qformer_tokenizer"
    )
    assert torch.equal(draw(quiet(BlipDiffusionPipeline.from_model(model))), draw(pipe))


def test_components_given_by_name_take_the_place_of_the_models(pipe: BlipDiffusionPipeline, tmp_path: Path) -> None:
    pipe.save_pretrained(tmp_path / "saved")
    unet, scheduler = tiny_model(1).unet, DDIMScheduler.from_config(pipe.scheduler.config)
    other = quiet(BlipDiffusionPipeline.from_pretrained(tmp_path / "saved", unet=unet, scheduler=scheduler))
    assert other.unet is unet
    assert other.scheduler is scheduler
    assert differ(draw(other), draw(pipe))
    encoder = tiny_model(1).subject_encoder
    swapped = BlipDiffusionPipeline.from_pretrained(tmp_path / "saved", qformer=encoder)
    assert swapped.config.subject_fingerprint == tiny_model(1).fingerprint
    assert swapped.config.subject_fingerprint != pipe.config.subject_fingerprint
    with pytest.raises(ConfigError, match="no components denoiser"):
        BlipDiffusionPipeline.from_pretrained(tmp_path / "saved", denoiser=unet)
    with pytest.raises(CheckpointError, match="There is no model at"):
        BlipDiffusionPipeline.from_pretrained(tmp_path / "nothing")


def test_it_is_a_diffusion_pipeline_like_any_other(pipe: BlipDiffusionPipeline) -> None:
    assert isinstance(pipe, DiffusionPipeline)
    assert {"unet", "vae", "text_encoder", "qformer", "scheduler", "controlnet"} <= set(pipe.components)
    again = quiet(BlipDiffusionPipeline(**pipe.components))
    assert torch.equal(draw(again), draw(pipe))
    assert again.config.subject_fingerprint == pipe.config.subject_fingerprint
    assert pipe.device == torch.device("cpu")
    pipe.vae.enable_slicing()
    pipe.vae.enable_tiling()
    pipe.enable_attention_slicing()
    assert close(draw(pipe), draw(again))


def test_bfloat16_comes_to_a_picture_near_the_float32_one(pipe: BlipDiffusionPipeline, tmp_path: Path) -> None:
    wanted = draw(pipe, output_type="np")
    pipe.save_pretrained(tmp_path / "saved")
    half = quiet(BlipDiffusionPipeline.from_pretrained(tmp_path / "saved", torch_dtype=torch.bfloat16))
    assert {part.dtype for part in (half.unet, half.vae, half.qformer, half.text_encoder)} == {torch.bfloat16}
    found = draw(half, output_type="np")
    assert found.dtype == np.float32
    assert np.abs(found - wanted).mean() < 0.05
    moved = draw(pipe.to(torch.bfloat16), output_type="pil")[0]
    assert np.asarray(moved).std() > 0


@pytest.mark.parametrize("part", ["unet", "vae", "qformer", "text_encoder", "controlnet"])
def test_one_part_may_have_another_dtype(controlled: BlipDiffusionPipeline, part: str) -> None:
    edges = {"conditioning_image": photo(3)}
    wanted = draw(controlled, **edges)
    getattr(controlled, part).to(torch.bfloat16)
    found = draw(controlled, **edges)
    assert found.dtype == torch.float32
    assert bool(torch.isfinite(found).all())
    assert float((found - wanted).abs().mean()) < 0.05


# Adapters


@pytest.fixture
def lora(pipe: BlipDiffusionPipeline, tmp_path: Path) -> Path:
    """A LoRA of the U-Net's attention, as diffusers' training scripts save one."""
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(r=2, lora_alpha=2, target_modules=["to_q", "to_v"], init_lora_weights=False)
    torch.manual_seed(0)
    trained = tiny_model().unet
    trained.add_adapter(config)
    layers = peft.get_peft_model_state_dict(trained)
    BlipDiffusionPipeline.save_lora_weights(tmp_path / "lora", unet_lora_layers=layers)
    return tmp_path / "lora"


def test_a_lora_is_loaded_scaled_switched_off_and_unloaded(pipe: BlipDiffusionPipeline, lora: Path) -> None:
    plain = draw(pipe)
    pipe.load_lora_weights(lora, adapter_name="mine")
    full = draw(pipe)
    assert differ(full, plain)
    pipe.set_adapters("mine", 0.5)
    assert differ(draw(pipe), full)
    pipe.set_adapters("mine", 0.0)
    assert close(draw(pipe), plain)
    pipe.set_adapters("mine", 1.0)
    pipe.disable_lora()
    assert torch.equal(draw(pipe), plain)
    pipe.enable_lora()
    assert torch.equal(draw(pipe), full)
    pipe.fuse_lora()
    assert close(draw(pipe), full, 1e-3)
    pipe.unfuse_lora()
    pipe.unload_lora_weights()
    assert close(draw(pipe), plain)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="offloading needs a GPU to offload from")
def test_offloading_changes_no_picture(pipe: BlipDiffusionPipeline) -> None:
    wanted = draw(pipe)
    pipe.enable_model_cpu_offload()
    assert close(draw(pipe).cpu(), wanted, 1e-2)
