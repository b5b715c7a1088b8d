"""Attention with its probabilities in the open, as a tap needs them."""

from collections.abc import Callable

import torch
from diffusers.models.attention_processor import Attention
from torch import Tensor


def explicit_attention(
    attention: Attention,
    hidden_states: Tensor,
    edit: Callable[[Tensor], Tensor],
    *,
    encoder_hidden_states: Tensor | None = None,
    attention_mask: Tensor | None = None,
    temb: Tensor | None = None,
) -> Tensor:
    """What a layer of diffusers computes, with its probabilities passed through `edit` on the way.

    The same to rounding as diffusers' own processors, norms, upcasts, masks and residual included; the scores of all
    rows are in memory at once, which is why only layers that a tap wants come here.

    hidden_states: (rows, queries, width) or (rows, width, h, w) -> the same shape;
    edit: (rows, heads, queries, keys) -> the same shape
    """
    states = hidden_states
    if attention.spatial_norm is not None:
        states = attention.spatial_norm(states, temb)
    if states.ndim == 4:
        states = states.flatten(2).transpose(1, 2)  # (rows, queries, width)
    rows, keys = states.shape[0], (states if encoder_hidden_states is None else encoder_hidden_states).shape[1]
    mask = attention.prepare_attention_mask(attention_mask, keys, rows)
    if attention.group_norm is not None:
        states = attention.group_norm(states.transpose(1, 2)).transpose(1, 2)
    context = states
    if encoder_hidden_states is not None:
        context = encoder_hidden_states
        if attention.norm_cross:
            context = attention.norm_encoder_hidden_states(context)
    query = _by_head(attention, attention.to_q(states), attention.norm_q)
    key = _by_head(attention, attention.to_k(context), attention.norm_k)
    value = _by_head(attention, attention.to_v(context), None)
    probs = attention.get_attention_scores(query, key, mask)  # (rows * heads, queries, keys)
    probs = edit(probs.view(rows, attention.heads, *probs.shape[1:])).reshape(probs.shape)
    mixed = attention.batch_to_head_dim(torch.bmm(probs.to(value.dtype), value))
    return _projected(attention, mixed, hidden_states)


def _projected(attention: Attention, mixed: Tensor, residual: Tensor) -> Tensor:
    """The output projection, its dropout, the residual and the scale that end a layer."""
    for module in attention.to_out:
        mixed = module(mixed)
    if residual.ndim == 4:
        mixed = mixed.transpose(1, 2).reshape(residual.shape)
    if attention.residual_connection:
        mixed = mixed + residual
    ended: Tensor = mixed / attention.rescale_output_factor
    return ended


def _by_head(attention: Attention, projected: Tensor, norm: torch.nn.Module | None) -> Tensor:
    """(rows, places, width) -> (rows * heads, places, width of a head)"""
    rows, places, width = projected.shape
    heads = projected.view(rows, places, attention.heads, width // attention.heads).transpose(1, 2)
    heads = heads if norm is None else norm(heads)
    return heads.reshape(rows * attention.heads, places, -1)
