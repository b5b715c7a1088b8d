"""The pipeline as people of diffusers call it: components, folders, precision and adapters."""

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DiffusionPipeline,
    UNet2DConditionModel,
)

from blipdiff.checkpoints import load_model, save_model
from blipdiff.errors import CheckpointError, ConfigError
from pipelines import BlipDiffusionPipeline
from tests.support.face import close, differ, draw, quiet
from tests.support.tiny_models import photo, tiny_model

pytest_plugins = ["tests.support.face_fixtures"]


# Components, folders and precision


def test_what_is_saved_is_loaded_and_draws_the_same_picture(controlled: BlipDiffusionPipeline, tmp_path: Path) -> None:
    controlled.save_pretrained(tmp_path / "saved")
    again = quiet(BlipDiffusionPipeline.from_pretrained(tmp_path / "saved", torch_dtype="stored"))
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
        tmp_path / "lavis",
        configs_from=tmp_path / "hub",
        qformer_tokenizer=tmp_path / "hub" / "qformer_tokenizer",
        dtype="stored",
    )
    assert torch.equal(draw(quiet(BlipDiffusionPipeline.from_model(model))), draw(pipe))


def test_components_given_by_name_take_the_place_of_the_models(pipe: BlipDiffusionPipeline, tmp_path: Path) -> None:
    pipe.save_pretrained(tmp_path / "saved")
    unet, scheduler = tiny_model(1).unet, DDIMScheduler.from_config(pipe.scheduler.config)
    other = quiet(
        BlipDiffusionPipeline.from_pretrained(tmp_path / "saved", unet=unet, scheduler=scheduler, torch_dtype="stored")
    )
    assert other.unet is unet
    assert other.scheduler is scheduler
    assert differ(draw(other), draw(pipe))
    encoder = tiny_model(1).subject_encoder
    swapped = BlipDiffusionPipeline.from_pretrained(tmp_path / "saved", qformer=encoder, torch_dtype="stored")
    assert swapped.config.subject_fingerprint == tiny_model(1).subject_fingerprint
    assert swapped.config.subject_fingerprint != pipe.config.subject_fingerprint
    with pytest.raises(ConfigError, match="no argument denoiser; it has torch_dtype"):
        BlipDiffusionPipeline.from_pretrained(tmp_path / "saved", denoiser=unet, torch_dtype="stored")
    with pytest.raises(CheckpointError, match="There is no model at"):
        BlipDiffusionPipeline.from_pretrained(tmp_path / "nothing", torch_dtype="stored")


def test_a_component_that_is_none_is_named(pipe: BlipDiffusionPipeline) -> None:
    with pytest.raises(ConfigError, match="scheduler, vae was given as None; the ControlNet alone"):
        BlipDiffusionPipeline.from_model(pipe.model, vae=None, scheduler=None, controlnet=None)


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


def test_a_lora_is_another_model_until_it_is_unloaded(pipe: BlipDiffusionPipeline, lora: Path) -> None:
    own = pipe.model.identity
    pipe.load_lora_weights(lora, adapter_name="mine")
    assert pipe.model.identity.differing(own.told()) == ["U-Net"]
    pipe.unload_lora_weights()
    assert pipe.model.identity == own


@pytest.mark.skipif(not torch.cuda.is_available(), reason="offloading needs a GPU to offload from")
def test_offloading_changes_no_picture(pipe: BlipDiffusionPipeline) -> None:
    wanted = draw(pipe)
    pipe.enable_model_cpu_offload()
    assert close(draw(pipe).cpu(), wanted, 1e-2)
