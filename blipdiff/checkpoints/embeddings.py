"""Embeddings of textual inversion as people have them: A1111's .pt, .safetensors, diffusers' learned_embeds."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from blipdiff.checkpoints.detect import is_file, is_folder
from blipdiff.checkpoints.given_files import GivenFile, given_path, open_given
from blipdiff.errors import CheckpointError
from blipdiff.models.added_words import WordsTokenizer
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.models.identity import DRAWING, Addition, Fingerprint

_PREFERRED = ("learned_embeds.safetensors", "learned_embeds.bin")
_UNNAMED = ("", "*", "emb_params")  # keys under which files keep their vectors without a word for them
_ROOM = 3  # begin and end mark, and one word besides


@dataclass(frozen=True, slots=True)
class Embedding:
    """An embedding by its file, folder or hub id, and the word that stands for it in prompts; its own if None."""

    source: str | Mapping[str, Tensor]
    word: str | None = None

    @classmethod
    def of(cls, given: "str | Path | Embedding") -> "Embedding":
        """The embedding that "easynegative.pt" or "toy.pt=<cat-toy>" names."""
        if isinstance(given, Embedding):
            return given
        text = str(given)
        before, sign, word = text.rpartition("=")
        return cls(before, word) if sign and not is_file(text) and not is_folder(text) else cls(text)


def with_embeddings(model: BlipDiffusion, embeddings: Sequence[Embedding], *, download: bool = False) -> BlipDiffusion:
    """The model with the words of these embeddings; its networks stay as they are.

    Raises: CheckpointError for a file that is no embedding of this model, ConfigError for a word that is none.
    """
    words, additions = model.prompt_tokenizer, list(model.additions)
    for embedding in embeddings:
        if isinstance(embedding.source, Mapping):
            file = GivenFile(Path("The given state dict"), dict(embedding.source))
        else:
            file = open_given(given_path(embedding.source, "embedding", _PREFERRED, download=download))
        word, vectors = word_in(file, model, embedding.word)
        words = WordsTokenizer.of(words, model.text_encoder.sizes.vocabulary, word, vectors)
        additions.append(Addition("embedding", word.strip().lower(), None, vectors_fingerprint(vectors), (word,)))
    return replace(model, prompt_tokenizer=words, additions=tuple(additions))


def word_in(file: GivenFile, model: BlipDiffusion, word: str | None = None) -> tuple[str, Tensor]:
    """The word and the vectors (n, width) in a file.

    Raises: CheckpointError for a file that is no embedding, or of another model.
    """
    own, vectors = embedding_in(file)
    width, room = model.text_encoder.sizes.width, model.positions - _ROOM
    if vectors.shape[1] != width:
        raise CheckpointError(
            f"{file.path} is an embedding {vectors.shape[1]} wide, this model's words are {width} wide: it was made "
            "for another model."
        )
    if len(vectors) > room or not len(vectors):
        raise CheckpointError(f"{file.path} has {len(vectors)} vectors; a prompt has room for {room}.")
    if not bool(torch.isfinite(vectors).all()):
        raise CheckpointError(f"{file.path} holds not-a-number or infinite values; the file is damaged.")
    return word or own, vectors.clone()


def embedding_in(file: GivenFile) -> tuple[str, Tensor]:
    """The word that a file names its embedding by, and the vectors (n, width), for whatever model.

    Raises: CheckpointError for a file that is no embedding of Stable Diffusion 1.5.
    """
    kind = file.kind
    if kind.family != "embedding" or not kind.fits:
        raise CheckpointError(f"{file.path} is {kind.text}; an embedding for Stable Diffusion 1.5 was expected.")
    if len(file.tensors) != 1:
        raise CheckpointError(f"{file.path} holds {len(file.tensors)} embeddings; a file with one was expected.")
    key, stored = next(iter(file.tensors.items()))
    own = re.sub(r"\s+", "-", file.path.stem.strip()) if key in _UNNAMED else key
    return own, stored.reshape(-1, stored.shape[-1]).float()


def vectors_fingerprint(vectors: Tensor) -> str:
    """16 hexadecimal digits that tell one embedding from another, whatever word stands for it."""
    return Fingerprint(DRAWING).added({"": vectors}).digest()
