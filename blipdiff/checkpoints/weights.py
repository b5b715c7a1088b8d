"""Weights on disk -> the parameters of a network: memory-mapped, strict, one tensor at a time."""

import json
import pickle
import warnings
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from blipdiff.checkpoints.needed import ANY, Wanted, stored_names
from blipdiff.errors import CheckpointError, listed, unfit
from blipdiff.foreign import foreign

Rename = Callable[[str], str | None]  # the network's name of a stored tensor; None: not wanted
Watcher = Callable[[str, Tensor], None]  # sees each tensor as it is stored, under the network's name

Net = TypeVar("Net", bound=nn.Module)

_RELEASE_BYTES = 16 * 2**20
_DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
_SIGNS = (  # in this order: the first that a file's names show
    ("controlnet_cond_embedding.", "a ControlNet"),
    ("query_tokens", "a Q-Former"),
    ("Qformer.", "a LAVIS Q-Former"),
    ("token_embedding.", "a text encoder"),
    ("time_embedding.", "a U-Net"),
    ("decoder.", "a VAE"),
)


def weight_paths(folder: Path, stems: Sequence[str], wanted: Wanted = ANY) -> list[Path]:
    """The weight files of a component: .safetensors before .bin and .pt, one file or the parts that an index names.

    Full precision before half, which is taken, and said, where there is nothing else.

    Raises: CheckpointError when there is none.
    """
    for stored in stored_names(stems, wanted):
        index, whole = folder / stored.index, folder / stored.whole
        if not index.is_file() and not whole.is_file():
            continue
        if stored.variant != wanted.variant and stored.variant is not None:
            warnings.warn(f"The weights in {folder.name} are there in {stored.variant} alone.", stacklevel=2)
        return _indexed(index) if index.is_file() else [whole]
    expected = " or ".join(f"{stems[0]}{suffix}" for suffix in wanted.suffixes[:2])
    raise CheckpointError(f"{folder} has no weights; expected {expected} in it.")


def open_tensors(path: Path) -> dict[str, Tensor]:
    """Every tensor of a file, memory-mapped where the format allows: nothing is read before it is used.

    Raises: CheckpointError for a file that is damaged, is no weights file, or would run code.
    """
    return tensors_in(stored_object(path), path)


def stored_object(path: Path) -> object:
    """What a weights file holds: as a rule a state dict, sometimes inside others, sometimes a single tensor.

    Raises: CheckpointError for a file that is damaged, is no weights file, or would run code.
    """
    if not path.is_file():
        raise CheckpointError(f"The weights file {path} is missing.")
    with path.open("rb") as stream:
        if stream.read(20).startswith(b"version https://git-"):
            raise CheckpointError(f"{path} is only a Git LFS pointer; fetch the file itself with 'git lfs pull'.")
    with foreign(path, "a weights file"):
        try:
            if path.suffix == ".safetensors":
                with safe_open(path, framework="pt") as file:
                    return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
        except pickle.UnpicklingError as reason:
            raise CheckpointError(
                f"{path} is damaged, or holds Python objects beside weights and is not opened."
            ) from reason


def tensors_in(stored: object, path: Path) -> dict[str, Tensor]:
    """The state dict in a loaded file, also where it lies under `model` or `state_dict`.

    Raises: CheckpointError when there is none.
    """
    for key in ("model", "state_dict"):
        if isinstance(stored, dict) and isinstance(stored.get(key), dict):
            stored = stored[key]
    if not isinstance(stored, dict) or not stored:
        raise CheckpointError(f"{path} holds no weights.")
    others = [str(name) for name, value in stored.items() if not (isinstance(name, str) and isinstance(value, Tensor))]
    if others:
        raise CheckpointError(f"{path} holds things that are not tensors: {listed(others)}.")
    odd = [str(name) for name, value in stored.items() if not is_plain(str(name), value)]
    if odd:
        raise CheckpointError(f"{path} holds tensors of a kind that is not read here: {listed(odd)}.")
    return stored


def filled(
    build: Callable[[], Net],
    paths: Sequence[Path],
    what: str,
    *,
    rename: Rename = str,
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
    watch: Watcher | None = None,
    least: int = 0,
) -> Net:
    """The network that `build` makes, on the weights in `paths`; memory-mapped where dtype and device stay.

    Strict: every tensor present, of its shape, finite, and none besides. `what` names the component in errors;
    `least` is how many tensors it has at least, so that a configuration of countless layers is never built.
    Raises: CheckpointError naming the first ten of each fault.
    """
    shapes = stored_shapes(paths, rename)
    if least > len(shapes):
        raise CheckpointError(
            f"The configuration of the {what} asks for {least} layers or more, its weights hold {len(shapes)} tensors; "
            "the files belong to different models."
        )
    net = shell(build, what)
    expected = net.state_dict()
    check_names(expected, shapes, what)
    ready: dict[str, Tensor] = {}
    for path in paths:
        file, copied = _Checked(path), 0
        for key in file.names:
            name = rename(key)
            if name is None:
                continue
            stored = file.tensor(key).reshape(expected[name].shape)
            if watch is not None:
                watch(name, stored)
            ready[name] = _placed(stored, dtype, device)
            check_finite(ready[name], stored, f"{what}: {name}")
            copied += stored.nbytes if ready[name] is not stored else 0
            if copied > _RELEASE_BYTES:
                file.let_go()
                copied = 0
    net.load_state_dict(ready, strict=True, assign=True)
    return net.eval()


