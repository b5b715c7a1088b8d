"""Copies of benchmarks with painted photos, and encoders of random weights in the published layouts."""

from pathlib import Path

import torch
from transformers import CLIPConfig, CLIPModel, ViTConfig, ViTModel
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from blipdiff.training.vocabulary import train_prompt_tokenizer
from tests.support.tiny_models import WORDS, photo

OBJECTS = ("in the jungle", "floating on top of water")
LIVE = ("in the jungle", "wearing a red hat")
SUBJECTS = {"vase": "vase", "dog6": "dog", "wolf_plushie": "stuffed animal"}
PHOTOS = {"vase": 6, "dog6": 5, "wolf_plushie": 5}


def dreambench(folder: Path) -> Path:
    """Three of the published subjects, two prompts with 'a red ...' for each kind."""
    folder.mkdir(parents=True)
    for place, (name, count) in enumerate(PHOTOS.items()):
        (folder / name).mkdir()
        for number in range(count):
            picture = photo(10 * place + number).resize((64 + 7 * number, 60))
            picture.save(folder / name / f"{number:02}.jpg", quality=95)
    classes = "\n".join(f"{name},{word}" for name, word in SUBJECTS.items())
    (folder / "prompts_and_classes.txt").write_text(
        f"Classes\n\nsubject_name,class\n{classes}\n\nPrompts\n\nObject Prompts\n\n{_listed(OBJECTS)}\n\n"
        f"Live Subject Prompts\n\n{_listed(LIVE)}\n"
    )
    return folder


def _listed(prompts: tuple[str, ...]) -> str:
    texts = [*(f"'a {{0}} {{1}} {text}'" for text in prompts), "'a red {0} {1}'"]
    return "prompt_list = [\n" + ",\n".join(f"{one}.format(unique_token, class_token)" for one in texts) + "\n]"


def dreambench_plus(folder: Path) -> Path:
    """Two subjects in the layout of DreamBench++."""
    for number, (place, subject) in enumerate((("live_subject/animal", "kitten"), ("object", "Red Mug"))):
        (folder / "images" / place).mkdir(parents=True)
        (folder / "captions" / place).mkdir(parents=True)
        photo(number).resize((48, 48)).save(folder / "images" / place / "00.jpg")
        captions = [f"A {subject} sits on chair {one}." for one in range(8)]
        lines = [subject, *captions, f"Somebody paints the {subject}."]
        (folder / "captions" / place / "00.txt").write_text("\n".join(lines) + "\n")
    return folder


def encoders(folder: Path) -> tuple[Path, Path]:
    """DINO and CLIP, tiny and random."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    vit = ViTConfig(**sizes, image_size=28, patch_size=7, initializer_range=0.5)
    ViTModel(vit, add_pooling_layer=False).save_pretrained(folder / "dino")
    ViTImageProcessorPil(size={"height": 28, "width": 28}).save_pretrained(folder / "dino")
    tokenizer = train_prompt_tokenizer([*WORDS, *OBJECTS, *LIVE, *SUBJECTS.values()], folder / "words", 600)
    words = sizes | {"vocab_size": len(tokenizer), "max_position_embeddings": 32}
    words |= {"eos_token_id": tokenizer.eos_token_id, "bos_token_id": tokenizer.bos_token_id}
    vision = sizes | {"image_size": 16, "patch_size": 4, "initializer_factor": 8.0}
    CLIPModel(CLIPConfig(text_config=words, vision_config=vision, projection_dim=12)).save_pretrained(folder / "clip")
    CLIPImageProcessorPil(size={"shortest_edge": 16}, crop_size=16).save_pretrained(folder / "clip")
    tokenizer.save_pretrained(folder / "clip")
    return folder / "dino", folder / "clip"
