"""Taps: how attention probabilities are read and replaced without changing the U-Net."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any, Protocol

import torch
from diffusers.models.attention_processor import (
    Attention,
    AttnProcessor,
    AttnProcessor2_0,
    FusedAttnProcessor2_0,
    SlicedAttnProcessor,
    XFormersAttnProcessor,
)
from torch import Tensor, nn

from blipdiff.attention.context import Added, KeyValueSource, MoreKeys, SiteConditioning
from blipdiff.attention.processor import explicit_attention, extended_attention
from blipdiff.attention.sites import AttentionSite, Block, Kind
from blipdiff.attention.tiled import TiledProcessor
from blipdiff.diffusers_types import UNet
from blipdiff.errors import ConfigError, ShapeError
from blipdiff.moment import Moment

# The processors that compute the same attention by different kernels; others (IP-Adapter's) add terms of their own.
_SAME_MATHEMATICS = (
    AttnProcessor,
    AttnProcessor2_0,
    FusedAttnProcessor2_0,
    SlicedAttnProcessor,
    TiledProcessor,
    XFormersAttnProcessor,
)
_PLAIN = ("torch", "diffusers")  # whose layers a network without additions is made of
_BLOCKS: dict[str, Block] = {"down_blocks": "down", "mid_block": "mid", "up_blocks": "up"}
_SWAPPING = Lock()  # held only while processors are exchanged


class AttentionTap(Protocol):
    """What reads or replaces the attention probabilities of the layers that it wants."""

    def wants(self, site: AttentionSite, moment: Moment, queries: int) -> bool:
        """Whether it takes this layer, which has `queries` positions, at this moment."""

    def __call__(self, probs: Tensor, site: AttentionSite, moment: Moment) -> Tensor:
        """The probabilities to go on with; those given are never changed in place.

        probs: (rows, heads, queries, keys) of the conditional rows -> the same shape. Where a `KeyValueSource` gives a
        self-attention layer more to read, its keys come after the layer's own.
        """


@dataclass(frozen=True, slots=True)
class TapCall:
    """What a tapped attention layer is told about the U-Net call that it is part of."""

    taps: tuple[AttentionTap, ...]
    moment: Moment
    first_conditional_row: int
    conditioning: SiteConditioning | None = None
    more_keys: KeyValueSource | None = None


@contextmanager
def tapped(unet: UNet) -> Iterator[None]:
    """Makes the U-Net's attention layers listen to taps, and leaves its processors as they were: the same objects.

    Each processor is wrapped and kept as `inner`. The wrapper holds nothing of a run: what it is to do travels in
    `cross_attention_kwargs={"tap_call": TapCall(...)}`, and a call without it, or whose taps do not want the layer,
    is `inner`'s own. So runs in several threads may tap one U-Net at once; the last to leave restores it.

    Raises: ConfigError for a processor whose attention taps cannot see, such as an IP-Adapter's.
    """
    with _SWAPPING:
        held = _wrap(unet)
    try:
        yield
    finally:
        with _SWAPPING:
            _unwrap(held)


def is_plain(net: nn.Module) -> bool:
    """Whether a network computes what its configuration and its weights say, and nothing besides.

    Layers of other makers, other attention, hooks on what layers say, offloading and FreeU are besides; open taps are
    not, nor what looks at a layer before it computes.
    """
    for module in net.modules():
        if type(module).__module__.partition(".")[0] not in _PLAIN:
            return False
        if module._forward_hooks or hasattr(module, "_hf_hook") or getattr(module, "s1", None) is not None:
            return False
        if isinstance(module, Attention):
            processor = module.processor
            inner = processor.inner if isinstance(processor, _TappedProcessor) else processor
            if type(inner) not in _SAME_MATHEMATICS:
                return False
    return True


class _TappedProcessor:
    """A processor that shows its layer's probabilities to the taps that want them."""

    def __init__(self, inner: Any, site: AttentionSite) -> None:
        self.inner = inner
        self.site = site
        self.users = 0  # how many `tapped` blocks are open

    def __call__(
        self,
        attention: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
        tap_call: TapCall | None = None,
    ) -> Tensor:
        given = {"attention_mask": attention_mask, "temb": temb}
        own, other = encoder_hidden_states, tap_call.conditioning if tap_call is not None else None
        share = 1.0 if tap_call is None or other is None or own is None else other.share(self.site, tap_call.moment)
        if tap_call is None or other is None or own is None or share == 1:
            return self._attended(attention, hidden_states, tap_call, {"encoder_hidden_states": own, **given})
        words = torch.cat([own[: tap_call.first_conditional_row], other.words.to(own)])
        read = self._attended(attention, hidden_states, tap_call, {"encoder_hidden_states": words, **given})
        if share == 0:
            return read
        full = self._attended(attention, hidden_states, tap_call, {"encoder_hidden_states": own, **given})
        return share * full + (1 - share) * read

    def _attended(
        self, attention: Attention, hidden_states: Tensor, tap_call: TapCall | None, given: dict[str, Tensor | None]
    ) -> Tensor:
        if tap_call is None:
            return self._by_inner(attention, hidden_states, given)
        wanting = self._wanting(tap_call, _positions(hidden_states).shape[1])
        more, first = self._more(tap_call, hidden_states, given), tap_call.first_conditional_row
        if not isinstance(more, MoreKeys):
            found = self._as_it_is(attention, hidden_states, tap_call, wanting, given)
            return found if more is None else _with_added(found, more, first)
        conditional, rest = hidden_states[first:], _of_rows(given, slice(first, None))
        if wanting:
            shown = self._shown(wanting, tap_call.moment, 0)
            found = explicit_attention(attention, conditional, shown, more, **rest)
        else:
            found = extended_attention(attention, conditional, more, **rest)
        if not first:
            return found
        return torch.cat([self._by_inner(attention, hidden_states[:first], _of_rows(given, slice(0, first))), found])

    def _as_it_is(
        self,
        attention: Attention,
        hidden_states: Tensor,
        tap_call: TapCall,
        wanting: Sequence[AttentionTap],
        given: dict[str, Tensor | None],
    ) -> Tensor:
        if not wanting:
            return self._by_inner(attention, hidden_states, given)
        shown = self._shown(wanting, tap_call.moment, tap_call.first_conditional_row)
        return explicit_attention(attention, hidden_states, shown, None, **given)

    def _by_inner(self, attention: Attention, hidden_states: Tensor, given: dict[str, Tensor | None]) -> Tensor:
        told = {name: one for name, one in given.items() if one is not None}  # not every kernel takes all of them
        found: Tensor = self.inner(attention, hidden_states, **told)
        return found

    def _shown(self, wanting: Sequence[AttentionTap], moment: Moment, first: int) -> Callable[[Tensor], Tensor]:
        """What shows the probabilities of the rows from `first` on to the taps, one after the other."""

        def shown(probs: Tensor) -> Tensor:
            conditional = probs[first:]
            for tap in wanting:
                conditional = _checked(tap(conditional, self.site, moment), conditional, tap)
            return torch.cat([probs[:first], conditional]) if first else conditional

        return shown

    def _more(
        self, tap_call: TapCall, hidden_states: Tensor, given: dict[str, Tensor | None]
    ) -> MoreKeys | Added | None:
        if tap_call.more_keys is None or self.site.kind != "self" or given["encoder_hidden_states"] is not None:
            return None
        states = _positions(hidden_states)[tap_call.first_conditional_row :]
        more = tap_call.more_keys.more(states, self.site, tap_call.moment)
        return None if more is None else more.checked(states, self.site)

    def _wanting(self, tap_call: TapCall, queries: int) -> list[AttentionTap]:
        return [tap for tap in tap_call.taps if tap.wants(self.site, tap_call.moment, queries)]


