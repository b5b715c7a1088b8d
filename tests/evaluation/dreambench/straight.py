"""DreamBench's metrics in a straight line, by transformers alone: what the package's figures must be equal to.

python straight.py DATA RUN DINO CLIP prints DINO, CLIP-I and CLIP-T of all pictures in RUN/pictures.
"""

import re
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import CLIPImageProcessorPil, CLIPModel, CLIPTokenizerFast, ViTModel

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def dino_pixels(image: Image.Image, side: int) -> torch.Tensor:
    shorter = round(side * 256 / 224)
    w, h = image.size
    w, h = (shorter, int(shorter * h / w)) if w <= h else (int(shorter * w / h), shorter)
    image = image.resize((w, h), Image.BICUBIC)
    left, top = round((w - side) / 2), round((h - side) / 2)
    array = np.asarray(image.crop((left, top, left + side, top + side))) / 255
    return torch.tensor((array - MEAN) / STD).permute(2, 0, 1).float()[None]


@torch.no_grad()
def measure(data: Path, run: Path, dino_folder: Path, clip_folder: Path) -> dict[str, float]:
    dino = ViTModel.from_pretrained(dino_folder, add_pooling_layer=False).eval()
    clip = CLIPModel.from_pretrained(clip_folder).eval()
    processor = CLIPImageProcessorPil.from_pretrained(clip_folder)
    tokenizer = CLIPTokenizerFast.from_pretrained(clip_folder)

    def by_dino(path: Path) -> torch.Tensor:
        pixels = dino_pixels(Image.open(path).convert("RGB"), dino.config.image_size)
        return dino(pixels).last_hidden_state[0, 0]

    def by_clip(path: Path) -> torch.Tensor:
        pixels = processor(Image.open(path).convert("RGB"), return_tensors="pt").pixel_values
        return clip.get_image_features(pixels).pooler_output[0]

    def by_words(text: str) -> torch.Tensor:
        return clip.get_text_features(**tokenizer(text, return_tensors="pt")).pooler_output[0]

    text = (data / "prompts_and_classes.txt").read_text()
    objects, live = text.split("Live Subject Prompts")
    cosine = torch.nn.functional.cosine_similarity
    found: dict[str, list[float]] = {"DINO": [], "CLIP-I": [], "CLIP-T": []}
    for name, word in re.findall(r"^(\w+),([a-z ]+)$", text, re.M)[1:]:
        prompts = re.findall(r"'(a .*?)'\.format", live if word in ("cat", "dog") else objects)
        photos = sorted((data / name).glob("*.*"))
        for path in sorted((run / "pictures" / name).glob("*.png")):
            caption = prompts[int(path.name[:2])].replace("{0} {1}", word)
            found["DINO"].append(float(np.mean([cosine(by_dino(path), by_dino(one), dim=0) for one in photos])))
            found["CLIP-I"].append(float(np.mean([cosine(by_clip(path), by_clip(one), dim=0) for one in photos])))
            found["CLIP-T"].append(float(cosine(by_clip(path), by_words(caption), dim=0)))
    return {metric: float(np.mean(values)) for metric, values in found.items()}


if __name__ == "__main__":
    print(measure(*map(Path, sys.argv[1:])))
