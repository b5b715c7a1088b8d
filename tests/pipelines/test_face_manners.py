"""The diffusers face as its users expect it: names, embeddings, callbacks, switches, identity, offloading."""

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import cpu_offload
from diffusers import DDIMScheduler, PNDMScheduler

from blipdiff.checkpoints import convert, load_model, save_model
from blipdiff.devices import placement
from blipdiff.errors import ConfigError, PromptError, ShapeError
from blipdiff.models.step_tables import StepTable, StepTables
from blipdiff.ranges import EVEN_STEPS
from pipelines import BlipDiffusionPipeline
from tests.support.face import close, differ, draw, quiet, seeded
from tests.support.tiny_models import photo, tiny_model

pytest_plugins = ["tests.support.face_fixtures"]

OWN = 2.5


@pytest.fixture
def modest() -> BlipDiffusionPipeline:
    """A pipeline whose model names a guidance of its own."""
    return quiet(BlipDiffusionPipeline.from_model(replace(tiny_model(), guidance=OWN)))


# Guidance


def test_the_models_own_guidance_is_drawn_at_and_a_given_one_is_kept(modest: BlipDiffusionPipeline) -> None:
    own = draw(modest)
    assert torch.equal(own, draw(modest, guidance_scale=OWN))
    assert differ(own, draw(modest, guidance_scale=7.5))
    assert modest.guidance_scale == 7.5
    assert modest.model.guidance == OWN


def test_a_pipeline_of_anothers_components_draws_as_that_one(modest: BlipDiffusionPipeline) -> None:
    again = BlipDiffusionPipeline(**modest.components)
    assert (again.model.guidance, again.model.insert_at, again.model.name) == (OWN, 2, modest.model.name)
    assert torch.equal(draw(again), draw(modest))
    assert BlipDiffusionPipeline(**modest.components, guidance_scale=5.0).model.guidance == 5.0


def test_guidance_outlives_saving_and_conversion(modest: BlipDiffusionPipeline, tmp_path: Path) -> None:
    modest.save_pretrained(tmp_path / "hub")
    assert BlipDiffusionPipeline.from_pretrained(tmp_path / "hub").config.guidance_scale == OWN
    model = replace(modest.model, insert_at=3, photo=replace(modest.model.photo, mean=(0.5, 0.5, 0.5)))
    save_model(model, tmp_path / "lavis", "lavis")
    back = load_model(convert(tmp_path / "lavis", tmp_path / "again"))
    assert (back.guidance, back.insert_at, back.photo) == (OWN, 3, model.photo)


# Speed


def test_a_speed_takes_the_place_of_scheduler_and_steps(modest: BlipDiffusionPipeline, tmp_path: Path) -> None:
    assert torch.equal(draw(modest, speed="fast"), draw(modest, speed="fast", num_inference_steps=3))
    assert modest.num_timesteps == EVEN_STEPS["fast"]
    assert type(modest.scheduler) is PNDMScheduler
    weights = {OWN: (((0.2, 0.8),), ((0.5, 0.5), (0.5, 0.6, -0.1)))}
    tables = StepTables((StepTable((999, 500), weights),), {"exact": 2, "balanced": 2, "fast": 2})
    fitted = quiet(BlipDiffusionPipeline.from_model(replace(modest.model, step_tables=tables)))
    draw(fitted, speed="exact")
    assert fitted.num_timesteps == 2
    fitted.save_pretrained(tmp_path / "fitted")
    assert BlipDiffusionPipeline.from_pretrained(tmp_path / "fitted").model.step_tables == tables
    with pytest.raises(ConfigError, match="Speed is 'slow'"):
        draw(modest, speed="slow")


# Words


def test_a_negative_prompt_goes_by_either_name_as_text_or_list(pipe: BlipDiffusionPipeline) -> None:
    wanted = draw(pipe, neg_prompt="snow", guidance_scale=5.0)
    assert torch.equal(draw(pipe, negative_prompt="snow", guidance_scale=5.0), wanted)
    assert torch.equal(draw(pipe, negative_prompt=["snow"], guidance_scale=5.0), wanted)
    assert differ(draw(pipe, guidance_scale=5.0), wanted)
    with pytest.raises(ConfigError, match="negative_prompt and neg_prompt"):
        draw(pipe, negative_prompt="snow", neg_prompt="beach")


