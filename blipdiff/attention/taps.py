"""Taps: how attention probabilities are read and replaced without changing the U-Net."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any, Literal, Protocol, TypeAlias

import torch
from diffusers.models.attention_processor import (
    Attention,
    AttnProcessor,
    AttnProcessor2_0,
    FusedAttnProcessor2_0,
    SlicedAttnProcessor,
    XFormersAttnProcessor,
)
from torch import Tensor

from blipdiff.attention.processor import explicit_attention
from blipdiff.diffusers_types import UNet
from blipdiff.errors import ConfigError, ShapeError
from blipdiff.moment import Moment

Place: TypeAlias = Literal["down", "mid", "up"]
Kind: TypeAlias = Literal["self", "cross"]

# The processors that compute the same attention by different kernels; others (IP-Adapter's) add terms of their own.
_SAME_MATHEMATICS = (
    AttnProcessor,
    AttnProcessor2_0,
    FusedAttnProcessor2_0,
    SlicedAttnProcessor,
    XFormersAttnProcessor,
)
_PLACES: dict[str, Place] = {"down_blocks": "down", "mid_block": "mid", "up_blocks": "up"}
_SWAPPING = Lock()  # held only while processors are exchanged


@dataclass(frozen=True, slots=True)
class AttentionSite:
    """One attention layer of the U-Net."""

    name: str  # the module's: "up_blocks.1.attentions.0.transformer_blocks.0.attn2"
    place: Place
    kind: Kind


class AttentionTap(Protocol):
    """What reads or replaces the attention probabilities of the layers that it wants."""

    def wants(self, site: AttentionSite, moment: Moment, queries: int) -> bool:
        """Whether it takes this layer, which has `queries` places, at this moment."""

    def __call__(self, probs: Tensor, site: AttentionSite, moment: Moment) -> Tensor:
        """The probabilities to go on with; those given are never changed in place.

        probs: (rows, heads, queries, keys) of the conditional rows -> the same shape
        """


class SiteConditioning(Protocol):
    """Another text conditioning for some layers, alone or mixed with the run's own."""

    @property
    def words(self) -> Tensor:
        """(rows, slots, width), for the conditional rows."""

    def share(self, site: AttentionSite, moment: Moment) -> float:
        """How much of the layer's output comes from the run's own conditioning; the rest comes from `words`."""


@dataclass(frozen=True, slots=True)
class TapCall:
    """What a tapped attention layer is told about the U-Net call that it is part of."""

    taps: tuple[AttentionTap, ...]
    moment: Moment
    first_conditional_row: int
    conditioning: SiteConditioning | None = None


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
        queries = hidden_states.shape[1] if hidden_states.ndim == 3 else hidden_states.shape[2:].numel()
        wanting = self._wanting(tap_call, queries)
        if tap_call is None or not wanting:
            found: Tensor = self.inner(attention, hidden_states, **given)
            return found
        first, moment = tap_call.first_conditional_row, tap_call.moment

        def shown(probs: Tensor) -> Tensor:
            conditional = probs[first:]
            for tap in wanting:
                conditional = _checked(tap(conditional, self.site, moment), conditional, tap)
            return torch.cat([probs[:first], conditional]) if first else conditional

        return explicit_attention(attention, hidden_states, shown, **given)

    def _wanting(self, tap_call: TapCall | None, queries: int) -> list[AttentionTap]:
        if tap_call is None:
            return []
        return [tap for tap in tap_call.taps if tap.wants(self.site, tap_call.moment, queries)]


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
                layer.processor, AttentionSite(name, _PLACES[name.partition(".")[0]], kind)
            )
        layer.processor.users += 1
        held.append((layer, layer.processor))
    return held


def _unwrap(held: list[tuple[Attention, _TappedProcessor]]) -> None:
    for layer, wrapper in held:
        wrapper.users -= 1
        if wrapper.users == 0 and layer.processor is wrapper:  # else someone has set another one meanwhile: it stays
            layer.processor = wrapper.inner
