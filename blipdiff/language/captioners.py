"""Captions for photos, their match with texts, and which patches a text is about: by a describer, or by BLIP.

Captions may be spoken of some patches alone, as Plug-and-Play VQA does (arXiv:2210.08773, sec. 3.3).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional
from transformers import BlipForConditionalGeneration, BlipForImageTextRetrieval

from blipdiff.checkpoints.configs import photo_settings, read_json
from blipdiff.foreign import foreign
from blipdiff.images import PhotoFit, PhotoSettings, subject_pixels
from blipdiff.language.answers import LIKELIEST, Speaking
from blipdiff.language.relevance import gains, shares, watched
from blipdiff.models.describer import Describer
from blipdiff.models.tokenizers import category_ids
from blipdiff.strict_networks import strict_network
from blipdiff.transformers_types import BertTokenizer

LONGEST = 24  # tokens of a caption
MOST_WORDS = 50  # of which a caption of patches draws each, as the paper's code does


class Captioner(Protocol):
    """Speaks captions of photos; the same seed speaks the same."""

    def captions(self, photo: Image.Image, count: int, speaking: Speaking) -> list[str]:
        """The likeliest one, or `count` drawn ones."""
        ...


class PatchCaptioner(Captioner, Protocol):
    """Speaks captions of some of a photo's patches."""

    @property
    def sides(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        ...

    def captions_of(self, photo: Image.Image, chosen: Tensor, seed: int) -> list[str]:
        """A drawn caption for each row of patches: chosen (captions, patches), their numbers from 0."""
        ...


class Matcher(Protocol):
    """Says from 0 to 1 how well each text fits a photo."""

    def matches(self, photo: Image.Image, texts: Sequence[str]) -> list[float]: ...


class PatchMatcher(Matcher, Protocol):
    """Says which patches a text is about."""

    def relevance(self, photo: Image.Image, text: str) -> Tensor:
        """Shares of the patches (rows, columns), of sum 1."""
        ...


@dataclass(frozen=True, slots=True)
class BlipCaptioner:
    """BLIP's captioner by transformers."""

    network: Any
    tokenizer: BertTokenizer
    photo: PhotoSettings

    @property
    def sides(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        return patch_sides(self.network)

    @torch.no_grad()
    def captions(self, photo: Image.Image, count: int, speaking: Speaking = LIKELIEST) -> list[str]:
        """By transformers' own `generate`."""
        pixels = subject_pixels(photo, self.photo, fit="squash")[None].expand(count, -1, -1, -1)
        with drawing(speaking.seed):
            ids = self.network.generate(pixel_values=pixels.to(self.network.device), **_captioning(count, speaking))
        return self._texts(ids)

    @torch.no_grad()
    def captions_of(self, photo: Image.Image, chosen: Tensor, seed: int) -> list[str]:
        """As the paper's code: words are drawn among the likeliest fifty."""
        pixels = subject_pixels(photo, self.photo, fit="squash")[None].to(self.network.device)
        patches = self.network.vision_model(pixel_values=pixels).last_hidden_state[0, 1:]  # without the class row
        words = self.network.config.text_config
        begin = torch.full((len(chosen), 1), words.bos_token_id, device=self.network.device)
        with drawing(seed):
            ids = self.network.text_decoder.generate(
                input_ids=begin,
                encoder_hidden_states=patches[chosen.to(patches.device)],
                encoder_attention_mask=torch.ones_like(chosen, device=patches.device),
                eos_token_id=words.sep_token_id,
                pad_token_id=words.pad_token_id,
                do_sample=True,
                top_k=MOST_WORDS,
                top_p=1.0,
                max_length=LONGEST,
            )
        return self._texts(ids)

    def _texts(self, ids: Tensor) -> list[str]:
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
        return [float(chance) for chance in self.scores(photo, texts).float().softmax(dim=1)[:, 1]]

    def scores(self, photo: Image.Image, texts: Sequence[str]) -> Tensor:
        """Of 'another picture' and 'this one', for each text: (texts, 2)."""
        pixels = subject_pixels(photo, self.photo, fit="squash")[None].expand(len(texts), -1, -1, -1)
        words = self.tokenizer(list(texts), padding=True, truncation=True, max_length=LONGEST * 2, return_tensors="pt")
        device = self.network.device
        found: Tensor = self.network(
            input_ids=words.input_ids.to(device),
            attention_mask=words.attention_mask.to(device),
            pixel_values=pixels.to(device),
            use_itm_head=True,
        ).itm_score
        return found

    @torch.no_grad()
    def likenesses(self, photo: Image.Image, texts: Sequence[str]) -> Tensor:
        """Image-text contrast: the cosine of the photo with each text, (texts,)."""
        network = self.network
        pixels = subject_pixels(photo, self.photo, fit="squash")[None].to(network.device)
        seen = network.vision_proj(network.vision_model(pixel_values=pixels).last_hidden_state[:, 0])
        found = []
        for first in range(0, len(texts), 64):
            words = self.tokenizer(list(texts[first : first + 64]), padding=True, return_tensors="pt").to(
                network.device
            )
            rows = network.text_encoder(input_ids=words.input_ids, attention_mask=words.attention_mask)
            found.append(functional.cosine_similarity(network.text_proj(rows.last_hidden_state[:, 0]), seen))
        return torch.cat(found)

    def relevance(self, photo: Image.Image, text: str) -> Tensor:
        """GradCAM in the eighth cross-attention layer of twelve, the mean over words (the paper, sec. 3.2)."""
        layers = self.network.text_encoder.encoder.layer
        layer = layers[relevant_layer(len(layers))].crossattention.self
        with torch.enable_grad(), watched([layer], layer.num_attention_heads, blip_rows) as seen:
            score = self.scores(photo, [text])[0, 1]
            found = gains(score, seen[0])[0].mean(dim=0)  # (words, patches)
        return shares(found[1:-1].mean(dim=0) if len(found) > 2 else found[0], patch_sides(self.network))


@dataclass(frozen=True, slots=True)
class DescriberCaptions:
    """A describer of this project as captioner and matcher in one."""

    describer: Describer
    fit: PhotoFit = "pad"

    @property
    def sides(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        vision = self.describer.network.sizes.vision
        return vision.picture // vision.patch, vision.picture // vision.patch

    def captions(self, photo: Image.Image, count: int, speaking: Speaking = LIKELIEST) -> list[str]:
        """The likeliest one, or `count` by nucleus sampling."""
        patches = self.describer.patches([photo], fit=self.fit).expand(count, -1, -1)
        drawn = count > 1 or speaking.temperature > 0
        generator = torch.Generator().manual_seed(speaking.seed) if drawn else None
        return self.describer.captions(patches, generator=generator, share=speaking.share)

    def captions_of(self, photo: Image.Image, chosen: Tensor, seed: int) -> list[str]:
        """By nucleus sampling."""
        patches = self.describer.patches([photo], fit=self.fit)[0, 1:]  # without the class row
        generator = torch.Generator().manual_seed(seed)
        return self.describer.captions(patches[chosen.to(patches.device)], generator=generator)

    def matches(self, photo: Image.Image, texts: Sequence[str]) -> list[float]:
        """From 0 to 1, for each text."""
        patches = self.describer.patches([photo], fit=self.fit).expand(len(texts), -1, -1)
        return [float(match) for match in self.describer.matches(patches, [self.describer.readable(t) for t in texts])]

    def relevance(self, photo: Image.Image, text: str) -> Tensor:
        """GradCAM in the Q-Former's cross-attention, the mean over its queries."""
        describer, network = self.describer, self.describer.network
        ids, mask = category_ids(describer.tokenizer, [describer.readable(text)], network.sizes.qformer.positions)
        stack: Any = network.encoder.layer
        layers = [layer.crossattention.attention for layer in stack]
        patches = describer.patches([photo], fit=self.fit)
        with torch.enable_grad(), watched(layers, network.sizes.qformer.heads, _qformer_rows) as seen:
            score = network.itm(patches, ids.to(network.device), mask.to(network.device))[0, 1]
            found = [gains(score, attention)[0].mean(dim=(0, 1)) for attention in seen]
        return shares(found[relevant_layer(len(layers))], self.sides)


def relevant_layer(depth: int) -> int:
    """The layer that is looked into: the eighth of twelve in the paper, two thirds of the way up elsewhere."""
    return max(0, round(depth * 2 / 3) - 1)


def patch_sides(network: Any) -> tuple[int, int]:
    """Rows and columns of patches of one of transformers' networks with a vision model."""
    vision = network.config.vision_config
    return vision.image_size // vision.patch_size, vision.image_size // vision.patch_size


@contextmanager
def drawing(seed: int) -> Iterator[None]:
    """Random numbers from a seed, for transformers' `generate`, which takes those of torch; torch's own stay."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def load_captioner(folder: Path, device: torch.device | str = "cpu") -> BlipCaptioner:
    """BLIP's captioner from its folder. Raises: CheckpointError when the folder holds none."""
    return BlipCaptioner(*loaded_blip(BlipForConditionalGeneration, folder, "BLIP captioner", device))


def load_matcher(folder: Path, device: torch.device | str = "cpu") -> BlipMatcher:
    """BLIP's matcher from its folder. Raises: CheckpointError when the folder holds none."""
    return BlipMatcher(*loaded_blip(BlipForImageTextRetrieval, folder, "BLIP matcher", device))


def loaded_blip(
    kind: Any, folder: Path, what: str, device: torch.device | str
) -> tuple[Any, BertTokenizer, PhotoSettings]:
    """One of BLIP's networks with its words and how it takes photos. Raises: CheckpointError."""
    with foreign(folder, f"a folder with a {what}"):
        network = strict_network(kind, str(folder), what, local_files_only=True)
        tokenizer = BertTokenizer.from_pretrained(folder, local_files_only=True)
    settings = photo_settings(read_json(folder / "preprocessor_config.json"), {})
    return network.to(device).eval().requires_grad_(False), tokenizer, settings


def _captioning(count: int, speaking: Speaking) -> dict[str, Any]:
    """Options of `generate`: several captions are drawn, since the likeliest ones would all be one."""
    options = speaking.several(count).options()
    options.pop("max_new_tokens")
    return options | {"max_length": LONGEST}


def blip_rows(given: tuple[Any, ...], named: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """A text's rows and a photo's patches, of what BLIP's cross-attention is given."""
    return given[0], named["encoder_hidden_states"]


def _qformer_rows(given: tuple[Any, ...], _named: dict[str, Any]) -> tuple[Tensor, Tensor]:
    return given[0], given[1]
