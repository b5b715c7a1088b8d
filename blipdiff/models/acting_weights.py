"""Weights of subjects on a U-Net for the length of one call: hooks that add to what layers say, by row and by place.

The network's own parameters are neither written nor replaced: after the call it is what it was, to the last bit.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from blipdiff.conditioning.subject_weights import CHANGE, DOWN, PREFIX, UP, Acting, SubjectWeights, weights_rest
from blipdiff.diffusers_types import UNet
from blipdiff.errors import SubjectError
from blipdiff.moment import Moment

Rows: TypeAlias = Sequence[Sequence[Acting]]
_Placed: TypeAlias = dict[tuple[Any, ...], dict[str, Tensor]]

_READ_WORDS = ("attn2.to_k", "attn2.to_v")

_placed: WeakKeyDictionary[SubjectWeights, _Placed] = WeakKeyDictionary()  # on a device, in a dtype


@contextmanager
def acting(unet: UNet, weights: Rows, pictures: Sequence[int], moment: Moment, size: tuple[int, int]) -> Iterator[None]:
    """The weights of each picture on a U-Net, for the length of the block.

    pictures: that each row of the U-Net's batch belongs to; size: (h, w) of the latents

    Raises: SubjectError for weights that name a layer which the U-Net does not have, or of another shape.
    """
    with torch.no_grad():
        hooks = [hook for one in _by_weights(weights, pictures, moment) for hook in _hooked(unet, one, moment, size)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@dataclass(frozen=True, slots=True, eq=False)
class _Used:
    """One subject's weights in a call, as its rows use them."""

    weights: SubjectWeights
    shares: Tensor  # (rows,)
    slots: slice | None
    where: Tensor | None  # (rows or 1, h, w)

    def amount(self, said: Tensor, size: tuple[int, int], *, reads_words: bool) -> Tensor:
        """How much they act on what a layer says (rows, ...): (rows, 1, ...), or by place where they have one.

        What a layer says of a reference that the rows read has no row of its own: they act on it where they act in
        all rows alike.
        """
        if len(said) != len(self.shares):
            is_everywhere = self.where is None and bool((self.shares == self.shares[0]).all())
            return (self.shares[:1] if is_everywhere else torch.zeros(1)).view(-1, *(1,) * (said.ndim - 1)).to(said)
        whole = self.shares.view(-1, *(1,) * (said.ndim - 1)).to(said)
        if reads_words:
            return whole if self.slots is None else whole * _inside(self.slots, said.shape[1]).to(said)
        grid = said.shape[-2:] if said.ndim == 4 else _grid(size, said.shape[1]) if said.ndim == 3 else None
        if self.where is None or grid is None:
            return whole
        small = functional.interpolate(self.where[:, None].float(), tuple(grid), mode="area")  # (rows or 1, 1, h, w)
        return whole * (small if said.ndim == 4 else small.flatten(2).transpose(1, 2)).to(said)


def _by_weights(weights: Rows, pictures: Sequence[int], moment: Moment) -> list[_Used]:
    """Each subject's weights once, with their share in every row. Those whose place is still looked for are out."""
    found: dict[tuple[int, Any], list[Acting | None]] = {}
    for number, row in enumerate(weights):
        for one in row:
            slots = None if one.slots is None else (one.slots.start, one.slots.stop)
            found.setdefault((id(one.weights), slots), [None] * len(weights))[number] = one
    used = []
    for uses in found.values():
        first = next(one for one in uses if one is not None)
        where = first.where if first.where is None or isinstance(first.where, Tensor) else first.where(moment)
        if where is None and first.where is not None:
            continue
        shares = torch.tensor([0.0 if one is None else one.share for one in uses])[list(pictures)]
        place = where if where is None or len(where) == 1 else where[list(pictures)]
        used.append(_Used(first.weights, shares, first.slots, place))
    return used


