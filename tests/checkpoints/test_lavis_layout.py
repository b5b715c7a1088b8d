"""The original code's layout, there and back, and its fine-tuned checkpoints."""

import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import ControlNetModel
from torch import Tensor, nn

from blipdiff.checkpoints import convert, load_model, load_model_and_subject, save_model
from blipdiff.checkpoints.key_rules import old_vae_name, to_lavis
from blipdiff.errors import CheckpointError, ConfigError
from blipdiff.models.blip_diffusion import BlipDiffusion

PARTS = ("subject_encoder", "text_encoder", "unet", "vae")


def same(a: nn.Module, b: nn.Module) -> bool:
    ours, theirs = a.state_dict(), b.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def edit(path: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    tensors = torch.load(path, weights_only=True)
    change(tensors)
    torch.save(tensors, path)


def test_save_then_load_is_equal(tiny: BlipDiffusion, tiny_lavis: Path) -> None:
    again = load_model(tiny_lavis, dtype="stored")
    assert all(same(getattr(tiny, part), getattr(again, part)) for part in PARTS)
    assert again.subject_fingerprint == tiny.subject_fingerprint
    assert again.scheduler_config == tiny.scheduler_config


def test_names_and_shapes_are_the_originals(tiny: BlipDiffusion, tiny_lavis: Path) -> None:
    blip = torch.load(tiny_lavis / "blip_model" / "blip_weight.pt", weights_only=True)
    assert blip["visual_encoder.class_embedding"].shape == (12,)
    assert blip["visual_encoder.positional_embedding"].shape == (17, 12)
    assert "Qformer.bert.encoder.layer.0.crossattention.self.query.weight" in blip
    assert not any(name.startswith("proj_layer") for name in blip)
    assert set(torch.load(tiny_lavis / "proj_layer" / "proj_weight.pt", weights_only=True)) == {
        f"{part}.{kind}" for part in ("dense1", "dense2", "LayerNorm") for kind in ("weight", "bias")
    }
    vae = torch.load(tiny_lavis / "vae" / "diffusion_pytorch_model.bin", weights_only=True)
    assert set(vae) == {old_vae_name(name) for name in tiny.vae.state_dict()}
    assert any(".proj_attn." in name for name in vae)


def test_conversion_there_and_back_loses_nothing(tiny: BlipDiffusion, tiny_folder: Path, tmp_path: Path) -> None:
    lavis = convert(tiny_folder, tmp_path / "lavis", layout="lavis")
    back = load_model(convert(lavis, tmp_path / "back"), dtype="stored")
    assert all(same(getattr(tiny, part), getattr(back, part)) for part in PARTS)
    assert back.subject_fingerprint == tiny.subject_fingerprint
    half = load_model(convert(tiny_folder, tmp_path / "half", dtype=torch.bfloat16), dtype="stored")
    assert half.unet.dtype == torch.bfloat16
    assert half.subject_fingerprint == tiny.subject_fingerprint


def test_a_folder_without_sizes_borrows_them(tiny: BlipDiffusion, tiny_folder: Path, tiny_lavis: Path) -> None:
    for part in PARTS:
        folder = {"subject_encoder": "blip_model"}.get(part, part)
        (tiny_lavis / folder / "config.json").unlink()
    with pytest.raises(CheckpointError, match="of another shape"):
        load_model(tiny_lavis, dtype="stored")
    again = load_model(tiny_lavis, configs_from=tiny_folder, dtype="stored")
    assert all(same(getattr(tiny, part), getattr(again, part)) for part in PARTS)


def test_heads_of_the_first_training_stage_are_dropped_but_unexpected_keys_are_not(
    tiny: BlipDiffusion, tiny_lavis: Path
) -> None:
    path = tiny_lavis / "blip_model" / "blip_weight.pt"
    heads = ("Qformer.cls.predictions.bias", "vision_proj.weight", "text_proj.bias", "itm_head.weight", "temp")
    edit(path, lambda tensors: tensors.update({name: torch.zeros(3) for name in heads}))
    assert same(load_model(tiny_lavis, dtype="stored").subject_encoder, tiny.subject_encoder)
    edit(path, lambda tensors: tensors.update({"surprise.weight": torch.zeros(3)}))
    with pytest.raises(CheckpointError, match=r"1 unexpected: surprise\.weight"):
        load_model(tiny_lavis, dtype="stored")


def test_a_file_without_the_trunk_takes_clips(tiny: BlipDiffusion, tiny_lavis: Path) -> None:
    trunk: dict[str, Tensor] = {}

    def take(tensors: dict[str, Tensor]) -> None:
        for name in [name for name in tensors if name.startswith("visual_encoder.")]:
            trunk[name.removeprefix("visual_encoder.")] = tensors.pop(name)

    edit(tiny_lavis / "blip_model" / "blip_weight.pt", take)
    with pytest.raises(CheckpointError, match=r"no vision trunk.*clip_vit_L\.pth"):
        load_model(tiny_lavis, dtype="stored")
    last = {name.replace(".1.", ".2."): value for name, value in trunk.items() if ".resblocks.1." in name}
    unused = last | {"ln_post.weight": torch.ones(12), "proj": torch.ones(12, 9)}
    torch.save(trunk | unused, tiny_lavis / "blip_model" / "clip_vit_L.pth")
    assert same(load_model(tiny_lavis, dtype="stored").subject_encoder, tiny.subject_encoder)


@pytest.mark.parametrize("name", ["blip_model/blip_weight.pt", "proj_layer/proj_weight.pt", "unet", "tokenizer"])
def test_a_missing_part_is_named(name: str, tiny_lavis: Path) -> None:
    (tiny_lavis / name).rename(tiny_lavis / "gone")
    with pytest.raises(CheckpointError):
        load_model(tiny_lavis, dtype="stored")


@pytest.mark.parametrize("ending", ["tar", "tar.gz"])
def test_an_archive_is_read_and_leaves_nothing_behind(
    ending: str, tiny: BlipDiffusion, tiny_lavis: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tarfile.open(tmp_path / f"model.{ending}", "w:gz" if ending.endswith("gz") else "w") as tar:
        tar.add(tiny_lavis, "blip-diffusion")
    (tmp_path / "unpacked").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "unpacked"))
    again = load_model(tmp_path / f"model.{ending}", dtype="stored")
    assert same(again.unet, tiny.unet)
    assert list((tmp_path / "unpacked").iterdir()) == []


