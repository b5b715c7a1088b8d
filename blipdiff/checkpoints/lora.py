"""LoRAs for Stable Diffusion 1.5 on a model: added to the weights of its U-Net and its text encoder, and taken off.

What is added is computed as people merge by hand: W + weight * alpha / rank * up @ down, in float32.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from blipdiff.checkpoints.configs import read_json
from blipdiff.checkpoints.given_files import GivenFile, given_path, json_of, named, open_given
from blipdiff.checkpoints.lora_names import TEXT, UNET, LayerChange, changes_in
from blipdiff.checkpoints.lora_products import product
from blipdiff.errors import CheckpointError, ConfigError
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.models.identity import DRAWING, Addition, Fingerprint, known_fingerprint, remember

PREFERRED = ("pytorch_lora_weights.safetensors", "adapter_model.safetensors", "pytorch_lora_weights.bin")
_MOST_WEIGHT = 10.0
_MOST_WORDS = 5
_REPEATED_FOLDER = re.compile(r"\d+_(.+)")  # as kohya's scripts name folders of pictures: "10_sks dog"


@dataclass(frozen=True, slots=True)
class Lora:
    """A LoRA by its file, folder or hub id, and how strongly it acts.

    Raises: ConfigError for a weight that is no number from -10 to 10.
    """

    source: str
    weight: float = 1.0

    def __post_init__(self) -> None:
        number = isinstance(self.weight, int | float) and not isinstance(self.weight, bool)
        if not number or not -_MOST_WEIGHT <= self.weight <= _MOST_WEIGHT:
            raise ConfigError(
                f"The weight of {self.source} is {self.weight!r}; it goes from {-_MOST_WEIGHT:g} to {_MOST_WEIGHT:g}."
            )

    @classmethod
    def of(cls, given: "str | Path | Lora") -> "Lora":
        """The LoRA that "chalk.safetensors:0.8" names. Raises: ConfigError for a weight that is none."""
        return given if isinstance(given, Lora) else cls(*named(str(given)))


@dataclass(frozen=True, slots=True, eq=False)
class _Read:
    lora: Lora
    file: GivenFile
    changes: Mapping[str, Mapping[str, LayerChange]]

    @property
    def addition(self) -> Addition:
        seen = Fingerprint(DRAWING).added(self.file.tensors)
        name = self.file.path.stem if self.file.path.name not in PREFERRED else Path(self.lora.source).name
        return Addition("LoRA", name, self.lora.weight, seen.digest(), trigger_words(self.file))


class Attached:
    """LoRAs that are on a model's networks, until they are detached: then every weight is the one it was before."""

    def __init__(self, model: BlipDiffusion, replaced: Sequence[tuple[nn.Module, nn.Parameter]]) -> None:
        self.model = model
        self._replaced = list(replaced)

    def detach(self) -> None:
        """Puts the weights back, the same tensors; a second time it does nothing."""
        while self._replaced:
            layer, before = self._replaced.pop()
            layer.weight = before


def attach(model: BlipDiffusion, loras: Sequence[Lora], *, download: bool = False) -> Attached:
    """Puts LoRAs on the networks of `model`, all of them or none; its `model` is the one to go on with.

    Raises: CheckpointError for a file that is no LoRA of this model, ConfigError for one that is given twice.
    """
    nets: dict[str, nn.Module] = {UNET: model.unet, TEXT: model.text_encoder}
    read = [_read(lora, nets, download) for lora in loras]
    additions = (*model.additions, *(one.addition for one in read))
    parts = [one.part for one in additions]
    if len(set(parts)) < len(parts):
        twice = next(part for part in parts if parts.count(part) > 1)
        raise ConfigError(f"{twice} is given twice; give it once, with the sum of the weights.")
    replaced = []
    read.sort(key=lambda one: one.addition.part)  # in whatever order they are given, the sums are the same to the bit
    for net, module in nets.items():
        changed = [(one.lora.weight, one.changes[net], one.file) for one in read if one.changes[net]]
        if not changed:
            continue
        before, layers = known_fingerprint(module), dict(module.named_modules())
        fresh = {name: _changed(layers[name], name, changed) for name in {name for _, of, _ in changed for name in of}}
        for name, weight in fresh.items():
            replaced.append((layers[name], layers[name].weight))
            layers[name].weight = weight
        remember(module, before)  # the LoRA is told as a part of its own
    return Attached(replace(model, additions=additions), replaced)  # type: ignore[arg-type]


