"""What a model needs of memory, before it is loaded: its weights by their files, its largest step without weights."""

import json
import struct
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from blipdiff.checkpoints import configs
from blipdiff.checkpoints.configs import read_json
from blipdiff.checkpoints.needed import DIFFUSERS_STEMS, TRANSFORMERS_STEMS
from blipdiff.checkpoints.part_fields import network_config
from blipdiff.checkpoints.weights import open_tensors, shell, weight_paths
from blipdiff.diffusers_types import VAE, UNet
from blipdiff.errors import CheckpointError
from blipdiff.foreign import foreign
from blipdiff.sampling.cost import without_weights

_PARTS: Mapping[str, tuple[str, ...]] = {
    "qformer": TRANSFORMERS_STEMS,
    "text_encoder": TRANSFORMERS_STEMS,
    "unet": DIFFUSERS_STEMS,
    "vae": DIFFUSERS_STEMS,
}
_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "F8_E4M3": 1, "F8_E5M2": 1, "I8": 1, "U8": 1}
_LIMITS = (
    ("memory.max", "memory.current", "memory.stat"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
)
_TAKEN_BACK = ("inactive_file", "total_inactive_file")  # of a container's use: pages of files that nobody needs
_CGROUP = Path("/sys/fs/cgroup")
_LONGEST_HEAD = 100_000_000  # bytes, as safetensors has it
_WORDS = 77  # of Stable Diffusion's text encoder


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes that a model takes: to lie there, and to draw beside that."""

    weights: int
    drawing: int

    @property
    def total(self) -> int:
        """Both; libraries and fragments come on top."""
        return self.weights + self.drawing


def needed_memory(folder: Path, dtype: torch.dtype, *, side: int | None = None, pictures: int = 1) -> Memory:
    """What a model in the hub's layout takes that draws so many pictures together, with guidance.

    side: of the pictures in pixels; the model's own where it is not said. Nothing of the weights is read, and nothing
    is computed: networks and tensors have shapes only.

    Raises: CheckpointError for a folder that is no such model.
    """
    weights: int = sum(
        stored_numbers(path) * (_decoded_in(dtype) if part == "vae" else dtype).itemsize
        for part, stems in _PARTS.items()
        for path in weight_paths(folder / part, stems)
    )
    return Memory(weights, _drawing(folder, dtype, side, pictures))


def own_side(folder: Path) -> int:
    """The side in pixels of the pictures that a model was trained at. Raises: CheckpointError for no such model."""
    unet = network_config(read_json(folder / "unet" / "config.json"), UNet2DConditionModel, "U-Net")
    vae = read_json(folder / "vae" / "config.json")
    channels = vae.get("encoder_block_out_channels" if "Tiny" in str(vae.get("_class_name")) else "block_out_channels")
    if not isinstance(channels, list | tuple) or not channels:
        raise CheckpointError(f"The VAE's config.json in {folder} does not say its channels.")
    return int(int(unet["sample_size"]) * 2 ** (len(channels) - 1))


def stored_numbers(path: Path) -> int:
    """How many numbers a weights file holds: by its head alone, where its format has one."""
    if path.name.endswith(".index.json"):
        return 0
    if path.suffix != ".safetensors":
        return sum(tensor.numel() for tensor in open_tensors(path).values())
    with foreign(path, "a weights file"), path.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        head = json.loads(stream.read(min(length, _LONGEST_HEAD)))
        stored = [one for name, one in head.items() if name != "__metadata__"]
        return sum((one["data_offsets"][1] - one["data_offsets"][0]) // _BYTES[one["dtype"]] for one in stored)


def free_memory(device: torch.device) -> int:
    """Bytes that a process may still take on a device: of the graphics card, or of this machine or container."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return min([int(psutil.virtual_memory().available), *_container_room(_CGROUP)])


def sentence(name: str, need: Memory, free: int, device: torch.device) -> str | None:
    """One sentence where a model will not fit, or hardly; None where there is room."""
    if need.total <= free:
        return None
    where = "on the graphics card" if device.type == "cuda" else "on this machine"
    told = f"{name} takes about {gigabytes(need.total)} to draw, and {gigabytes(free)} are free {where}"
    if need.weights <= free:
        return f"{told}: ask for one picture at a time and a small size, or end other programs first."
    return f"{told}: too little to load it; end other programs first, or choose a smaller model."


def gigabytes(size: int) -> str:
    """Bytes as people read them."""
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{max(1, round(size / 1e6))} MB"


def peak_bytes(run: Callable[[], object]) -> int:
    """The most bytes of tensors that live at one time while `run` computes without memory, on the meta device.

    Attention counts as the fused kernels do it, which never hold its scores.
    """
    live = _Live()
    with torch.no_grad(), _FusedAttention(), live:
        kept = run()
    del kept
    return live.most


def _drawing(folder: Path, dtype: torch.dtype, side: int | None, pictures: int) -> int:
    """Bytes of the larger of two: a step of the U-Net for all pictures with their guidance, or decoding them."""
    config = network_config(read_json(folder / "unet" / "config.json"), UNet2DConditionModel, "U-Net")
    vae_config = configs.without_derived(read_json(folder / "vae" / "config.json"))
    kind = configs.vae_class(vae_config)
    known = network_config(vae_config, kind, "VAE")
    unet = _of(shell(lambda: UNet2DConditionModel.from_config(config), "U-Net"), dtype)
    vae = _of(shell(lambda: kind.from_config(known), "VAE"), _decoded_in(dtype))
    latents = (side or own_side(folder)) * int(config["sample_size"]) // own_side(folder)
    return _drawn_by(unet, vae, latents, 2 * pictures, pictures)


def row_memory(unet: UNet, vae: VAE) -> int:
    """Bytes that one row of one U-Net call takes at the model's own size, or decoding it, whichever is more."""
    own = _of(shell(lambda: without_weights(unet), "U-Net"), unet.dtype)
    return _drawn_by(
        own, _of(shell(lambda: without_weights(vae), "VAE"), vae.dtype), int(unet.config.sample_size), 1, 1
    )


def _drawn_by(unet: Any, vae: Any, latents: int, rows: int, pictures: int) -> int:
    """Bytes of the larger of two, by networks without weights: rows of a U-Net's call, or decoding pictures."""

    def meta(*shape: int, like: Any) -> Tensor:
        return torch.empty(*shape, dtype=like.dtype, device="meta")

    def step() -> object:
        width = int(unet.config.cross_attention_dim)
        noisy = meta(rows, int(unet.config.in_channels), latents, latents, like=unet)
        words = meta(rows, _WORDS, width, like=unet)
        moment = torch.empty((), device="meta")
        return unet(noisy, moment, encoder_hidden_states=words, return_dict=False)

    def decoding() -> object:
        return vae.decode(meta(pictures, int(vae.config.latent_channels), latents, latents, like=vae))

    return max(peak_bytes(step), peak_bytes(decoding))


def _of(net: Any, dtype: torch.dtype) -> Any:
    """The network in another dtype, without what diffusers says of casting weights that are none."""
    for weight in (*net.parameters(), *net.buffers()):
        weight.data = weight.data.to(dtype)
    return net


def _decoded_in(dtype: torch.dtype) -> torch.dtype:
    """The VAE's dtype: never float16, where it overflows."""
    return torch.float32 if dtype == torch.float16 else dtype


def _container_room(folder: Path) -> list[int]:
    """What a container's limit leaves, where there is one; pages of files that the system takes back are free."""
    for limit, used, parts in _LIMITS:
        try:
            room = int((folder / limit).read_text()) - int((folder / used).read_text())
        except (OSError, ValueError):  # no container, or one without a limit ("max")
            continue
        return [max(0, room + _taken_back(folder / parts))]
    return []


def _taken_back(parts: Path) -> int:
    try:
        lines = [line.split() for line in parts.read_text().splitlines()]
        found = {name: int(size) for name, size in lines}
    except (OSError, ValueError):
        return 0
    return max(found.get(name, 0) for name in _TAKEN_BACK)


class _FusedAttention(TorchFunctionMode):
    """Attention gives its result's shape, and computes nothing between."""

    def __torch_function__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.nn.functional.scaled_dot_product_attention:
            given = dict(zip(("query", "key", "value"), args, strict=False)) | (kwargs or {})
            query, value = given["query"], given["value"]
            return torch.empty(*query.shape[:-1], value.shape[-1], dtype=query.dtype, device=query.device)
        return func(*args, **(kwargs or {}))


class _Live(TorchDispatchMode):
    """Counts the bytes of the storages that operations make, as long as each lives."""

    def __init__(self) -> None:
        super().__init__()
        self.most = self._now = 0
        self._known: dict[int, int] = {}

    def __torch_dispatch__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for one in tree_leaves(made):
            if isinstance(one, Tensor):
                self._see(one)
        self.most = max(self.most, self._now)
        return made

    def _see(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        place = storage._cdata
        if place in self._known:
            return
        self._known[place] = storage.nbytes()
        self._now += storage.nbytes()
        weakref.finalize(storage, self._forget, place)

    def _forget(self, place: int) -> None:
        self._now -= self._known.pop(place, 0)
