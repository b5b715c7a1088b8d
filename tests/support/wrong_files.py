"""Files that fit nowhere: as what each is given, what it is, and what was expected."""

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

Content = bytes | dict[str, Tensor]


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
