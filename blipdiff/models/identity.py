"""Which model this is: a fingerprint for what reads the subject, and one for each part that draws.

The subject's is of values rounded to bfloat16, so that a card fits every copy of its encoder. A part that draws is
told by its values as they are stored, before a load converts them: a fine-tune by less than bfloat16's rounding is
another part, a load in another dtype or memory format is the same. A copy saved in another dtype is another part.
"""

import hashlib
import inspect
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any
from weakref import ReferenceType, WeakKeyDictionary, ref

import diffusers
import torch
from torch import Tensor, nn

from blipdiff.diffusers_types import VAE, UNet
from blipdiff.models.context_text_encoder import ContextTextEncoder

SUBJECT = torch.bfloat16  # the rounding of subject encoders and control nets: cards and pictures know them by it
DRAWING = torch.float32  # no rounding: of the U-Net, the text encoder and the VAE

_SAMPLES = 64
_BITS = {torch.bfloat16: (torch.int16, "<i2"), torch.float32: (torch.int32, "<i4")}
_LABELS = {
    "unet": "U-Net",
    "text_encoder": "text encoder",
    "vae": "VAE",
    "scheduler": "scheduler settings",
    "detail_adapter": "detail adapter",
}
_SIZES_ONLY = ("sample_size",)  # of a VAE: published copies of the same weights differ in it, and it draws nothing


class Fingerprint:
    """Gathers tensors in any order, as they come from disk; the digest depends on names, shapes and sampled values."""

    def __init__(self, rounding: torch.dtype = SUBJECT) -> None:
        self._rounding = rounding
        self._seen: dict[str, bytes] = {}

    def add(self, name: str, tensor: Tensor) -> None:
        """Takes note of one tensor: at most 64 evenly spaced values, in the order of its axes, not of its memory."""
        tensor = tensor.detach()
        count = tensor.numel()
        places = torch.linspace(0, max(count - 1, 0), min(_SAMPLES, count), dtype=torch.float64).long()
        places = places.to(tensor.device)
        if tensor.is_contiguous():
            values = tensor.reshape(-1)[places]
        else:  # flattening would copy it
            values = tensor[torch.unravel_index(places, tensor.shape)]
        bits, stored = _BITS[self._rounding]
        text = f"{name}{tuple(tensor.shape)}".encode()
        self._seen[name] = text + values.to("cpu", self._rounding).view(bits).numpy().astype(stored).tobytes()

    def added(self, tensors: Mapping[str, Tensor]) -> "Fingerprint":
        """Another one, with these tensors besides, or in place of those of the same names."""
        other = Fingerprint(self._rounding)
        other._seen |= self._seen
        for name, tensor in tensors.items():
            other.add(name, tensor)
        return other

    def digest(self) -> str:
        """16 hexadecimal digits."""
        return _digest(b"".join(self._seen[name] for name in sorted(self._seen)))


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """16 hexadecimal digits that tell one subject encoder's weights from another's."""
    return Fingerprint().added(tensors).digest()


@dataclass(frozen=True, slots=True)
class Addition:
    """What was put on a model as it was loaded, which the fingerprints of its parts do not show.

    weight: how strongly it acts, where that can be chosen; words: those that call it up, or that it adds
    """

    kind: str  # "LoRA", "embedding"
    name: str
    weight: float | None
    fingerprint: str
    words: tuple[str, ...] = ()

    @property
    def part(self) -> str:
        """Its name among the parts that draw: "LoRA chalk at 0.8"."""
        return f"{self.kind} {self.name}" + ("" if self.weight is None else f" at {self.weight:.12g}")


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """`subject` says which subject cards fit; `parts` is a fingerprint for each part that draws, by its name."""

    subject: str
    parts: Mapping[str, str]

    @property
    def model(self) -> str:
        """16 hexadecimal digits of everything that draws."""
        return _digest(json.dumps(dict(self.parts), sort_keys=True).encode())

    def told(self) -> dict[str, Any]:
        """As metadata tell it, beside the model's name."""
        return {"fingerprint": self.subject, "identity": self.model, "parts": dict(self.parts)}

    def differing(self, told: Mapping[str, Any]) -> list[str]:
        """The parts that draw, in words, in which this model is another than the one that `told()` was written of.

        Empty where metadata of an earlier version tell no parts.
        """
        if told.get("identity") in (None, self.model):
            return []
        parts = told.get("parts")
        others = parts if isinstance(parts, Mapping) else {}
        names = [*self.parts, *(str(name) for name in others if name not in self.parts)]
        return [_LABELS.get(name, name) for name in names if others.get(name) != self.parts.get(name)]


