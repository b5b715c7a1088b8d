"""Captions for photos: several are drawn, and those that a matcher accepts are kept.

Captioning and filtering (BLIP, Li et al. 2022, arXiv:2201.12086, sec. 3.3): captions that came with a photo have to
pass the same filter as drawn ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from PIL import Image
from transformers import BlipForConditionalGeneration, BlipForImageTextRetrieval

from blipdiff.checkpoints.configs import photo_settings, read_json
from blipdiff.foreign import foreign
from blipdiff.images import PhotoSettings, subject_pixels
from blipdiff.models.describer import Describer
from blipdiff.strict_networks import strict_network
from blipdiff.transformers_types import BertTokenizer

LONGEST, SHARE = 24, 0.9  # tokens of a caption; nucleus sampling's share


class Captioner(Protocol):
    """Draws captions; the same seed draws the same."""

    def captions(self, photo: Image.Image, count: int, seed: int) -> list[str]: ...


class Matcher(Protocol):
    """Says from 0 to 1 how well each text fits a photo."""

    def matches(self, photo: Image.Image, texts: Sequence[str]) -> list[float]: ...


@dataclass(frozen=True, slots=True)
class KeptCaptions:
    """What passed the filter, the best first, and how many texts did not."""

    captions: tuple[str, ...]
    refused: int


def captioned_and_filtered(
    photo: Image.Image,
    given: Sequence[str],
    captioner: Captioner,
    matcher: Matcher,
    *,
    count: int,
    least: float,
    seed: int,
) -> KeptCaptions:
    """Given and drawn captions whose match is `least` or more."""
    texts = list(dict.fromkeys(text for text in [*given, *captioner.captions(photo, count, seed)] if text.strip()))
    if not texts:
        return KeptCaptions((), 0)
    scored = sorted(zip(matcher.matches(photo, texts), texts, strict=True), key=lambda one: (-one[0], one[1]))
    kept = tuple(text for score, text in scored if score >= least)
    return KeptCaptions(kept, len(texts) - len(kept))


@dataclass(frozen=True, slots=True)
class BlipCaptioner:
    """BLIP's captioner by transformers."""

    network: Any
    tokenizer: BertTokenizer
    photo: PhotoSettings

    @torch.no_grad()
    def captions(self, photo: Image.Image, count: int, seed: int) -> list[str]:
        """`count` captions by nucleus sampling."""
        pixels = subject_pixels(photo, self.photo, fit="squash")[None].expand(count, -1, -1, -1)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            ids = self.network.generate(
                pixel_values=pixels.to(self.network.device), do_sample=True, top_p=SHARE, max_length=LONGEST
            )
        return [text.strip() for text in self.tokenizer.batch_decode(ids, skip_special_tokens=True)]


@dataclass(frozen=True, slots=True)
class BlipMatcher:
    """BLIP's matching head by transformers."""

    network: Any
    tokenizer: BertTokenizer
    photo: PhotoSettings

    @torch.no_grad()
    def matches(self, photo: Image.Image, texts: Sequence[str]) -> list[float]:
        """From 0 to 1, for each text."""
        pixels = subject_pixels(photo, self.photo, fit="squash")[None].expand(len(texts), -1, -1, -1)
        words = self.tokenizer(list(texts), padding=True, truncation=True, max_length=LONGEST * 2, return_tensors="pt")
        device = self.network.device
        found = self.network(
            input_ids=words.input_ids.to(device),
            attention_mask=words.attention_mask.to(device),
            pixel_values=pixels.to(device),
            use_itm_head=True,
        ).itm_score
        return [float(chance) for chance in found.float().softmax(dim=1)[:, 1]]


@dataclass(frozen=True, slots=True)
class DescriberCaptions:
    """A describer of this project as captioner and matcher in one."""

    describer: Describer

    def captions(self, photo: Image.Image, count: int, seed: int) -> list[str]:
        """`count` captions by nucleus sampling."""
        patches = self.describer.patches([photo]).expand(count, -1, -1)
        return self.describer.captions(patches, generator=torch.Generator().manual_seed(seed), share=SHARE)

    def matches(self, photo: Image.Image, texts: Sequence[str]) -> list[float]:
        """From 0 to 1, for each text."""
        patches = self.describer.patches([photo]).expand(len(texts), -1, -1)
        return [float(match) for match in self.describer.matches(patches, [self.describer.readable(t) for t in texts])]


def load_captioner(folder: Path, device: torch.device | str = "cpu") -> BlipCaptioner:
    """BLIP's captioner from its folder. Raises: CheckpointError when the folder holds none."""
    return BlipCaptioner(*_loaded(BlipForConditionalGeneration, folder, "BLIP captioner", device))


def load_matcher(folder: Path, device: torch.device | str = "cpu") -> BlipMatcher:
    """BLIP's matcher from its folder. Raises: CheckpointError when the folder holds none."""
    return BlipMatcher(*_loaded(BlipForImageTextRetrieval, folder, "BLIP matcher", device))


def _loaded(kind: Any, folder: Path, what: str, device: torch.device | str) -> tuple[Any, BertTokenizer, PhotoSettings]:
    with foreign(folder, f"a folder with a {what}"):
        network = strict_network(kind, str(folder), what, local_files_only=True)
        tokenizer = BertTokenizer.from_pretrained(folder, local_files_only=True)
    settings = photo_settings(read_json(folder / "preprocessor_config.json"), {})
    return network.to(device).eval(), tokenizer, settings
