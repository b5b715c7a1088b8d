"""What a person's file is before it goes on a model: its kind, the words that call it up, its fingerprint.

Of safetensors only the head is read for the kind; nothing in any file is executed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open

from blipdiff.checkpoints.embeddings import embedding_in, vectors_fingerprint
from blipdiff.checkpoints.given_files import GivenFile, check_given, open_given
from blipdiff.checkpoints.kinds import Family, Kind, is_safetensors
from blipdiff.checkpoints.lora import trigger_words
from blipdiff.errors import CheckpointError
from blipdiff.foreign import foreign
from blipdiff.models.identity import DRAWING, Fingerprint

TAKEN: Mapping[Family, str] = {
    "lora": "LoRA",
    "embedding": "embedding",
    "vae": "VAE",
    "control": "ControlNet",
    "checkpoint": "checkpoint",
    "unet": "checkpoint",
}
_WANTED = "a LoRA, an embedding, a VAE, a ControlNet or a checkpoint for Stable Diffusion 1.5 was expected"


@dataclass(frozen=True, slots=True)
class SeenFile:
    """A file that fits Stable Diffusion 1.5, as far as its names and shapes tell."""

    kind: str  # one of `TAKEN`'s
    words: tuple[str, ...] = ()  # those that call a LoRA up; an embedding's own word


def seen_file(path: Path) -> SeenFile:
    """What a file is. Raises: CheckpointError for a file that is none of `TAKEN`, saying what it is."""
    file = _head(path)
    kind: Kind = file.kind
    if kind.family not in TAKEN or not kind.fits:
        raise CheckpointError(f"{path} is {kind.text}; {_WANTED}.")
    if kind.family == "lora":
        return SeenFile("LoRA", trigger_words(file))
    if kind.family == "embedding":
        return SeenFile("embedding", (embedding_in(open_given(path))[0],))
    return SeenFile(TAKEN[kind.family])


def file_fingerprint(path: Path, kind: str) -> str:
    """Of a LoRA or an embedding, as the model that it goes on tells it. Raises: CheckpointError for neither."""
    file = open_given(path)
    if kind == "LoRA":
        return Fingerprint(DRAWING).added(file.tensors).digest()
    return vectors_fingerprint(embedding_in(file)[1])


@dataclass(frozen=True, slots=True)
class _Shape:
    """Stands for a tensor of which only the shape is asked."""

    shape: tuple[int, ...]


def _head(path: Path) -> GivenFile:
    """The file with its tensors' shapes alone, where the format allows."""
    check_given(path)
    if not is_safetensors(path):
        return open_given(path)
    with foreign(path, "a whole file in safetensors"), safe_open(path, framework="pt") as file:
        names = list(file.keys())
        shapes: dict[str, Any] = {name: _Shape(tuple(file.get_slice(name).get_shape())) for name in names}
        return GivenFile(path, shapes, dict(file.metadata() or {}))
