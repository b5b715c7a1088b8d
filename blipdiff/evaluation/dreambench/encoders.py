"""The encoders that the benchmarks name, by transformers: DINO's ViT-S and CLIP's ViT-B/32."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize
from transformers import CLIPModel, ViTModel
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from blipdiff.checkpoints.detect import folder_of
from blipdiff.errors import CheckpointError
from blipdiff.evaluation.views import Floats
from blipdiff.foreign import foreign
from blipdiff.strict_networks import strict_network
from blipdiff.transformers_types import CLIPTokenizer, unwarned

DINO, DINO_PLUS, CLIP = "facebook/dino-vits16", "facebook/dino-vits8", "openai/clip-vit-base-patch32"
SIZES = {DINO: "87 MB", DINO_PLUS: "87 MB", CLIP: "605 MB"}
CROPPED, AS_CONFIGURED = "crop", "configured"
RESIZES = (CROPPED, AS_CONFIGURED)

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_LARGER = 256 / 224  # the side that is resized to, against the one that is cropped
_AT_ONCE = 16
_BLOCK = 1 << 20  # bytes


@dataclass(frozen=True, slots=True, eq=False)
class DinoEncoder:
    """DINO: what a picture shows, by the class token behind the last norm.

    resize: "crop" as DINO's own evaluation, the shorter side to 256 by bicubic interpolation and 224 from the middle;
    "configured" as the folder's preprocessor_config.json says
    """

    network: Any
    resize: str
    processor: Any
    key: str

    @torch.no_grad()
    def pictures(self, pictures: Sequence[Image.Image]) -> Floats:
        """(pictures, width), of length 1."""
        return _in_parts(pictures, self._features)

    @property
    def mean(self) -> tuple[int, int, int]:
        """The colour, from 0 to 255, that normalisation makes 0."""
        return _colour(_MEAN if self.resize == CROPPED else self.processor.image_mean)

    def _features(self, pictures: Sequence[Image.Image]) -> Tensor:
        if self.resize == CROPPED:
            side = int(self.network.config.image_size)
            pixels = torch.stack([_cropped(one, side) for one in pictures])
        else:
            pixels = self.processor(list(pictures), return_tensors="pt").pixel_values
        found = self.network(pixel_values=pixels.to(self.network.device))
        return found.last_hidden_state[:, 0]  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True, eq=False)
class ClipEncoder:
    """CLIP: pictures and captions in one space, pictures resized and cropped as its folder says."""

    network: Any
    processor: Any
    tokenizer: CLIPTokenizer
    key: str

    @torch.no_grad()
    def pictures(self, pictures: Sequence[Image.Image]) -> Floats:
        """(pictures, shared), of length 1."""
        return _in_parts(pictures, self._features)

    @torch.no_grad()
    def captions(self, captions: Sequence[str]) -> Floats:
        """(captions, shared), of length 1; a caption is read up to the model's last position."""
        longest = int(self.network.config.text_config.max_position_embeddings)
        words = self.tokenizer(
            list(captions), padding=True, truncation=True, max_length=longest, return_tensors="pt"
        ).to(self.network.device)
        return np.asarray(normalize(self.network.get_text_features(**words).pooler_output).cpu(), np.float32)

    @property
    def mean(self) -> tuple[int, int, int]:
        """The colour, from 0 to 255, that normalisation makes 0."""
        return _colour(self.processor.image_mean)

    def _features(self, pictures: Sequence[Image.Image]) -> Tensor:
        pixels = self.processor(list(pictures), return_tensors="pt").pixel_values
        return self.network.get_image_features(pixels.to(self.network.device)).pooler_output  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True, eq=False)
class Encoders:
    """Both. Pictures are scored by the same ones only if `key` is the same."""

    dino: DinoEncoder
    clip: ClipEncoder

    @property
    def key(self) -> str:
        """Weights, settings and the way of resizing in sixteen letters."""
        return hashlib.sha256(f"{self.dino.key} {self.dino.resize} {self.clip.key}".encode()).hexdigest()[:16]

    @classmethod
    def load(
        cls,
        dino: str = DINO,
        clip: str = CLIP,
        *,
        resize: str = CROPPED,
        device: torch.device | str = "cpu",
        download: bool = False,
    ) -> "Encoders":
        """From folders or hub ids, in float32; nothing is fetched unless `download` is true.

        Raises: CheckpointError for what is not there, incomplete or another kind of model.
        """
        places = {source: _place(source, what, download) for source, what in ((dino, "DINO"), (clip, "CLIP"))}
        return cls(_dino(places[dino], resize, device), _clip(places[clip], device))


def _place(source: str, what: str, download: bool) -> Path:
    try:
        return folder_of(source, download=download)
    except CheckpointError as reason:
        size = f" It is {SIZES[source]} large." if source in SIZES else ""
        flag = f"--{what.lower()}"
        raise CheckpointError(f"{what} is needed to score ({flag} FOLDER or HUB-ID). {reason}{size}") from reason


def _dino(folder: Path, resize: str, device: torch.device | str) -> DinoEncoder:
    with foreign(folder, "DINO's ViT in transformers' layout"), unwarned():
        network = strict_network(ViTModel, str(folder), "DINO", add_pooling_layer=False, local_files_only=True)
        processor = None if resize == CROPPED else ViTImageProcessorPil.from_pretrained(folder, local_files_only=True)
    return DinoEncoder(network.to(device).float().eval(), resize, processor, _key(folder))


def _clip(folder: Path, device: torch.device | str) -> ClipEncoder:
    with foreign(folder, "CLIP in transformers' layout"), unwarned():
        network = strict_network(CLIPModel, str(folder), "CLIP", local_files_only=True)
        processor = CLIPImageProcessorPil.from_pretrained(folder, local_files_only=True)
        tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    if len(tokenizer) <= len(tokenizer.all_special_tokens):  # transformers makes an empty one where there is none
        raise CheckpointError(
            f"{folder} has no words for CLIP: tokenizer.json, or vocab.json and merges.txt, is missing."
        )
    return ClipEncoder(network.to(device).float().eval(), processor, tokenizer, _key(folder))


def _key(folder: Path) -> str:
    """The settings and weights of a folder in sixteen letters."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix in (".json", ".safetensors", ".bin"):
            digest.update(path.name.encode())
            with path.open("rb") as file:
                while block := file.read(_BLOCK):
                    digest.update(block)
    return digest.hexdigest()[:16]


def _cropped(picture: Image.Image, side: int) -> Tensor:
    """(3, side, side), normalised: the shorter side resized, the middle cropped, as torchvision does it."""
    shorter = round(side * _LARGER)
    width, height = picture.size
    least = min(width, height)
    size = (int(shorter * width / least), int(shorter * height / least))
    resized = picture.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    left, top = (round((length - side) / 2) for length in size)
    pixels = np.asarray(resized.crop((left, top, left + side, top + side)), np.float32) / 255
    normal = (pixels - np.asarray(_MEAN, np.float32)) / np.asarray(_STD, np.float32)
    return torch.from_numpy(normal).permute(2, 0, 1)


def _in_parts(pictures: Sequence[Image.Image], features: Any) -> Floats:
    parts = [
        normalize(features([one.convert("RGB") for one in pictures[first : first + _AT_ONCE]]).float()).cpu()
        for first in range(0, len(pictures), _AT_ONCE)
    ]
    return np.asarray(torch.cat(parts), np.float32)


def _colour(mean: Sequence[float]) -> tuple[int, int, int]:
    red, green, blue = (round(255 * one) for one in mean)
    return red, green, blue