def drawing_parts(
    unet: UNet, text_encoder: ContextTextEncoder, vae: VAE, scheduler_config: Mapping[str, Any], insert_at: int
) -> dict[str, str]:
    """The fingerprint of each part that draws: its weights, and the settings in which it is not the usual one."""
    words = _unusual(asdict(text_encoder.sizes), type(text_encoder.sizes)) | {"insert_at": insert_at}
    frame = {name: value for name, value in vae.config.items() if name not in _SIZES_ONLY}
    scheduler = getattr(diffusers, str(scheduler_config.get("_class_name", "PNDMScheduler")), None)
    return {
        "unet": _part(weights_fingerprint(unet), _unusual(unet.config, type(unet))),
        "text_encoder": _part(weights_fingerprint(text_encoder), words),
        "vae": _part(weights_fingerprint(vae), _unusual(frame, type(vae))),
        "scheduler": _part(getattr(scheduler, "__name__", ""), _unusual(scheduler_config, scheduler)),
    }


# What is known of networks


@dataclass(frozen=True, slots=True)
class _Seen:
    """A network's fingerprint, and the parameters it was taken of, each as often as it had been written in place."""

    fingerprint: Fingerprint
    weights: tuple[tuple[ReferenceType[Tensor], int], ...]

    def is_of(self, net: nn.Module) -> bool:
        """Whether its parameters are still these, unwritten; moved or converted ones are."""
        own = list(net.parameters())
        return len(own) == len(self.weights) and all(
            weight is seen() and _writes(weight) == writes
            for weight, (seen, writes) in zip(own, self.weights, strict=True)
        )


_known: WeakKeyDictionary[nn.Module, list[_Seen]] = WeakKeyDictionary()  # as it was loaded, then as it was seen last


def remember(net: nn.Module, stored: Fingerprint) -> None:
    """Notes the fingerprint of a network's weights as they are stored, which its own dtype may not show."""
    _known[net] = [_seen(net, stored)]


def weights_fingerprint(net: nn.Module) -> str:
    """16 hexadecimal digits of a network's weights: as they were stored, or as they are, where they were changed."""
    return known_fingerprint(net).digest()


def known_fingerprint(net: nn.Module) -> Fingerprint:
    """The fingerprint of a network's weights: as they were stored, or as they are, where they were changed."""
    known = _known.get(net, [])
    if known and any(weight.is_meta for weight in net.parameters()):  # offloaded: there are no values to look at
        return known[-1].fingerprint
    for seen in known:
        if seen.is_of(net):
            return seen.fingerprint
    own = Fingerprint(DRAWING).added(net.state_dict())
    _known[net] = [*known[:1], _seen(net, own)]
    return own


def _seen(net: nn.Module, own: Fingerprint) -> _Seen:
    return _Seen(own, tuple((ref(weight), _writes(weight)) for weight in net.parameters()))


def _writes(weight: Tensor) -> int:
    return 0 if weight.is_inference() else weight._version


# Settings


def _unusual(settings: Mapping[str, Any], kind: type | None) -> dict[str, Any]:
    """The settings that are not their class's defaults, which a configuration may write out or leave out."""
    usual = {} if kind is None else _defaults(kind)
    plain = {name: value for name, value in settings.items() if not name.startswith("_")}
    return {name: value for name, value in plain.items() if name not in usual or _json(value) != _json(usual[name])}


def _defaults(kind: type) -> dict[str, Any]:
    found: Iterable[inspect.Parameter] = inspect.signature(kind).parameters.values()
    return {one.name: one.default for one in found if one.default is not inspect.Parameter.empty}


def _part(weights: str, settings: Mapping[str, Any]) -> str:
    return _digest(f"{weights}{_json(settings)}".encode())


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