@contextmanager
def with_loras(model: BlipDiffusion, loras: Sequence[Lora], *, download: bool = False) -> Iterator[BlipDiffusion]:
    """The model with LoRAs on it, for the length of the block. Raises: as `attach`."""
    attached = attach(model, loras, download=download)
    try:
        yield attached.model
    finally:
        attached.detach()


def trigger_words(file: GivenFile) -> tuple[str, ...]:
    """The words that call up what a LoRA has learned, as far as its file tells them."""
    phrase = file.metadata.get("modelspec.trigger_phrase", "").strip()
    if phrase:
        return (phrase,)
    folders = json_of(file.metadata.get("ss_dataset_dirs"))
    found = [_REPEATED_FOLDER.fullmatch(str(name)) for name in folders] if isinstance(folders, Mapping) else []
    words = [one[1].strip() for one in found if one]
    return tuple(dict.fromkeys(words or _frequent(json_of(file.metadata.get("ss_tag_frequency")))))[:_MOST_WORDS]


def _frequent(told: Any) -> list[str]:
    """The captions' words that stand under the most pictures."""
    counts: dict[str, int] = {}
    for tags in told.values() if isinstance(told, Mapping) else ():
        for tag, count in tags.items() if isinstance(tags, Mapping) else ():
            counts[str(tag).strip()] = counts.get(str(tag).strip(), 0) + (count if isinstance(count, int) else 0)
    return sorted(counts, key=lambda tag: -counts[tag])[:_MOST_WORDS]


def _read(lora: Lora, nets: Mapping[str, nn.Module], download: bool) -> _Read:
    path = given_path(lora.source, "LoRA", PREFERRED, download=download)
    file, config = open_given(path), path.parent / "adapter_config.json"
    beside = read_json(config) if path.name.startswith("adapter_model") and config.is_file() else None
    return _Read(lora, file, changes_in(file, nets, beside))


def _changed(
    layer: nn.Module, name: str, changed: Sequence[tuple[float, Mapping[str, LayerChange], GivenFile]]
) -> nn.Parameter:
    """The layer's weight with all changes on it, one after the other."""
    own: nn.Parameter = layer.weight  # type: ignore[assignment]
    weight = own.detach().float()
    for strength, changes, file in changed:
        if name in changes and strength:
            weight = _with(weight, changes[name], strength, f"{file.path}: {name}")
    return nn.Parameter(weight.to(own.dtype), requires_grad=own.requires_grad)


def _with(weight: Tensor, change: LayerChange, strength: float, name: str) -> Tensor:
    pieces = {piece: one.to(weight.device) for piece, one in change.pieces.items()}
    try:
        added = product(pieces).flatten(1)
    except RuntimeError as reason:
        raise CheckpointError(f"{name} is damaged: its pieces are of shapes that do not belong together.") from reason
    wanted = (weight.shape[0], weight[0].numel())
    if tuple(added.shape) != wanted:
        raise CheckpointError(
            f"{name} changes a layer of {added.shape[0]} x {added.shape[1]}, this model's is {wanted[0]} x "
            f"{wanted[1]}: the LoRA was made for another model."
        )
    found = weight + (strength * change.scale * added).reshape(weight.shape)
    if change.magnitude is not None:
        found = _of_length(found, change.magnitude.to(weight.device).float(), name)
    if not bool(torch.isfinite(found).all()):
        raise CheckpointError(f"{name} holds not-a-number or infinite values; the file is damaged.")
    return found


def _of_length(weight: Tensor, magnitude: Tensor, name: str) -> Tensor:
    """Each row of the weight, or each column where the file has one length for each, at its own length (DoRA)."""
    flat = weight.flatten(1)
    if (magnitude.numel() == flat.shape[0] and magnitude.shape[:1] != (1,)) or magnitude.ndim == 4:
        scaled: Tensor = flat * (magnitude.reshape(-1, 1) / flat.norm(dim=1, keepdim=True))
        return scaled.reshape(weight.shape)
    if magnitude.numel() != weight.shape[1]:
        raise CheckpointError(f"{name} has {magnitude.numel()} lengths for a layer of {list(weight.shape)}.")
    rows = weight.transpose(0, 1).flatten(1)
    shape = (1, -1, *(1,) * (weight.ndim - 2))
    found: Tensor = weight * magnitude.reshape(shape) / rows.norm(dim=1).reshape(shape)
    return found