class _Checked:
    """A file whose tensors were looked at, open for one after the other.

    Mapped pages count as memory until the file is let go. It is opened again for the tensors that are asked for alone:
    for all of a file's names, after every 16 MiB, that took as long as converting them.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._maps = path.suffix == ".safetensors" or zipfile.is_zipfile(path)
        self._open: Any = None
        self.names = [*self._opened().keys()]

    def tensor(self, name: str) -> Tensor:
        """Raises: CheckpointError where the file has changed, and is damaged."""
        opened = self._opened()
        with foreign(self._path, "a weights file"):
            found: Tensor = opened[name] if isinstance(opened, dict) else opened.get_tensor(name)
        return found

    def let_go(self) -> None:
        """Lets the pages go that nothing else holds."""
        if self._maps:
            self._open = None

    def _opened(self) -> Any:
        if self._open is None and self._path.suffix == ".safetensors":
            with foreign(self._path, "a weights file"):
                self._open = safe_open(self._path, framework="pt")
        elif self._open is None:
            self._open = open_tensors(self._path)
        return self._open


def shell(build: Callable[[], Net], what: str) -> Net:
    """The network without memory for its weights.

    Raises: CheckpointError when its configuration cannot be built.
    """
    with foreign(f"The configuration of the {what}", "one that can be built"), torch.device("meta"):
        return build()


def stored_shapes(paths: Sequence[Path], rename: Rename) -> dict[str, tuple[int, ...]]:
    """Shape of each stored tensor, under the network's names."""
    shapes: dict[str, tuple[int, ...]] = {}
    for path in paths:
        for key, value in open_tensors(path).items():
            name = rename(key)
            if name is not None:
                shapes[name] = tuple(value.shape)
    return shapes


def check_names(expected: dict[str, Tensor], stored: dict[str, tuple[int, ...]], what: str) -> None:
    """Raises: CheckpointError when names or shapes differ; axes of length 1 never matter."""
    missing = [name for name in expected if name not in stored]
    unexpected = [name for name in stored if name not in expected]
    misshaped = [
        f"{name} {list(stored[name])} instead of {list(value.shape)}"
        for name, value in expected.items()
        if name in stored and _wide(stored[name]) != _wide(tuple(value.shape))
    ]
    faults = unfit(missing, unexpected, misshaped)
    if faults:
        raise CheckpointError(f"The weights do not fit the {what}{_swapped(expected, stored)}. {faults}.")


def check_finite(value: Tensor, stored: Tensor, name: str) -> None:
    """Raises: CheckpointError when a tensor holds not-a-number or infinite values, or overflows its new dtype."""
    if not value.is_floating_point() or not value.numel() or _finite(value):
        return
    if value.dtype != stored.dtype and _finite(stored):
        raise CheckpointError(f"{name} has values too large for {value.dtype}; load it in bfloat16 or float32.")
    raise CheckpointError(f"{name} holds not-a-number or infinite values; the checkpoint is damaged.")


def is_plain(name: str, value: Tensor) -> bool:
    """Whether a tensor is numbers in memory, all of them in the file, of a kind that a network computes with."""
    if value.layout != torch.strided or value.device.type != "cpu" or value.is_quantized or value.is_nested:
        return False
    whole = value.untyped_storage().nbytes() >= value.numel() * value.element_size()
    return whole and (value.dtype in _DTYPES or name.endswith("position_ids"))


def merged_tensors(net: nn.Module) -> dict[str, Tensor]:
    """The weights of a network under its own names, with adapters of PEFT where they are merged into them.

    Raises: CheckpointError for adapters that are loaded beside the weights.
    """
    wrapped = [module for module in net.modules() if hasattr(module, "merged_adapters")]
    if any(not module.merged for module in wrapped):
        raise CheckpointError(
            f"The {type(net).__name__} has adapters loaded beside its weights, and a checkpoint has no place for them: "
            "call fuse_lora() first to save merged weights, or unload_lora_weights() to save without."
        )
    tensors = net.state_dict()
    if any(".to_k_ip." in name for name in tensors):
        raise CheckpointError(
            "The U-Net has an IP-Adapter beside its weights, and a checkpoint has no place for it; unload it first."
        )
    if not wrapped:
        return dict(tensors)
    own = {name.replace(".base_layer.", "."): value for name, value in tensors.items()}
    return {name: value for name, value in own.items() if ".lora_" not in name}


def save_weights(net: nn.Module, path: Path) -> None:
    """Writes a network's merged weights as safetensors. Raises: as `merged_tensors`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.detach().contiguous() for name, value in merged_tensors(net).items()}
    save_file(tensors, path, metadata={"format": "pt"})


def _placed(stored: Tensor, dtype: torch.dtype | None, device: torch.device | str) -> Tensor:
    target = dtype if dtype is not None and stored.is_floating_point() else stored.dtype
    return stored.to(device=device, dtype=target)


def _finite(value: Tensor) -> bool:
    low, high = value.aminmax()  # not-a-number passes through; no copy of the tensor is made
    return bool(torch.isfinite(low) & torch.isfinite(high))


def _indexed(index: Path) -> list[Path]:
    with foreign(index, "an index that says in which file each tensor is"):
        names = sorted(set(json.loads(index.read_text(encoding="utf-8-sig"))["weight_map"].values()))
    if not names or any(not isinstance(name, str) or Path(name).name != name or len(name) > 200 for name in names):
        raise CheckpointError(f"{index} names no files, or files outside its folder.")
    return [index.parent / name for name in names]


def _wide(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(length for length in shape if length != 1)


def _swapped(expected: dict[str, Tensor], stored: dict[str, tuple[int, ...]]) -> str:
    def kind(names: object) -> str | None:
        joined = "\n".join(names)  # type: ignore[arg-type]
        return next((kind for sign, kind in _SIGNS if sign in joined), None)

    found = kind(stored)
    return f": the file holds those of {found}; were files swapped?" if found and found != kind(expected) else ""