def test_what_encode_prompt_gives_takes_the_place_of_words_and_photo(pipe: BlipDiffusionPipeline) -> None:
    wanted = draw(pipe, negative_prompt="snow", num_images_per_prompt=2)
    embeds, negative = pipe.encode_prompt("on a beach", photo(), "dog", negative_prompt="snow")
    given = {"prompt": None, "reference_image": None, "source_subject_category": "", "num_images_per_prompt": 2}
    assert torch.equal(draw(pipe, prompt_embeds=embeds, negative_prompt_embeds=negative, **given), wanted)
    plain = draw(pipe, prompt_embeds=embeds, **given)
    assert torch.equal(plain, draw(pipe, num_images_per_prompt=2))


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"prompt": None}, PromptError),
        ({"prompt_embeds": torch.zeros(1, 24, 16)}, PromptError),
        ({"prompt": None, "reference_image": None, "prompt_embeds": torch.zeros(24, 16)}, ShapeError),
        ({"prompt": None, "reference_image": None, "prompt_embeds": "words"}, ShapeError),
        ({"negative_prompt": "a", "negative_prompt_embeds": torch.zeros(1, 24, 16)}, PromptError),
        (
            {
                "prompt": None,
                "reference_image": None,
                "prompt_embeds": torch.zeros(1, 24, 16),
                "negative_prompt_embeds": torch.zeros(1, 20, 16),
            },
            ShapeError,
        ),
    ],
)
def test_words_and_embeddings_that_do_not_go_together_are_refused(
    given: dict[str, Any], error: type[Exception], pipe: BlipDiffusionPipeline
) -> None:
    with pytest.raises(error):
        draw(pipe, **given)


def test_a_prompt_that_does_not_fit_is_told_and_its_repetitions_are_not(pipe: BlipDiffusionPipeline) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw(pipe, prompt_reps=20)
    with pytest.warns(UserWarning, match="left out: .*snow"):
        draw(pipe, prompt="in the deep " + "snow " * 30)


# Callbacks and switches


def test_a_callback_reads_the_run_from_the_pipeline(pipe: BlipDiffusionPipeline) -> None:
    seen = []

    def callback(pipeline: Any, index: int, timestep: Any, given: Any) -> dict[str, Any]:
        seen.append((index, pipeline.num_timesteps, pipeline.guidance_scale))
        return {}

    draw(pipe, guidance_scale=4.0, callback_on_step_end=callback)
    assert seen == [(index, len(seen), 4.0) for index in range(len(seen))]
    assert len(seen) >= 3


def test_the_vaes_switches_are_the_pipelines_as_in_diffusers(pipe: BlipDiffusionPipeline) -> None:
    wanted = draw(pipe)
    pipe.enable_vae_slicing()
    pipe.enable_vae_tiling()
    assert pipe.vae.use_slicing
    assert pipe.vae.use_tiling
    assert close(draw(pipe), wanted)
    pipe.disable_vae_slicing()
    pipe.disable_vae_tiling()
    assert not pipe.vae.use_slicing
    assert not pipe.vae.use_tiling


# Placement


def test_a_folder_is_placed_as_the_command_line_places_it(pipe: BlipDiffusionPipeline, tmp_path: Path) -> None:
    pipe.save_pretrained(tmp_path / "saved")
    for asked in (None, "auto"):
        loaded = BlipDiffusionPipeline.from_pretrained(tmp_path / "saved", torch_dtype=asked)
        assert loaded.unet.dtype == placement().dtype
        assert loaded.device.type == placement().device.type
        assert loaded.unet.conv_in.weight.is_contiguous(memory_format=torch.channels_last)
    assert BlipDiffusionPipeline.from_pretrained(tmp_path / "saved", torch_dtype="stored").dtype == torch.float32
    for wrong in ("half", "int8", torch.int8, 7):
        with pytest.raises(ConfigError, match="choose auto, stored, float32"):
            BlipDiffusionPipeline.from_pretrained(tmp_path / "saved", torch_dtype=wrong)


