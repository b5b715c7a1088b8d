"""Files that do not fit: each is answered in one sentence that says what it is and what would fit."""

import io
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save
from torch import Tensor

from blipdiff.checkpoints.additions import Additions, added
from blipdiff.errors import CheckpointError
from blipdiff.models.blip_diffusion import BlipDiffusion
from tests.support.brought import factors, sd_tensors, write_checkpoint, write_kohya
from tests.support.studios import state
from tests.support.tiny_models import tiny_model

Content = bytes | dict[str, Tensor]


@pytest.fixture(scope="module")
def model() -> BlipDiffusion:
    return tiny_model()


def t(*shape: int) -> Tensor:
    return torch.ones(*shape)


def lora(stem: str, width: int = 8) -> dict[str, Tensor]:
    return {f"{stem}.lora_down.weight": t(2, width), f"{stem}.lora_up.weight": t(8, 2), f"{stem}.alpha": t(1)}


def of_class() -> bytes:
    return pickle.dumps({"state_dict": Path("x")})


def torch_file(what: Any) -> bytes:
    place = io.BytesIO()
    torch.save(what, place)
    return place.getvalue()


def packed() -> bytes:
    place = io.BytesIO()
    with zipfile.ZipFile(place, "w") as archive:
        archive.writestr("readme.txt", "hello")
    return place.getvalue()


ATTENTION = "down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
UNET = "model.diffusion_model."
FIRST = f"{UNET}input_blocks.0.0.weight"
WORDS = f"{UNET}input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
LORA = "a LoRA for Stable Diffusion 1.5 was expected"
BASE = "a checkpoint of Stable Diffusion 1.5 was expected"
EMBEDDING = "an embedding for Stable Diffusion 1.5 was expected"
VAE = "a VAE for Stable Diffusion 1.5 was expected"
PLAIN = "a weights file was expected"

