"""The pipeline as people of diffusers call it: results, sizes, noise and lists."""

from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    EulerAncestralDiscreteScheduler,
    LCMScheduler,
)
from PIL import Image

from blipdiff.errors import ConfigError, PromptError, ShapeError
from pipelines import BlipDiffusionPipeline
from tests.support.face import close, differ, draw, seeded
from tests.support.tiny_models import PIXELS, photo

pytest_plugins = ["tests.support.face_fixtures"]


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
