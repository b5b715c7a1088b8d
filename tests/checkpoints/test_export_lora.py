"""A learned subject's LoRA in other programs' layouts: diffusers' Stable Diffusion pipeline draws with both."""

from pathlib import Path

import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline
from safetensors import safe_open
from transformers import CLIPTextConfig, CLIPTextModel

from blipdiff.checkpoints.export_lora import export_lora
from blipdiff.checkpoints.lora import Lora, with_loras
from blipdiff.conditioning.subject_weights import Acting
from blipdiff.errors import ConfigError, SubjectError
from blipdiff.models.acting_weights import acting
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.moment import Moment
from tests.support.learned import card, lora, whole
from tests.support.tiny_models import tiny_model

LAYOUTS = ("diffusers", "kohya")


@pytest.fixture(scope="module")
def model() -> BlipDiffusion:
    return tiny_model()


def pipeline(model: BlipDiffusion) -> StableDiffusionPipeline:
    """Stable Diffusion with the model's U-Net, at its tiny sizes."""
    config = CLIPTextConfig(
        vocab_size=len(model.prompt_tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=24,
    )  # fmt: skip
    torch.manual_seed(0)
    found = StableDiffusionPipeline(
        vae=tiny_model().vae, text_encoder=CLIPTextModel(config).eval(), tokenizer=model.prompt_tokenizer,
        unet=tiny_model().unet, scheduler=DDIMScheduler(), safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
    )  # fmt: skip
    found.tokenizer.model_max_length = 24
    found.set_progress_bar_config(disable=True)
    return found


def said(unet: torch.nn.Module) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    latents, words = torch.randn(1, 4, 8, 8, generator=generator), torch.randn(1, 24, 16, generator=generator)
    with torch.no_grad():
        return unet(latents, 500, words, return_dict=False)[0]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_stable_diffusion_in_diffusers_loads_it_and_says_the_same(model: BlipDiffusion, layout, tmp_path: Path) -> None:
    weights = lora(model)
    path = export_lora(card(model, weights), tmp_path / "dog.safetensors", layout)
    pipe = pipeline(model)
    plain = said(pipe.unet)
    pipe.load_lora_weights(path)
    with acting(model.unet, [(Acting(weights),)], [0], Moment(0, 1, torch.tensor(500)), (8, 8)):
        wanted = said(model.unet)
    assert torch.allclose(said(pipe.unet), wanted, atol=1e-3)
    pipe(prompt="a dog", num_inference_steps=2, height=16, width=16, output_type="np")
    pipe.unload_lora_weights()
    assert torch.equal(said(pipe.unet), plain)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_our_own_reader_of_foreign_files_reads_it(model: BlipDiffusion, layout, tmp_path: Path) -> None:
    weights = lora(model)
    path = export_lora(card(model, weights), tmp_path / "dog.safetensors", layout)
    with acting(model.unet, [(Acting(weights),)], [0], Moment(0, 1, torch.tensor(500)), (8, 8)):
        wanted = said(model.unet)
    with with_loras(model, [Lora(str(path))]):
        assert torch.allclose(said(model.unet), wanted, atol=1e-3)


def test_its_metadata_are_those_that_others_read(model: BlipDiffusion, tmp_path: Path) -> None:
    path = export_lora(card(model, lora(model)), tmp_path / "dog.safetensors", "kohya")
    with safe_open(path, "pt") as file:
        found = file.metadata()
    assert found["modelspec.sai_model_spec"] == "1.0.1"
    assert found["modelspec.architecture"] == "stable-diffusion-v1/lora"
    assert {"modelspec.implementation", "modelspec.title", "modelspec.resolution"} <= set(found)
    assert (found["ss_network_dim"], found["ss_network_module"]) == ("4", "networks.lora")


def test_what_is_no_lora_is_refused(model: BlipDiffusion, tmp_path: Path) -> None:
    for weights in (None, whole(model)):
        with pytest.raises(SubjectError, match="a LoRA is exported"):
            export_lora(card(model, weights), tmp_path / "dog.safetensors", "kohya")
    with pytest.raises(ConfigError, match="choose one of"):
        export_lora(card(model, lora(model)), tmp_path / "dog.safetensors", "onnx")  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