def _with_added(found: Tensor, added: Added, first: int) -> Tensor:
    """A layer's output (rows, positions, width) or (rows, width, h, w), with something added from row `first` on."""
    output = added.output.to(found)
    if found.ndim == 4:
        output = output.transpose(1, 2).reshape(output.shape[0], -1, *found.shape[2:])
    if not first:
        return found + output
    return torch.cat([found[:first], found[first:] + output])


def _positions(hidden_states: Tensor) -> Tensor:
    """(rows, width, h, w) as (rows, positions, width); what has positions already as it is."""
    return hidden_states if hidden_states.ndim == 3 else hidden_states.flatten(2).transpose(1, 2)


def _of_rows(given: dict[str, Tensor | None], rows: slice) -> dict[str, Tensor | None]:
    """What belongs to these rows; a mask of one row is of all."""
    return {name: one if one is None or one.shape[0] == 1 else one[rows] for name, one in given.items()}


def _checked(probs: Tensor, before: Tensor, tap: AttentionTap) -> Tensor:
    if probs.shape != before.shape:
        raise ShapeError(
            f"{type(tap).__name__} made attention of shape {tuple(probs.shape)} out of {tuple(before.shape)}; "
            "a tap keeps the shape."
        )
    return probs


def _wrap(unet: UNet) -> list[tuple[Attention, _TappedProcessor]]:
    layers = {name: module for name, module in unet.named_modules() if isinstance(module, Attention)}
    for name, layer in layers.items():
        if type(layer.processor) not in (*_SAME_MATHEMATICS, _TappedProcessor):
            raise ConfigError(
                f"The attention layer {name} has the processor {type(layer.processor).__name__}, which attention taps "
                f"do not understand; unload what has put it there (an IP-Adapter?) before an edit."
            )
    held = []
    for name, layer in layers.items():
        if not isinstance(layer.processor, _TappedProcessor):
            kind: Kind = "cross" if layer.is_cross_attention else "self"
            layer.processor = _TappedProcessor(
                layer.processor, AttentionSite(name, _BLOCKS[name.partition(".")[0]], kind)
            )
        layer.processor.users += 1
        held.append((layer, layer.processor))
    return held


def _unwrap(held: list[tuple[Attention, _TappedProcessor]]) -> None:
    for layer, wrapper in held:
        wrapper.users -= 1
        if wrapper.users == 0 and layer.processor is wrapper:  # else someone has set another one meanwhile: it stays
            layer.processor = wrapper.inner
