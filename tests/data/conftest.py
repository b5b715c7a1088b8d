"""Small random networks that look at photos, as their files lie on the hub."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from transformers import (
    BlipConfig,
    BlipForConditionalGeneration,
    BlipForImageTextRetrieval,
    CLIPSegConfig,
    CLIPSegForImageSegmentation,
)

from blipdiff.checkpoints.configs import photo_config, write_json
from blipdiff.data import PairLibrary
from blipdiff.data.drawn import Drawing, build_scenes, build_subjects
from blipdiff.images import PhotoSettings
from blipdiff.training.vocabulary import train_category_tokenizer, train_prompt_tokenizer

SIDE = 64


def drawn(seed: int) -> np.ndarray:
    """A random two-coloured blob with alpha."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((90, 80, 4), np.uint8)
    colours = [(*(int(c) for c in rng.integers(40, 220, 3)), 255) for _ in range(3)]
    centre = (40, 45)
    cv2.ellipse(picture, centre, (36, int(rng.integers(20, 42))), int(rng.integers(180)), 0, 360, colours[0], -1)
    cv2.circle(picture, (int(rng.integers(25, 55)), int(rng.integers(30, 60))), 12, colours[1], -1)
    cv2.line(picture, (10, int(rng.integers(20, 70))), (70, int(rng.integers(20, 70))), colours[2], 5)
    return picture


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> PairLibrary:
    folder: Path = tmp_path_factory.mktemp("library")
    drawings = [
        Drawing(f"thing {i}", f"thing{i % 40}", ("fluent", "twemoji", "noto")[i % 3], lambda i=i: drawn(i))
        for i in range(150)
    ]
    build_subjects(folder, folder, SIDE, drawings=drawings)
    build_scenes(folder, 2, side=SIDE)
    return PairLibrary(folder)


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders `segmenter`, `captioner` and `matcher` of random networks, as their files lie on the hub."""
    folder = tmp_path_factory.mktemp("tools")
    torch.manual_seed(0)
    words = ["a photo of a dog", "a dog on grass", "a cat in the snow"]
    clip_words = train_prompt_tokenizer(words, folder / "segmenter", 600)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "num_hidden_layers": 2}
    ends = {"eos_token_id": clip_words.eos_token_id, "bos_token_id": clip_words.bos_token_id}
    config = CLIPSegConfig(
        text_config=sizes | {"vocab_size": len(clip_words), "projection_dim": 16} | ends,
        vision_config=sizes | {"image_size": 32, "patch_size": 8},
        projection_dim=16,
        reduce_dim=8,
        extract_layers=[0, 1],
        decoder_num_attention_heads=2,
        decoder_intermediate_size=16,
    )
    seeing = CLIPSegForImageSegmentation(config)
    with torch.no_grad():
        seeing.decoder.transposed_convolution.weight.mul_(400)  # random weights say 'perhaps' everywhere
    seeing.save_pretrained(folder / "segmenter")
    blip_words = train_category_tokenizer(words, folder / "captioner", 200)
    train_category_tokenizer(words, folder / "matcher", 200)
    marks = {"bos_token_id": blip_words.bos_token_id, "sep_token_id": blip_words.sep_token_id, "pad_token_id": 0}
    blip = BlipConfig(
        text_config=sizes
        | marks
        | {"vocab_size": len(blip_words), "encoder_hidden_size": 16, "max_position_embeddings": 64},
        vision_config=sizes | {"image_size": 32, "patch_size": 8},
        projection_dim=8,
        image_text_hidden_size=8,
    )
    BlipForConditionalGeneration(blip).save_pretrained(folder / "captioner")
    BlipForImageTextRetrieval(blip).save_pretrained(folder / "matcher")
    for name in ("segmenter", "captioner", "matcher"):
        write_json(folder / name / "preprocessor_config.json", photo_config(PhotoSettings(side=32)))
    return folder
