"""Device, dtype, memory format and attention kernel: decided here, for every network, and nowhere else."""

import gc
import warnings
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TypeAlias

import torch
from torch import nn

from blipdiff.errors import ConfigError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
STORED = "stored"
AskedDtype: TypeAlias = torch.dtype | str | None


@dataclass(frozen=True, slots=True)
class Placement:
    """Where and in what precision the networks run."""

    device: torch.device
    dtype: torch.dtype

    @property
    def dtype_name(self) -> str:
        """The name by which a person chooses it."""
        return str(self.dtype).removeprefix("torch.")


def placement(device: str = "auto", dtype: str = "auto") -> Placement:
    """The asked-for device and dtype, or the best there are for "auto".

    Raises: ConfigError for a device that is not there, and for an unknown dtype.
    """
    chosen = _best_device() if device == "auto" else _checked_device(device)
    if dtype == "auto":
        return Placement(chosen, _best_dtype(chosen))
    if dtype not in DTYPES:
        raise ConfigError(f"The dtype '{dtype}' is not known; choose auto, {', '.join(DTYPES)}.")
    return Placement(chosen, DTYPES[dtype])


def dtype_for(asked: AskedDtype, device: torch.device | str) -> torch.dtype | None:
    """The dtype to load weights in: the fastest on `device` for None and "auto", and None for "stored".

    float16 on a processor is taken as it is asked for, with a warning where there is nothing faster to move it to.

    Raises: ConfigError for anything that is no dtype.
    """
    device = torch.device(device)
    if asked is None or asked == "auto":
        return _best_dtype(device)
    if asked == STORED:
        return None
    dtype = DTYPES.get(asked) if isinstance(asked, str) else asked
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise ConfigError(f"The dtype {asked!r} is not known; choose auto, {STORED}, {', '.join(DTYPES)}.")
    if dtype == torch.float16 and device.type == _best_device().type == "cpu":
        warn_of_half(stacklevel=3)
    return dtype


def warn_of_half(stacklevel: int = 2) -> None:
    """Says that float16 on a processor is asked for and no good choice."""
    warnings.warn(
        "float16 is slow and inexact on a processor (some twenty times as slow as float32); leave the dtype out, or "
        "choose bfloat16 or float32.",
        stacklevel=stacklevel + 1,
    )


def runs_on(net: nn.Module) -> torch.device:
    """Where a network computes: where its weights are, or where accelerate's hooks bring them for each call."""
    for module in net.modules():
        device = getattr(getattr(module, "_hf_hook", None), "execution_device", None)
        if device is not None:
            return torch.device(device)
    return next(net.parameters()).device


def free_memory() -> None:
    """Gives back what nothing holds any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def has_fast_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 matrices in hardware: AMX, or AVX-512 with BF16."""
    return _has("_is_amx_tile_supported") or _has("_is_avx512_bf16_supported")


def attends_slowly() -> bool:
    """Whether torch's fused attention is slower here in bfloat16 than plain products: with AVX-512 BF16, without AMX.

    With AMX the fused kernel multiplies in tiles of its own, which was not measured against plain products.
    """
    return _has("_is_avx512_bf16_supported") and not _has("_is_amx_tile_supported")


def accelerated_parts() -> dict[str, str]:
    """What makes this machine fast or slow, in words: for `doctor` and bug reports."""
    return {
        "CUDA": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "Apple MPS": "yes" if torch.backends.mps.is_available() else "none",
        "bfloat16 on the processor": "in hardware" if has_fast_bfloat16() else "emulated, so float32 is used",
        "threads": str(torch.get_num_threads()),
        "attention": _attention(_best_device()),
    }


def _attention(device: torch.device) -> str:
    if uses_xformers(device):
        return "xformers"
    tiled = device.type == "cpu" and attends_slowly()
    return "tiled products in bfloat16" if tiled else "scaled_dot_product_attention"


def uses_xformers(device: torch.device) -> bool:
    """Whether xformers' kernel serves the U-Net: on CUDA, where it is installed and its kernel really runs.

    An xformers built for another torch imports well and fails at its first call, hence the trial.
    """
    if device.type != "cuda" or find_spec("xformers") is None:
        return False
    try:
        from xformers.ops import memory_efficient_attention

        trial = torch.zeros(1, 8, 1, 64, device=device, dtype=torch.float16)
        memory_efficient_attention(trial, trial, trial)
    except Exception:  # whatever a foreign build raises: the kernel is not to be had
        return False
    return True


def memory_format(device: torch.device) -> torch.memory_format:
    """The layout of convolutions' tensors: channels_last on CUDA and on processors, measured in docs/speed.md."""
    return torch.contiguous_format if device.type == "mps" else torch.channels_last


def _has(check: str) -> bool:
    """What a function of `torch.cpu` says of this processor; no where the torch installed does not have it."""
    asked = getattr(torch.cpu, check, None)
    return asked is not None and bool(asked())


def _best_device() -> torch.device:
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _checked_device(name: str) -> torch.device:
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"The device '{name}' is not known; choose auto, cpu, cuda, cuda:1 or mps.") from error
    absent = {
        "cpu": bool(device.index),  # torch takes any number there, and there is one processor
        "cuda": not torch.cuda.is_available(),
        "mps": not torch.backends.mps.is_available(),
    }
    if absent.get(device.type, True):
        raise ConfigError(f"The device '{name}' is not available here; choose auto or cpu.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"There are {torch.cuda.device_count()} CUDA devices here, counted from 0; not {name}.")
    return device


def _best_dtype(device: torch.device) -> torch.dtype:
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if device.type == "cpu" and has_fast_bfloat16():
        return torch.bfloat16
    return torch.float32
