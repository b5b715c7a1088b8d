"""The fingerprint of a subject encoder: which model a subject card belongs to."""

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor

_SAMPLES = 64


class Fingerprint:
    """Gathers tensors in any order, as they come from disk; the digest depends on names, shapes and sampled values."""

    def __init__(self) -> None:
        self._seen: dict[str, bytes] = {}

    def add(self, name: str, tensor: Tensor) -> None:
        """Takes note of one tensor: at most 64 evenly spaced values, rounded so that a bfloat16 copy counts alike."""
        flat = tensor.detach().reshape(-1)
        places = torch.linspace(0, max(flat.numel() - 1, 0), min(_SAMPLES, flat.numel()), dtype=torch.float64).long()
        values = flat[places.to(flat.device)].to("cpu", torch.bfloat16).view(torch.int16)
        text = f"{name}{tuple(tensor.shape)}".encode()
        self._seen[name] = text + values.numpy().astype("<i2").tobytes()

    def digest(self) -> str:
        """16 hexadecimal digits."""
        return hashlib.sha256(b"".join(self._seen[name] for name in sorted(self._seen))).hexdigest()[:16]


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """16 hexadecimal digits that tell one subject encoder's weights from another's."""
    gathered = Fingerprint()
    for name, tensor in tensors.items():
        gathered.add(name, tensor)
    return gathered.digest()
