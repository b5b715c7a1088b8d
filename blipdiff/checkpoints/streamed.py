"""Safetensors files written tensor by tensor, so that a network need never be in memory as a whole."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from blipdiff.errors import CheckpointError

_NAMES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.float64: "F64"}


def write_streamed(
    path: Path, shapes: Mapping[str, tuple[torch.dtype, tuple[int, ...]]], tensors: Iterable[tuple[str, Tensor]]
) -> None:
    """A safetensors file of tensors that come one by one, in the order of `shapes`.

    Raises: CheckpointError for one that is not what was announced.
    """
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, (dtype, shape) in shapes.items():
        start, end = end, end + torch.Size(shape).numel() * dtype.itemsize
        header[name] = {"dtype": _NAMES[dtype], "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        announced = iter(shapes.items())
        for name, tensor in tensors:
            wanted = next(announced, None)
            if wanted != (name, (tensor.dtype, tuple(tensor.shape))):
                raise CheckpointError(f"{name} came where {wanted[0] if wanted else 'nothing'} was announced.")
            file.write(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        if next(announced, None) is not None:
            raise CheckpointError(f"{path.name} lacks tensors that were announced.")
