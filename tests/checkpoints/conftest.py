"""A tiny model, made from nothing."""

import json
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel

from blipdiff.checkpoints import save_model
from blipdiff.checkpoints.configs import PNDM
from blipdiff.images import PhotoSettings
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.models.context_text_encoder import ContextTextEncoder
from blipdiff.models.identity import fingerprint
from blipdiff.models.sizes import QFormerSizes, SubjectEncoderSizes, TextSizes, VisionSizes
from blipdiff.models.subject_encoder import SubjectEncoder
from blipdiff.models.tokenizers import load_category_tokenizer, load_prompt_tokenizer

LETTERS = "abcdefghijklmnopqrstuvwxyz"
UNET = {
    "block_out_channels": (8, 16),
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    "layers_per_block": 1,
    "cross_attention_dim": 16,
    "attention_head_dim": 2,
    "norm_num_groups": 4,
    "sample_size": 8,
}
CONTROLNET = {name: value for name, value in UNET.items() if name not in ("up_block_types", "sample_size")}
VAE = {"block_out_channels": (8,), "norm_num_groups": 4, "sample_size": 16}


def write_vocabularies(folder: Path) -> None:
    words = folder / "tokenizer"
    words.mkdir(parents=True)
    pieces = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS), "do", "dog</w>", "<|startoftext|>", "<|endoftext|>"]
    (words / "vocab.json").write_text(json.dumps({piece: n for n, piece in enumerate(pieces)}))
    (words / "merges.txt").write_text("#version: 0.2\nd o\ndo g</w>\n")
    marks = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>"}
    (words / "tokenizer_config.json").write_text(json.dumps(marks | {"pad_token": "<|endoftext|>"}))
    category = folder / "qformer_tokenizer"
    category.mkdir()
    rows = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *(f"##{letter}" for letter in LETTERS), "dog"]
    (category / "vocab.txt").write_text("\n".join([*rows, ""]))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> BlipDiffusion:
    folder = tmp_path_factory.mktemp("vocabularies")
    write_vocabularies(folder)
    torch.manual_seed(0)
    encoder = SubjectEncoder(
        SubjectEncoderSizes(
            VisionSizes(width=12, depth=2, heads=2, mlp_width=24, patch=8, picture=32),
            QFormerSizes(width=16, depth=2, heads=2, mlp_width=32, vocabulary=60, positions=24, queries=4),
        )
    )
    return BlipDiffusion(
        subject_encoder=encoder,
        text_encoder=ContextTextEncoder(
            TextSizes(width=16, depth=2, heads=2, mlp_width=32, vocabulary=56, positions=20)
        ),
        prompt_tokenizer=load_prompt_tokenizer(folder / "tokenizer"),
        category_tokenizer=load_category_tokenizer(folder / "qformer_tokenizer"),
        unet=UNet2DConditionModel(**UNET),
        vae=AutoencoderKL(**VAE),
        scheduler_config=PNDM,
        photo=PhotoSettings(side=32),
        subject_fingerprint=fingerprint(encoder.state_dict()),
        name="tiny",
    )


@pytest.fixture(scope="session")
def controlnet() -> ControlNetModel:
    torch.manual_seed(1)
    return ControlNetModel(**CONTROLNET, conditioning_embedding_out_channels=(4, 8))


@pytest.fixture
def tiny_folder(tiny: BlipDiffusion, tmp_path: Path) -> Path:
    save_model(tiny, tmp_path / "tiny")
    return tmp_path / "tiny"


@pytest.fixture
def tiny_lavis(tiny: BlipDiffusion, tmp_path: Path) -> Path:
    save_model(tiny, tmp_path / "tiny-lavis", "lavis")
    return tmp_path / "tiny-lavis"
