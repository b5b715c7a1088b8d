"""The detail adapter: what self-attention layers add to their output from a clean reference of the subject.

Keys and values come from what the same U-Net sees in the reference without noise, once for a whole run (as in
DreamCache, Aiello et al. 2024, arXiv:2411.17786, sec. 3.2), and from the reference's latents themselves. Beside the
paper, queries and keys know where they stand: a small U-Net's features hardly correspond by themselves, and most of a
subject's details lie in the picture where they lie in its photo.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.functional import scaled_dot_product_attention

_OCTAVES = 4  # of the sines that say where a position is: half waves of 1, 1/2, 1/4, 1/8 of a picture's side
_PLACE = 4 * _OCTAVES


@dataclass(frozen=True, slots=True)
class LayerSizes:
    """A self-attention layer's width and heads."""

    width: int
    heads: int


@dataclass(frozen=True, slots=True)
class DetailAdapterSizes:
    """The layers that an adapter adds to, by their names in the U-Net, and the channels of the latents."""

    layers: Mapping[str, LayerSizes]
    latent_channels: int


class DetailLayer(nn.Module):
    """One layer's attention from the picture's positions to the reference's."""

    def __init__(self, sizes: LayerSizes, latent_channels: int) -> None:
        super().__init__()
        self.sizes = sizes
        width = sizes.width
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_k = nn.Linear(width + latent_channels, width, bias=False)
        self.to_v = nn.Linear(width + latent_channels, width, bias=False)
        self.place_q = nn.Linear(_PLACE, width, bias=False)
        self.place_k = nn.Linear(_PLACE, width, bias=False)
        self.nothing = nn.Parameter(torch.zeros(width))  # the key of a value of zeros: where nothing is to be added
        self.nearness = nn.Parameter(
            torch.zeros(sizes.heads)
        )  # logarithm: what a key's logit loses by a squared half side
        self.zoom = nn.Parameter(torch.zeros(sizes.heads))  # logarithm: how much larger the reference shows the subject
        self.to_out = nn.Linear(width, width)
        for zero in (self.to_out.weight, self.to_out.bias, self.place_q.weight, self.place_k.weight):
            nn.init.zeros_(zero)

    def forward(self, states: Tensor, places: Tensor, reference: "Seen") -> Tensor:
        """states (rows, positions, width), places (positions, 2) -> what is added: (rows, positions, width)"""
        return self.answer(states, self.offered(places, reference))

    def offered(self, places: Tensor, reference: "Seen") -> "Offered":
        """What the layer has to say to a picture's places, (positions, 2), whatever is asked there."""
        seen = reference.states
        asked = self.place_q(sines(places).to(seen))
        key = self._by_head(self.to_k(seen) + self.place_k(sines(reference.places).to(seen)))
        value = self._by_head(self.to_v(seen))
        bias = -self.nearness.float().exp()[:, None, None] * self._apart(places.float(), reference.places.float())
        if reference.is_inside is not None:
            bias = bias.masked_fill(~reference.is_inside[:, None, None], -1e4)
        nothing = self._by_head(self.nothing.to(seen).expand(len(seen), 1, -1))
        key, value = torch.cat([key, nothing], dim=2), torch.cat([value, torch.zeros_like(nothing)], dim=2)
        return Offered(asked, key, value, functional.pad(bias, (0, 1)).to(key))

    def answer(self, states: Tensor, offered: "Offered") -> Tensor:
        """states (rows, positions, width) -> what is added: (rows, positions, width)"""
        query = self._by_head(self.to_q(states) + offered.asked)
        key, value = (one.expand(len(states), -1, -1, -1) for one in (offered.key, offered.value))
        mixed = _mixed(query, key, value, offered.bias)
        added: Tensor = self.to_out(mixed.transpose(1, 2).flatten(2))
        return added

    def _apart(self, places: Tensor, seen: Tensor) -> Tensor:
        """Squares of how far a place is from where it is sought: (rows or 1, heads, positions, keys)"""
        sought = places * self.zoom.float().exp()[:, None, None]  # (heads, positions, 2)
        seen = seen if seen.ndim == 3 else seen[None]
        lengths = sought.square().sum(-1)[None, :, :, None] + seen.square().sum(-1)[:, None, None]
        return lengths - 2 * torch.einsum("hpc,rkc->rhpk", sought, seen)

    def _by_head(self, projected: Tensor) -> Tensor:
        rows, positions, _ = projected.shape
        return projected.view(rows, positions, self.sizes.heads, -1).transpose(1, 2)


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What a layer sees of references.

    states: (rows or 1, keys, width + latent channels); places: (rows or 1, keys, 2) or (keys, 2), from -1 to 1 across
    and down; is_inside: (rows or 1, keys), whether a key belongs to the subject, all of them if None
    """

    states: Tensor
    places: Tensor
    is_inside: Tensor | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Offered:
    """What a layer's attention needs of a reference and of the picture's places: the same at every step of a run.

    asked: (positions, width), added to the queries; key, value: (rows or 1, heads, keys, width of a head); bias: (rows
    or 1, heads, positions, keys), on the logits
    """

    asked: Tensor
    key: Tensor
    value: Tensor
    bias: Tensor


class DetailAdapter(nn.Module):
    """An adapter for a U-Net's self-attention layers; a fresh one adds nothing.

    detail: how much a model reads by it where nobody says, from 0 to 1
    """

    def __init__(self, sizes: DetailAdapterSizes, detail: float = 1.0) -> None:
        super().__init__()
        self.sizes, self.detail = sizes, detail
        self.layers = nn.ModuleDict(
            {_key(name): DetailLayer(one, sizes.latent_channels) for name, one in sizes.layers.items()}
        )

    def reads_at(self, name: str) -> bool:
        """Whether something is added to the layer of this name."""
        return _key(name) in self.layers

    def layer(self, name: str) -> DetailLayer:
        """The part for the layer of this name."""
        found = self.layers[_key(name)]
        assert isinstance(found, DetailLayer)
        return found


def places_of(
    height: int, width: int, device: torch.device | str = "cpu", frame: tuple[float, float, float, float] | None = None
) -> Tensor:
    """Where the positions of a grid are: (height * width, 2), across and down, the shorter side from -1 to 1.

    frame: (top, left, bottom, right) of a part of the grid, in fractions of it, whose middle and sides count instead
    """
    top, left, bottom, right = frame or (0.0, 0.0, 1.0, 1.0)
    shorter = min((bottom - top) * height, (right - left) * width)
    down = ((torch.arange(height, device=device) + 0.5) * 2 - (top + bottom) * height) / shorter
    across = ((torch.arange(width, device=device) + 0.5) * 2 - (left + right) * width) / shorter
    return torch.stack([across.expand(height, -1), down[:, None].expand(-1, width)], dim=-1).reshape(-1, 2)


def sines(places: Tensor) -> Tensor:
    """(..., 2) -> (..., 16)"""
    waves = places[..., None] * (math.pi / 2 * 2.0 ** torch.arange(_OCTAVES, device=places.device))
    return torch.cat([waves.sin(), waves.cos()], dim=-1).flatten(-2)


def _mixed(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    """Attention by head; where it is learned on a processor by plain products, a third of the fused backward's time."""
    if query.device.type != "cpu" or not query.requires_grad:
        return scaled_dot_product_attention(query, key, value, attn_mask=bias)
    scale = query.shape[-1] ** -0.5
    scores = torch.matmul(query * scale, key.transpose(-1, -2)) + bias
    return torch.matmul(scores.softmax(-1).to(value), value)


def _key(name: str) -> str:
    """A module's name has no dots."""
    return name.replace(".", "-")