def test_an_archive_that_reaches_outside_is_refused(tmp_path: Path) -> None:
    (tmp_path / "evil.txt").touch()
    with tarfile.open(tmp_path / "model.tar", "w") as tar:
        tar.add(tmp_path / "evil.txt", "../../evil.txt")
    with pytest.raises(CheckpointError, match="not safe"):
        load_model(tmp_path / "model.tar", dtype="stored")
    (tmp_path / "noise.tar.gz").write_bytes(b"not an archive")
    with pytest.raises(CheckpointError, match="damaged"):
        load_model(tmp_path / "noise.tar.gz", dtype="stored")


def test_a_cached_subject_comes_beside_the_model(tiny: BlipDiffusion, tiny_lavis: Path) -> None:
    assert load_model_and_subject(tiny_lavis, dtype="stored")[1] is None
    cache = tiny_lavis / "ctx_embeddings_cache" / "ctx_embeddings_cache.pt"
    cache.parent.mkdir()
    tokens = torch.randn(1, 4, 16)
    torch.save(tokens, cache)
    model, subject = load_model_and_subject(tiny_lavis, category="dog", dtype="stored")
    assert subject is not None
    assert torch.equal(subject.tokens, tokens[0])
    assert subject.category == "dog"
    model.encode_prompts(["a dog"], [subject])
    torch.save(torch.randn(1, 4, 9), cache)
    with pytest.raises(CheckpointError, match="expected"):
        load_model_and_subject(tiny_lavis, dtype="stored")


def test_a_finetuned_file_is_laid_over_its_base(tiny: BlipDiffusion, tiny_folder: Path, tmp_path: Path) -> None:
    trained = {f"unet.{name}": value + 1 for name, value in tiny.unet.state_dict().items()}
    trained["ctx_embeddings_cache"] = torch.full((1, 4, 16), 0.5)
    torch.save({"model": trained, "epoch": 3, "config": {"run": "x"}}, tmp_path / "checkpoint_3.pth")
    with pytest.raises(CheckpointError, match="its base"):
        load_model(tmp_path / "checkpoint_3.pth", dtype="stored")
    model, subject = load_model_and_subject(
        tmp_path / "checkpoint_3.pth", base=tiny_folder, category="dog", dtype="stored"
    )
    assert torch.equal(model.unet.conv_in.weight, tiny.unet.conv_in.weight + 1)
    assert same(model.vae, tiny.vae)
    assert subject is not None
    assert float(subject.tokens.mean()) == 0.5
    assert model.subject_fingerprint == tiny.subject_fingerprint


def test_a_finetuned_subject_encoder_has_a_fingerprint_of_its_own(
    tiny: BlipDiffusion, tiny_folder: Path, tmp_path: Path
) -> None:
    own = {to_lavis(name) or name: value for name, value in tiny.subject_encoder.state_dict().items()}
    named = {name if name.startswith("proj_layer.") else f"blip.{name}": value + 1 for name, value in own.items()}
    torch.save({"model": named | {"blip.temp": torch.ones(())}}, tmp_path / "checkpoint_1.pth")
    model = load_model(tmp_path / "checkpoint_1.pth", base=tiny_folder, dtype="stored")
    assert torch.equal(model.subject_encoder.query_tokens, tiny.subject_encoder.query_tokens + 1)
    assert model.subject_fingerprint != tiny.subject_fingerprint


def test_a_finetuned_file_of_another_model_is_refused(tiny_folder: Path, tmp_path: Path) -> None:
    for tensors, words in [
        ({"other.weight": torch.zeros(2)}, "no part of the model"),
        ({"unet.surplus": torch.zeros(2)}, "1 unexpected"),
        ({"unet.conv_in.bias": torch.zeros(3)}, "of another shape"),
        ({"unet.conv_in.bias": torch.full((8,), float("nan"))}, "not-a-number"),
    ]:
        torch.save({"model": tensors}, tmp_path / "checkpoint_1.pth")
        with pytest.raises(CheckpointError, match=words):
            load_model(tmp_path / "checkpoint_1.pth", base=tiny_folder, dtype="stored")


def test_a_controlnet_has_no_place_in_the_layout(
    tiny: BlipDiffusion, controlnet: ControlNetModel, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match="no place for a ControlNet"):
        save_model(replace(tiny, controlnet=controlnet), tmp_path / "model", "lavis")
    with pytest.raises(ConfigError, match="not known"):
        save_model(tiny, tmp_path / "model", "onnx")  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
