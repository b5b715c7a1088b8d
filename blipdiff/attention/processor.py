"""Attention of our own: with its probabilities in the open, as a tap needs them, or with more keys and values."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from diffusers.models.attention_processor import Attention
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from blipdiff.attention.context import MoreKeys


@dataclass(frozen=True, slots=True, eq=False)
class Heads:
    """A layer's projections by head, (rows * heads, positions, width of a head), and what is added to its logits."""

    query: Tensor
    key: Tensor
    value: Tensor
    bias: Tensor | None  # (rows, heads or 1, 1 or queries, keys)


def explicit_attention(
    attention: Attention,
    hidden_states: Tensor,
    edit: Callable[[Tensor], Tensor],
    more: MoreKeys | None,
    *,
    encoder_hidden_states: Tensor | None = None,
    attention_mask: Tensor | None = None,
    temb: Tensor | None = None,
) -> Tensor:
    """What a layer of diffusers computes, with its probabilities passed through `edit` on the way.

    The same to rounding as diffusers' own processors, norms, upcasts, masks and residual included; the scores of all
    rows are in memory at once, which is why only layers that a tap wants come here.

    hidden_states: (rows, queries, width) or (rows, width, h, w) -> the same shape;
    edit: (rows, heads, queries, keys) -> the same shape, the keys of `more` after the layer's own
    """
    heads = projected_heads(attention, hidden_states, encoder_hidden_states, attention_mask, temb, more)
    rows, bias = hidden_states.shape[0], heads.bias
    if bias is not None:
        bias = bias.expand(rows, attention.heads, -1, -1).flatten(0, 1)
    probs = attention.get_attention_scores(heads.query, heads.key, bias)  # (rows * heads, queries, keys)
    probs = edit(probs.view(rows, attention.heads, *probs.shape[1:])).reshape(probs.shape)
    mixed = attention.batch_to_head_dim(torch.bmm(probs.to(heads.value.dtype), heads.value))
    return projected_output(attention, mixed, hidden_states)


def extended_attention(
    attention: Attention,
    hidden_states: Tensor,
    more: MoreKeys,
    *,
    encoder_hidden_states: Tensor | None = None,
    attention_mask: Tensor | None = None,
    temb: Tensor | None = None,
) -> Tensor:
    """What a self-attention layer of diffusers computes when it also reads `more`, by torch's fused kernels.

    A mask is in the way of the fastest of them, and is there only where there is a bias; it is one for all heads.

    hidden_states: (rows, queries, width) or (rows, width, h, w) -> the same shape
    """
    heads = projected_heads(attention, hidden_states, encoder_hidden_states, attention_mask, temb, more)
    query, key, value = (
        one.view(hidden_states.shape[0], attention.heads, *one.shape[1:])
        for one in (heads.query, heads.key, heads.value)
    )
    mask = None if heads.bias is None else heads.bias.to(query)
    mixed = scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=attention.scale)
    return projected_output(attention, mixed.transpose(1, 2).flatten(2), hidden_states)


def projected_heads(
    attention: Attention,
    hidden_states: Tensor,
    encoder_hidden_states: Tensor | None,
    attention_mask: Tensor | None,
    temb: Tensor | None,
    more: MoreKeys | None,
) -> Heads:
    """The projections of a layer's states, and of those that it reads besides, by head; norms and masks included."""
    states = hidden_states
    if attention.spatial_norm is not None:
        states = attention.spatial_norm(states, temb)
    if states.ndim == 4:
        states = states.flatten(2).transpose(1, 2)  # (rows, queries, width)
    rows, keys = states.shape[0], (states if encoder_hidden_states is None else encoder_hidden_states).shape[1]
    bias = attention.prepare_attention_mask(attention_mask, keys, rows)
    bias = None if bias is None else bias.unflatten(0, (rows, attention.heads))
    if attention.group_norm is not None:
        states = attention.group_norm(states.transpose(1, 2)).transpose(1, 2)
    context = states
    if encoder_hidden_states is not None:
        context = encoder_hidden_states
        if attention.norm_cross:
            context = attention.norm_encoder_hidden_states(context)
    if more is not None:
        bias = _with_more(attention, bias, more, context)
        context = torch.cat([context, more.states.to(context)], dim=1)
    return Heads(
        _by_head(attention, attention.to_q(states), attention.norm_q),
        _by_head(attention, attention.to_k(context), attention.norm_k),
        _by_head(attention, attention.to_v(context), None),
        bias,
    )


def _with_more(attention: Attention, bias: Tensor | None, more: MoreKeys, own: Tensor) -> Tensor | None:
    """The bias of the layer's own keys and of those that are added; None where neither has one."""
    if bias is None and more.bias is None:
        return None
    rows, keys, _ = own.shape
    scored = own.float() if attention.upcast_attention else own
    before = scored.new_zeros(1, 1, 1, keys) if bias is None else bias.to(scored)
    after = scored.new_zeros(1, 1, 1, more.states.shape[1]) if more.bias is None else more.bias.to(scored)
    shape = (rows, before.shape[1], max(before.shape[2], after.shape[2]), -1)
    return torch.cat([before.expand(shape), after.expand(shape)], dim=-1)  # (rows, heads or 1, 1 or queries, keys)


def projected_output(attention: Attention, mixed: Tensor, residual: Tensor) -> Tensor:
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
    """(rows, positions, width) -> (rows * heads, positions, width of a head)"""
    rows, positions, width = projected.shape
    heads = projected.view(rows, positions, attention.heads, width // attention.heads).transpose(1, 2)
    heads = heads if norm is None else norm(heads)
    return heads.reshape(rows * attention.heads, positions, -1)