@pytest.mark.skipif(torch.cuda.is_available(), reason="where there is a GPU, half precision is no mistake")
def test_float16_on_a_processor_comes_with_a_warning(pipe: BlipDiffusionPipeline, tmp_path: Path) -> None:
    pipe.save_pretrained(tmp_path / "saved")
    with pytest.warns(UserWarning, match="float16 is slow"):
        half = quiet(BlipDiffusionPipeline.from_pretrained(tmp_path / "saved", torch_dtype=torch.float16))
    assert half.unet.dtype == torch.float16
    with pytest.warns(UserWarning, match="float16 is slow"):
        draw(half, num_inference_steps=1)


# Identity


def test_another_subject_encoder_is_another_identity(pipe: BlipDiffusionPipeline) -> None:
    own, other = pipe.model.subject_fingerprint, tiny_model(1)
    pipe.qformer = other.subject_encoder
    assert pipe.model.subject_fingerprint == other.subject_fingerprint != own
    pipe.register_modules(qformer=tiny_model().subject_encoder)
    assert pipe.model.subject_fingerprint == own
    pipe.qformer.load_state_dict(other.subject_encoder.state_dict())
    assert pipe.model.subject_fingerprint == other.subject_fingerprint


def test_another_part_that_draws_is_another_identity(pipe: BlipDiffusionPipeline) -> None:
    own, other = pipe.model.identity, tiny_model(1)
    assert own == tiny_model().identity
    swaps = {"unet": other.unet, "vae": other.vae, "text_encoder": other.text_encoder}
    labels = {"unet": "U-Net", "vae": "VAE", "text_encoder": "text encoder", "scheduler": "scheduler settings"}
    swaps["scheduler"] = DDIMScheduler.from_config(pipe.scheduler.config)
    for name, part in swaps.items():
        before = pipe.components[name]
        setattr(pipe, name, part)
        assert pipe.model.identity.differing(own.told()) == [labels[name]]
        setattr(pipe, name, before)
    assert pipe.model.identity == own
    pipe.unet.load_state_dict(other.unet.state_dict())
    assert pipe.model.identity.differing(own.told()) == ["U-Net"]


def test_moving_is_no_change_of_identity(pipe: BlipDiffusionPipeline) -> None:
    own = pipe.model.identity
    assert pipe.to(torch.float16).model.identity == own


def test_what_a_pipeline_saves_is_the_same_model(pipe: BlipDiffusionPipeline, tmp_path: Path) -> None:
    pipe.unet.load_state_dict(tiny_model(1).unet.state_dict())
    pipe.save_pretrained(tmp_path / "saved")
    again = BlipDiffusionPipeline.from_pretrained(tmp_path / "saved", torch_dtype=torch.bfloat16)
    assert again.model.identity == pipe.model.identity


# Offloading


def test_weights_that_visit_their_device_layer_by_layer_change_no_picture(controlled: BlipDiffusionPipeline) -> None:
    edges = {"control_image": photo(3)}
    wanted, own = draw(controlled, **edges), controlled.model.subject_fingerprint
    for part in controlled.components.values():  # what enable_sequential_cpu_offload does, to the processor itself
        if isinstance(part, torch.nn.Module):
            cpu_offload(part, torch.device("cpu"), offload_buffers=len(part._parameters) > 0)
    assert next(controlled.unet.parameters()).is_meta
    assert next(controlled.qformer.parameters()).is_meta
    assert torch.equal(draw(controlled, **edges), wanted)
    assert controlled.model.subject_fingerprint == own


def test_networks_that_visit_their_device_one_by_one_change_no_picture(pipe: BlipDiffusionPipeline) -> None:
    wanted = draw(pipe)
    pipe.enable_model_cpu_offload(device="cpu")
    assert torch.equal(draw(pipe), wanted)
    assert torch.equal(draw(pipe, generator=seeded()), wanted)