def _hooked(unet: UNet, used: _Used, moment: Moment, size: tuple[int, int]) -> Iterator[Any]:
    layers = dict(unet.named_modules())
    tensors = _on(used.weights, unet)
    rank = used.weights.rank_at(float(moment.timestep))
    for name in used.weights.layers:
        layer = _layer(layers, name)
        down, up = tensors[f"{PREFIX}{name}{DOWN}"], tensors[f"{PREFIX}{name}{UP}"]
        if not isinstance(layer, nn.Linear) or (up.shape[0], down.shape[1]) != tuple(layer.weight.shape):
            raise SubjectError(f"The subject's weights for {name} do not fit this model; tune it again with this one.")
        yield layer.register_forward_hook(_low_rank(used, down[:rank], up[:, :rank], name, size))
    changed: dict[str, dict[str, Tensor]] = {}
    for name, change in tensors.items():
        if name.endswith(CHANGE):
            path, _, parameter = name.removeprefix(PREFIX).removesuffix(CHANGE).rpartition(".")
            changed.setdefault(path, {})[parameter] = change
    for path, of_layer in changed.items():
        layer = _layer(layers, path)
        yield layer.register_forward_hook(_replaced(used, of_layer, path, size), with_kwargs=True)


def _low_rank(used: _Used, down: Tensor, up: Tensor, name: str, size: tuple[int, int]) -> Callable[..., Tensor]:
    def add(_layer: nn.Module, given: tuple[Tensor, ...], said: Tensor) -> Tensor:
        if weights_rest():
            return said
        change = functional.linear(functional.linear(given[0], down), up)
        return said + change * used.amount(said, size, reads_words=name.endswith(_READ_WORDS))

    return add


def _replaced(used: _Used, changes: dict[str, Tensor], path: str, size: tuple[int, int]) -> Callable[..., Tensor]:
    """What the layer would say with other parameters, as far as each row has them."""

    def say(layer: nn.Module, given: tuple[Any, ...], named: dict[str, Any], said: Tensor) -> Tensor:
        if weights_rest():
            return said
        own = dict(layer.named_parameters(recurse=False))
        if any(name not in own or own[name].shape != one.shape for name, one in changes.items()):
            raise SubjectError(f"The subject's weights for {path} do not fit this model; tune it again with this one.")
        changed = {f"layer.{name}": own[name] + one for name, one in changes.items()}
        other: Tensor = functional_call(_Bare(layer), changed, given, named)
        amount = used.amount(said, size, reads_words=path.endswith(_READ_WORDS))
        return other if bool((amount == 1).all()) else said + (other - said) * amount

    return say


class _Bare(nn.Module):
    """A layer without its hooks."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, *given: Any, **named: Any) -> Any:
        return self.layer.forward(*given, **named)


def _layer(layers: dict[str, nn.Module], name: str) -> nn.Module:
    if name not in layers:
        raise SubjectError(f"The subject's weights change {name}, which this model does not have; tune it again.")
    return layers[name]


def _on(weights: SubjectWeights, unet: UNet) -> dict[str, Tensor]:
    """The tensors where the U-Net computes, kept as long as the weights are."""
    kept = _placed.setdefault(weights, {})
    key = (unet.device, unet.dtype)
    if key not in kept:
        kept.clear()
        kept[key] = {name: one.detach().to(unet.device, unet.dtype) for name, one in weights.tensors.items()}
    return kept[key]


def _grid(size: tuple[int, int], places: int) -> tuple[int, int] | None:
    """The rows and columns of a level of the U-Net with so many places; None where it has no such level."""
    height, width = size
    while height * width > places:
        height, width = math.ceil(height / 2), math.ceil(width / 2)
    return (height, width) if height * width == places else None


def _inside(slots: slice, count: int) -> Tensor:
    """(1, count, 1): 1 where a slot is among them."""
    found = torch.zeros(1, count, 1)
    found[:, slots] = 1
    return found
