"""Files that do not fit: each is answered in one sentence that says what it is and what would fit."""

import json
from pathlib import Path

import pytest
from safetensors.torch import save

from blipdiff.checkpoints.additions import Additions, added
from blipdiff.errors import CheckpointError
from blipdiff.models.blip_diffusion import BlipDiffusion
from tests.support.brought import factors, sd_tensors, write_checkpoint, write_kohya
from tests.support.studios import state
from tests.support.tiny_models import tiny_model
from tests.support.wrong_files import CASES, Content, t, torch_file


@pytest.fixture(scope="module")
def model() -> BlipDiffusion:
    return tiny_model()


def refused(model: BlipDiffusion, what: str, source: object) -> str:
    given = str(source) if what in ("base", "vae") else [str(source)]
    before = state(model)
    with pytest.raises(CheckpointError) as found:
        added(model, Additions.of(**{what: given}))
    assert state(model) == before
    text = str(found.value)
    assert "\n" not in text and len(text) < 600
    return text


@pytest.mark.parametrize(("what", "name", "kind", "content", "expected"), CASES, ids=[f"{c[0]}-{c[1]}" for c in CASES])
def test_a_wrong_file_is_named(
    model: BlipDiffusion, tmp_path: Path, what: str, name: str, kind: str, content: Content, expected: str
) -> None:
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_bytes(save(content) if path.suffix == ".safetensors" else torch_file({"state_dict": content}))
    text = refused(model, what, path)
    assert kind in text
    assert expected in text
    assert name in text


def test_there_are_forty_of_them_and_more() -> None:
    assert len({(what, kind) for what, _, kind, _, _ in CASES}) >= 40


@pytest.mark.parametrize("what", ["loras", "base", "embeddings", "vae"])
def test_what_is_not_there_is_asked_for(model: BlipDiffusion, tmp_path: Path, what: str) -> None:
    assert "give a file, a folder or a hub id" in refused(model, what, tmp_path / "none.safetensors")
    assert "nothing is fetched unless asked" in refused(model, what, "nobody/nothing")


def test_a_folder_says_what_it_lacks_and_what_it_holds_too_many_of(model: BlipDiffusion, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    assert "there is no LoRA in it, for no file ends in .safetensors" in refused(model, "loras", tmp_path / "none")
    (tmp_path / "two").mkdir()
    for name in "ab":
        write_kohya(factors(model), tmp_path / "two" / f"{name}.safetensors")
    assert "give one of them by its path" in refused(model, "loras", tmp_path / "two")
    assert "there is no unet/ in it; give one of its files: a.safetensors" in refused(model, "base", tmp_path / "two")
    assert "there is no config.json in it" in refused(model, "vae", tmp_path / "two")


@pytest.mark.parametrize(
    ("index", "inputs", "said"),
    [
        ("StableDiffusionXLPipeline", 4, "made for StableDiffusionXLPipeline; a checkpoint of Stable Diffusion 1.5"),
        ("FluxPipeline", 4, "made for FluxPipeline; a checkpoint of Stable Diffusion 1.5"),
        ("StableDiffusionPipeline", 9, "an inpainting model (9 input channels); a plain Stable Diffusion 1.5"),
    ],
)
def test_a_folder_of_another_pipeline_is_named(
    model: BlipDiffusion, tmp_path: Path, index: str, inputs: int, said: str
) -> None:
    (tmp_path / "unet").mkdir()
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": index}))
    (tmp_path / "unet" / "config.json").write_text(json.dumps({"in_channels": inputs}))
    assert said in refused(model, "base", tmp_path)


def test_a_checkpoint_of_another_size_is_named_by_its_tensors(model: BlipDiffusion, tmp_path: Path) -> None:
    parts = sd_tensors(model)
    parts["unet"]["conv_in.weight"] = t(12, 4, 3, 3)
    path = write_checkpoint(parts, tmp_path / "wide.safetensors")
    text = refused(model, "base", path)
    assert "of another shape: conv_in.weight [12, 4, 3, 3] instead of [8, 4, 3, 3]" in text


def test_a_lora_with_not_a_number_is_damaged(model: BlipDiffusion, tmp_path: Path) -> None:
    given = factors(model)
    key = next(iter(given))
    path = write_kohya({key: (given[key][0] * float("nan"), given[key][1])}, tmp_path / "nan.safetensors")
    assert "not-a-number or infinite values; the file is damaged" in refused(model, "loras", path)


def test_a_folder_of_stable_diffusion_2_is_named_by_its_unet(model: BlipDiffusion, tmp_path: Path) -> None:
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "config.json").write_text("{}")
    tensors = {"down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight": t(8, 1024)}
    (tmp_path / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(save(tensors))
    assert "holds a U-Net of Stable Diffusion 2; a checkpoint of Stable" in refused(model, "base", tmp_path)
