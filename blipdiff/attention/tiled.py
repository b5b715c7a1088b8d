"""Attention by plain matrix products, a tile at a time: on processors with fast bfloat16 that SDPA does not use.

There torch's fused attention multiplies at the pace of float32. Plain products run at bfloat16's own pace, as long as a
tile's scores stay in the cache and its memory is used again; all scores at once are slower than the fused kernel.
`benchmarks/attention_kernels.py` measures both.
"""

import torch
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from torch import Tensor, nn

from blipdiff.attention.processor import projected_heads, projected_output

# Scores of one tile, 4 MiB: the fastest, or within 5 % of it, from 256 to 4096 places (Zen 5 with 1 MiB of second-level
# cache a core and 32 MiB of third). Smaller tiles pay for more calls, larger ones leave the cache.
TILE_SCORES = 2**21
# Scores of a layer, for one row and all heads, below which SDPA stays: there the calls cost as much as the products.
# The smallest layer that was measured has 6 heads at 8 x 8 places, 24,576 scores, and gains.
LEAST_SCORES = 2**14


class TiledProcessor:
    """What computes a layer of diffusers by tiles where that is faster and by its own kernel, SDPA, elsewhere.

    Faster: bfloat16 on the processor, no mask, no gradient, as many scores as `LEAST_SCORES`. Results differ from
    SDPA's by bfloat16's rounding of the scores, which SDPA keeps in float32.
    """

    def __init__(self) -> None:
        self.inner = AttnProcessor2_0()

    def __call__(
        self,
        attention: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        if attention_mask is not None or not serves(attention, hidden_states, encoder_hidden_states):
            found: Tensor = self.inner(attention, hidden_states, encoder_hidden_states, attention_mask, temb)
            return found
        heads = projected_heads(attention, hidden_states, encoder_hidden_states, None, temb, None)
        mixed = tiled_attention(heads.query, heads.key, heads.value)
        mixed = mixed.unflatten(0, (-1, attention.heads)).transpose(1, 2).flatten(2)  # (rows, queries, width)
        return projected_output(attention, mixed, hidden_states)


def set_tiled(net: nn.Module) -> int:
    """Puts `TiledProcessor` in place of SDPA's processor, and of no other; how many layers have it then."""
    layers = [module for module in net.modules() if isinstance(module, Attention)]
    for layer in layers:
        if type(layer.processor) is AttnProcessor2_0:
            layer.processor = TiledProcessor()
    return sum(isinstance(layer.processor, TiledProcessor) for layer in layers)


def serves(attention: Attention, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None) -> bool:
    """Whether tiles are the faster way for a layer; see `TiledProcessor`."""
    if hidden_states.dtype != torch.bfloat16 or hidden_states.device.type != "cpu" or torch.is_grad_enabled():
        return False
    if attention.upcast_attention or attention.upcast_softmax:
        return False
    queries = hidden_states.shape[1] if hidden_states.ndim == 3 else hidden_states[0, 0].numel()
    keys = queries if encoder_hidden_states is None else encoder_hidden_states.shape[1]
    return int(attention.heads * queries * keys) >= LEAST_SCORES


def tiled_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """softmax(query key^T / sqrt(width)) value, computed with two tiles of `TILE_SCORES` beside the result.

    query: (heads of all rows, queries, width), key, value: (heads of all rows, keys, width) -> query's shape, without
    gradients
    """
    heads, queries, width = query.shape
    keys = key.shape[1]
    lines = min(queries, max(1, TILE_SCORES // keys))
    together = max(1, min(heads, TILE_SCORES // (lines * keys)))
    scores, probs = (query.new_empty(together * lines * keys) for _ in range(2))
    out, across = torch.empty_like(query), key.transpose(1, 2)
    for first in range(0, heads, together):
        some = slice(first, min(first + together, heads))
        for start in range(0, queries, lines):
            those = slice(start, min(start + lines, queries))
            shape = (some.stop - some.start, those.stop - those.start, keys)
            size = shape[0] * shape[1] * shape[2]
            tile, soft = scores[:size].view(shape), probs[:size].view(shape)
            torch.baddbmm(tile, query[some, those], across[some], beta=0, alpha=width**-0.5, out=tile)
            torch.softmax(tile, -1, out=soft)
            torch.bmm(soft, value[some], out=out[some, those])
    return out