CASES: list[tuple[str, str, str, Content, str]] = [  # as what, file, what it is, content, what was expected
    (
        "loras",
        "xl.safetensors",
        "a LoRA for Stable Diffusion XL",
        lora("lora_te2_text_model_x") | lora("lora_unet_y"),
        LORA,
    ),
    ("loras", "xl2.safetensors", "a LoRA for Stable Diffusion XL", lora(f"lora_unet_{ATTENTION}", 2048), LORA),
    ("loras", "sd2.safetensors", "a LoRA for Stable Diffusion 2", lora(f"lora_unet_{ATTENTION}", 1024), LORA),
    ("loras", "flux.safetensors", "a LoRA for FLUX", lora("lora_unet_double_blocks_0_img_attn_proj"), LORA),
    (
        "loras",
        "flux2.safetensors",
        "a LoRA for FLUX",
        {"transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight": t(2, 8)},
        LORA,
    ),
    (
        "loras",
        "sd3.safetensors",
        "a LoRA for Stable Diffusion 3",
        lora("lora_unet_joint_blocks_0_context_block_attn_proj"),
        LORA,
    ),
    (
        "loras",
        "wan.safetensors",
        "a LoRA for a transformer model",
        {"diffusion_model.blocks.0.attn.q.lora_A.weight": t(2, 8)},
        LORA,
    ),
    (
        "loras",
        "loha.safetensors",
        "only one half is in it",
        {f"lora_unet_{ATTENTION}.hada_w1_a": t(8, 2), f"lora_unet_{ATTENTION}.hada_w1_b": t(2, 8)},
        "damaged or cut off",
    ),
    (
        "loras",
        "lokr.safetensors",
        "changes what this model does not have",
        {"lora_unet_x.lokr_w1": t(2, 2)},
        "made for another",
    ),
    (
        "loras",
        "ia3.safetensors",
        "an (IA)3 for Stable Diffusion 1.5, which is not read here",
        {"lora_unet_x.on_input": t(1)},
        LORA,
    ),
    (
        "loras",
        "oft.safetensors",
        "an OFT for Stable Diffusion 1.5, which is not read here",
        {"lora_unet_x.oft_blocks": t(2, 2)},
        LORA,
    ),
    (
        "loras",
        "other.safetensors",
        "changes what this model does not have",
        lora("lora_unet_down_blocks_9_attentions_0_proj_in"),
        "made for another",
    ),
    (
        "loras",
        "ldm.safetensors",
        "changes what this model does not have",
        lora("lora_unet_input_blocks_9_1_transformer_blocks_0_attn1_to_q"),
        "made for another",
    ),
    (
        "loras",
        "half.safetensors",
        "only one half is in it",
        {f"lora_unet_{ATTENTION}.lora_down.weight": t(2, 8)},
        "damaged or cut off",
    ),
    (
        "loras",
        "checkpoint.safetensors",
        "a checkpoint of Stable Diffusion 1.5",
        {FIRST: t(8, 4, 3, 3), WORDS: t(8, 768)},
        LORA,
    ),
    ("loras", "vae.safetensors", "a VAE", {"encoder.down.0.block.0.conv1.weight": t(8, 8, 3, 3)}, LORA),
    ("loras", "embedding.safetensors", "an embedding for Stable Diffusion 1.5", {"emb_params": t(2, 768)}, LORA),
    ("loras", "control.pth", "a ControlNet", {"control_model.input_hint_block.0.weight": t(8, 3, 3, 3)}, LORA),
    (
        "loras",
        "ip.bin",
        "an IP-Adapter",
        {"ip_adapter.1.to_k_ip.weight": t(8, 8), "image_proj.norm.weight": t(8)},
        LORA,
    ),
    ("loras", "t2i.pth", "a T2I-Adapter", {"body.0.resnets.0.block1.weight": t(8, 8, 3, 3)}, LORA),
    ("loras", "animate.ckpt", "AnimateDiff", {"down_blocks.0.motion_modules.0.proj.weight": t(8, 8)}, LORA),
    (
        "loras",
        "esrgan.pth",
        "an upscaler",
        {"model.0.weight": t(8, 3, 3, 3), "model.1.sub.0.RDB1.conv1.0.weight": t(8, 8, 3, 3)},
        LORA,
    ),
    (
        "loras",
        "odd.safetensors",
        "weights that are not known here, such as 'my.own.weight'",
        {"my.own.weight": t(2, 3, 4)},
        LORA,
    ),
    ("loras", "empty.safetensors", "an empty file", b"", PLAIN),
    ("loras", "page.safetensors", "a web page: the site answered", b"<!DOCTYPE html><html>log in</html>", PLAIN),
    ("loras", "model.gguf", "a GGUF file", b"GGUF\x03\x00\x00\x00", PLAIN),
    ("loras", "picture.safetensors", "a picture", b"\x89PNG\r\n\x1a\n" + bytes(40), PLAIN),
    ("loras", "text.json", "a text of JSON", b'{"a": 1}', PLAIN),
    (
        "loras",
        "pointer.safetensors",
        "only a Git LFS pointer",
        b"version https://git-lfs.github.com/spec/v1\n",
        "git lfs pull",
    ),
    ("loras", "packed.rar", "a packed archive", b"Rar!\x1a\x07\x01\x00", PLAIN),
    ("loras", "cut.safetensors", "damaged", save({"emb_params": t(64, 64)})[:900], "a whole file in safetensors"),
    ("loras", "cut.pt", "damaged", torch_file({"a": t(64, 64)})[:900], "damaged"),
    (
        "loras",
        "code.ckpt",
        "holds Python objects beside weights and is not opened",
        of_class(),
        "ask for the same in safetensors",
    ),
    ("loras", "zip.ckpt", "damaged", packed(), "a whole weights file"),
    ("loras", "nothing.pt", "holds no weights", torch_file({"epoch": 3}), "holds no weights"),
    (
        "base",
        "xl.safetensors",
        "a checkpoint of Stable Diffusion XL",
        {FIRST: t(8, 4, 3, 3), "conditioner.embedders.1.model.ln.weight": t(8)},
        BASE,
    ),
    (
        "base",
        "sd2.ckpt",
        "a checkpoint of Stable Diffusion 2",
        {FIRST: t(8, 4, 3, 3), "cond_stage_model.model.ln_final.weight": t(8)},
        BASE,
    ),
    (
        "base",
        "paint.safetensors",
        "an inpainting model (9 input channels, 4 are wanted)",
        {FIRST: t(8, 9, 3, 3), WORDS: t(8, 768)},
        BASE,
    ),
    (
        "base",
        "pix2pix.ckpt",
        "a model that edits by instructions (8 input channels",
        {FIRST: t(8, 8, 3, 3), WORDS: t(8, 768)},
        BASE,
    ),
    ("base", "flux.safetensors", "FLUX", {f"{UNET}double_blocks.0.img_attn.proj.weight": t(8, 8)}, BASE),
    (
        "base",
        "sd3.safetensors",
        "Stable Diffusion 3",
        {f"{UNET}joint_blocks.0.x_block.attn.proj.weight": t(8, 8)},
        BASE,
    ),
    ("base", "vae.safetensors", "a VAE", {"encoder.down.0.block.0.conv1.weight": t(8, 8, 3, 3)}, BASE),
    ("base", "lora.safetensors", "a LoRA for Stable Diffusion 1.5", lora(f"lora_unet_{ATTENTION}", 768), BASE),
    ("base", "words.pt", "an embedding for Stable Diffusion 1.5", {"emb_params": t(2, 768)}, BASE),
    (
        "base",
        "clip.safetensors",
        "a text encoder",
        {"text_model.encoder.layers.0.self_attn.q_proj.weight": t(8, 8)},
        BASE,
    ),
    ("base", "blip.safetensors", "BLIP-Diffusion's subject encoder", {"query_tokens": t(1, 16, 8)}, BASE),
    (
        "embeddings",
        "xl.safetensors",
        "an embedding for Stable Diffusion XL",
        {"clip_g": t(2, 1280), "clip_l": t(2, 768)},
        EMBEDDING,
    ),
    ("embeddings", "sd2.pt", "an embedding for Stable Diffusion 2", {"emb_params": t(2, 1024)}, EMBEDDING),
    (
        "embeddings",
        "lora.safetensors",
        "a LoRA for Stable Diffusion 1.5",
        lora(f"lora_unet_{ATTENTION}", 768),
        EMBEDDING,
    ),
    ("embeddings", "two.bin", "holds 2 embeddings", {"<a>": t(16), "<b>": t(16)}, "a file with one was expected"),
    (
        "embeddings",
        "wide.pt",
        "an embedding 12 wide, this model's words are 16 wide",
        {"emb_params": t(2, 12)},
        "for another model",
    ),
    (
        "vae",
        "xl.safetensors",
        "a checkpoint of Stable Diffusion XL",
        {"conditioner.embedders.1.model.ln.weight": t(8)},
        VAE,
    ),
    (
        "vae",
        "unet.safetensors",
        "a U-Net of Stable Diffusion 1.5",
        {"down_blocks.0.resnets.0.conv1.weight": t(8, 8, 3, 3)},
        VAE,
    ),
    ("vae", "lora.safetensors", "a LoRA for Stable Diffusion 1.5", lora(f"lora_unet_{ATTENTION}", 768), VAE),
    (
        "vae",
        "taesd_decoder.safetensors",
        "half of a tiny VAE",
        {"1.weight": t(8, 4, 3, 3), "3.conv.0.weight": t(8, 8, 3, 3)},
        VAE,
    ),
]


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
