"""Weights files as people have them for Stable Diffusion 1.5: found, opened without running code, told by kind."""

import json
import pickle
import re
import zipfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from blipdiff.checkpoints.detect import is_file, is_folder, is_hub_id
from blipdiff.checkpoints.hub import snapshot
from blipdiff.checkpoints.kinds import Kind, by_its_start, is_safetensors, kind_of
from blipdiff.checkpoints.needed import Names
from blipdiff.errors import CheckpointError, ConfigError
from blipdiff.foreign import foreign

SUFFIXES = (".safetensors", ".ckpt", ".pt", ".pth", ".bin")


@dataclass(frozen=True, slots=True, eq=False)
class GivenFile:
    """A weights file's tensors, mapped from it where the format allows, and what it says of itself."""

    path: Path
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str] = field(default_factory=dict)
    others: Mapping[str, Any] = field(default_factory=dict)  # what is no tensor, in pickles alone

    @property
    def kind(self) -> Kind:
        """What it holds, told by its tensors."""
        return kind_of(self.tensors)


def open_given(path: Path) -> GivenFile:
    """The file's tensors, whatever its ending.

    Raises: CheckpointError for a file that is missing, damaged, no weights file, or would run code.
    """
    check_given(path)
    if is_safetensors(path):
        with foreign(path, "a whole file in safetensors"), safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return GivenFile(path, tensors, dict(file.metadata() or {}))
    stored = _unpickled(path)
    tensors, others = _flat(stored)
    if not tensors:
        raise CheckpointError(f"{path} holds no weights.")
    return GivenFile(path, tensors, {}, others)


def check_given(path: Path) -> None:
    """Passes for what may be a weights file. Raises: CheckpointError for one that is missing, or is something else."""
    if not is_file(path):
        raise CheckpointError(f"There is no file {str(path)[:200]}.")
    other = by_its_start(path)
    if other is not None:
        raise CheckpointError(f"{path} is {other}; a weights file was expected.")
    with path.open("rb") as stream:
        if stream.read(20).startswith(b"version https://git-"):
            raise CheckpointError(f"{path} is only a Git LFS pointer; fetch the file itself with 'git lfs pull'.")


def given_path(source: str | Path, what: str, preferred: Collection[str], *, download: bool = False) -> Path:
    """The one weights file that a file's path, a folder or a hub id stands for.

    preferred: names that are taken before others, where a folder holds several

    Raises: CheckpointError when there is none, or several and no name tells which.
    """
    place = Path(source)
    if is_file(place):
        return place
    if not is_folder(place):
        if not is_hub_id(source):
            raise CheckpointError(f"There is no {what} at {str(source)[:200]}; give a file, a folder or a hub id.")
        place = snapshot(str(source), download=download, choose=lambda names: _chosen(names, preferred, what))
    with foreign(place, "a folder that can be read"):
        names = [path.relative_to(place).as_posix() for path in sorted(place.iterdir()) if path.is_file()]
    try:
        chosen = _chosen(names, preferred, what)
    except CheckpointError as reason:
        raise CheckpointError(f"{source} does not do: {reason}.") from None
    return place / next(name for name in chosen if name.endswith(SUFFIXES))


def named(text: str) -> tuple[str, float]:
    """ "chalk.safetensors:0.8" as the source and its weight, 1 where none is said.

    Raises: ConfigError for a weight that is no number.
    """
    before, sign, after = text.rpartition(":")
    if not sign or is_file(text) or is_folder(text) or re.fullmatch(r"[A-Za-z]", before):
        return text, 1.0
    try:
        weight = float(after)
    except ValueError as reason:
        if "/" in after or "\\" in after:
            return text, 1.0
        raise ConfigError(f"The weight in {text!r:.200} is no number; write it as NAME:0.8.") from reason
    return before, weight


def _chosen(names: Names, preferred: Collection[str], what: str) -> list[str]:
    beside = [name for name in names if name == "adapter_config.json"]
    files = [name for name in names if "/" not in name and name.endswith(SUFFIXES)]
    first = (
        [name for name in preferred if name in files] or [one for one in files if one.endswith(SUFFIXES[0])] or files
    )
    if not first:
        raise CheckpointError(f"there is no {what} in it, for no file ends in {', '.join(SUFFIXES)}")
    if len(first) > 1 and first[0] not in preferred:
        raise CheckpointError(f"{len(first)} files in it may be the {what}; give one of them by its path")
    return [first[0], *beside]


def _unpickled(path: Path) -> Any:
    with foreign(path, "a whole weights file"):
        try:
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
        except pickle.UnpicklingError as reason:
            raise CheckpointError(
                f"{path} is damaged, or holds Python objects beside weights and is not opened; "
                "ask for the same in safetensors."
            ) from reason


def _flat(stored: Any) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors, also where they lie under `state_dict` or an embedding's `string_to_param`, and the rest."""
    if isinstance(stored, Tensor):
        return {"": stored}, {}
    if not isinstance(stored, Mapping):
        return {}, {}
    for key in ("state_dict", "model", "string_to_param"):
        if isinstance(stored.get(key), Mapping):
            inner, _ = _flat(stored[key])
            return inner, {str(name): value for name, value in stored.items() if name != key}
    if {"image_proj", "ip_adapter"} <= set(stored) and all(isinstance(one, Mapping) for one in stored.values()):
        nested = {f"{part}.{name}": one for part, inner in stored.items() for name, one in inner.items()}
        return {name: one for name, one in nested.items() if isinstance(one, Tensor)}, {}
    tensors = {str(name): value.detach() for name, value in stored.items() if isinstance(value, Tensor)}
    return tensors, {str(name): value for name, value in stored.items() if not isinstance(value, Tensor)}


def json_of(text: str | None) -> Any:
    """What a file says of itself as JSON; None where it says nothing that can be read."""
    try:
        return json.loads(text) if text else None
    except (ValueError, RecursionError):
        return None
