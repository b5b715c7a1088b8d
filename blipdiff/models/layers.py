"""Multi-head attention and activations that the vision trunk, the Q-Former and the text encoder share."""

from collections.abc import Callable

import torch
from torch import Tensor
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
