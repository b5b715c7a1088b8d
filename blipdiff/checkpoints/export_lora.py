"""A learned subject's LoRA as a file of its own, as diffusers loads it or as kohya's scripts write it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import save_file
from torch import Tensor

from blipdiff.conditioning.subject import SubjectEmbedding
from blipdiff.conditioning.subject_weights import DOWN, PREFIX, UP, SubjectWeights
from blipdiff.conditioning.weights_file import PEFT_SETTINGS, foreign_texts
from blipdiff.errors import ConfigError, SubjectError
from blipdiff.outputs import written_file

Format = Literal["diffusers", "kohya"]


def export_lora(card: SubjectEmbedding, path: Path, layout: Format) -> Path:
    """Writes the file, whole or not at all. The subject's rows are not in it: other programs have no place for them.

    Raises: SubjectError for a card without a LoRA, ConfigError for an unknown layout, OutputError.
    """
    if layout not in _LAYOUTS:
        raise ConfigError(f"The format is {layout!r:.40}; choose one of: {', '.join(_LAYOUTS)}.")
    if len(card.weights) != 1 or not card.weights[0].weights.rank:
        kept = "changes of a whole U-Net" if card.weights else "no weights: its embedding alone was learned, or nothing"
        raise SubjectError(f"The card of {card.category!r} holds {kept}; a LoRA is exported.")
    weights = card.weights[0].weights
    texts = {"format": "pt"} | foreign_texts(weights, card.category)
    if layout == "kohya":
        texts.pop(PEFT_SETTINGS)  # diffusers takes either these or alphas
    with written_file(path) as part:
        save_file(_LAYOUTS[layout](weights), part, texts)
    return path


def _diffusers(weights: SubjectWeights) -> dict[str, Tensor]:
    return {name: tensor.contiguous() for name, tensor in weights.tensors.items()}


def _kohya(weights: SubjectWeights) -> dict[str, Tensor]:
    found = {}
    for layer in weights.layers:
        name = f"lora_unet_{layer.replace('.', '_')}"
        found[f"{name}.lora_down.weight"] = weights.tensors[f"{PREFIX}{layer}{DOWN}"].contiguous()
        found[f"{name}.lora_up.weight"] = weights.tensors[f"{PREFIX}{layer}{UP}"].contiguous()
        found[f"{name}.alpha"] = torch.tensor(float(weights.rank))
    return found


_LAYOUTS: Mapping[str, Callable[[SubjectWeights], dict[str, Tensor]]] = {"diffusers": _diffusers, "kohya": _kohya}
