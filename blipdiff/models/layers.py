"""What the vision trunk, the Q-Former and the text encoder share: attention, activations, CLIP's blocks."""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from blipdiff.errors import ConfigError


def attend(
    query: Tensor, key: Tensor, value: Tensor, heads: int, *, mask: Tensor | None = None, causal: bool = False
) -> Tensor:
    """Scaled dot-product attention over `heads` equal parts of the width.

    query (rows, queries, width), key and value (rows, keys, width) -> (rows, queries, width).
    `mask` is boolean, True where a query may look, and broadcasts to (rows, heads, queries, keys).
    """
    rows, queries, width = query.shape
    q, k, v = (t.view(rows, -1, heads, width // heads).transpose(1, 2) for t in (query, key, value))
    mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)
    return mixed.transpose(1, 2).reshape(rows, queries, width)


def quick_gelu(x: Tensor) -> Tensor:
    """The sigmoid approximation of GELU that CLIP was trained with; 0.014 off the exact one here."""
    return x * torch.sigmoid(1.702 * x)


def activation(name: str) -> Callable[[Tensor], Tensor]:
    """The activation that a checkpoint's configuration names.

    Raises: ConfigError for a name that neither CLIP nor BERT checkpoints use.
    """
    known: dict[str, Callable[[Tensor], Tensor]] = {"quick_gelu": quick_gelu, "gelu": functional.gelu}
    if name not in known:
        raise ConfigError(f"The activation '{name}' is not known here; expected one of: {', '.join(known)}.")
    return known[name]


class BlockSizes(Protocol):
    """What a block has to know of its encoder's sizes."""

    @property
    def width(self) -> int: ...
    @property
    def mlp_width(self) -> int: ...
    @property
    def eps(self) -> float: ...
    @property
    def activation(self) -> str: ...


class MLP(nn.Module):
    """Two linear maps with the checkpoint's activation between."""

    def __init__(self, sizes: BlockSizes) -> None:
        super().__init__()
        self.activation = activation(sizes.activation)
        self.fc1 = nn.Linear(sizes.width, sizes.mlp_width)
        self.fc2 = nn.Linear(sizes.mlp_width, sizes.width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.activation(self.fc1(x)))  # type: ignore[no-any-return]


class Block(nn.Module):
    """A pre-norm transformer block around an attention, CLIP's for pictures and texts alike."""

    def __init__(self, attention: nn.Module, sizes: BlockSizes) -> None:
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(sizes.width, eps=sizes.eps)
        self.self_attn = attention
        self.layer_norm2 = nn.LayerNorm(sizes.width, eps=sizes.eps)
        self.mlp = MLP(sizes)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.self_attn(self.layer_norm1(x))
        return x + self.mlp(self.layer_norm2(x))  # type: ignore[no-any-return]
