"""Prompt-to-prompt: the target picture is drawn with the source picture's attention."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from blipdiff.attention.alignment import Alignment
from blipdiff.attention.sites import AttentionSite
from blipdiff.errors import ConfigError, ShapeError
from blipdiff.moment import Moment, Span, Window


class AttentionEdit(Protocol):
    """How the targets' cross-attention comes from the source's; edits are chained."""

    def __call__(self, source: Tensor, target: Tensor) -> Tensor:
        """source: (1, heads, queries, slots); target: (rows, heads, queries, slots) -> like target"""


@dataclass(frozen=True, slots=True)
class Refine:
    """Slots with a counterpart in the source take its attention, the others keep theirs (sec. 3.2, eq. 5)."""

    alignment: Alignment

    def __call__(self, source: Tensor, target: Tensor) -> Tensor:
        taken = torch.tensor(self.alignment.sources, device=source.device)
        return torch.where(taken >= 0, source[..., taken.clamp(min=0)], target)


@dataclass(frozen=True, slots=True, eq=False)
class Replace:
    """Each word takes the attention of the source's word in its place (sec. 3.2, eq. 4); the subject keeps its own.

    matrix: (slots of the source, slots of the target), from `word_matrix`
    """

    matrix: Tensor

    def __call__(self, source: Tensor, target: Tensor) -> Tensor:
        matrix = self.matrix.to(source)
        return torch.where(self.matrix.any(0).to(source.device), source @ matrix, target)


@dataclass(frozen=True, slots=True)
class Reweight:
    """Words seen more or less strongly (sec. 3.2, eq. 6): each slot's attention times its scale.

    Raises: ConfigError for a scale that is negative or not finite.
    """

    scales: Mapping[int, float]  # slot -> scale

    def __post_init__(self) -> None:
        if not all(0 <= scale < float("inf") for scale in self.scales.values()):
            raise ConfigError(f"The word weights {dict(self.scales)} were given; each must be 0 or more, and finite.")

    def __call__(self, source: Tensor, target: Tensor) -> Tensor:  # noqa: ARG002
        equalizer = torch.ones(target.shape[-1], dtype=target.dtype, device=target.device)
        for slot, scale in self.scales.items():
            equalizer[slot] = scale
        return target * equalizer


@dataclass(frozen=True, slots=True, eq=False)
class PromptToPrompt:
    """A tap that keeps the source's composition in the targets (Hertz et al. 2022, arXiv:2208.01626).

    Row 0 is the source and stays as it is; all other rows are targets. Their cross-attention goes through `edits`
    within the window, or within a word's own; their self-attention is the source's in layers of at most
    `self_positions` positions, so that a chosen resolution is the finest to be copied, and to be held in memory.
    """

    edits: Sequence[AttentionEdit]
    cross_window: Span = field(default_factory=lambda: Window(0.0, 0.8))
    slot_windows: Mapping[int, Span] = field(default_factory=dict)  # of target slots with a window of their own
    self_window: Span = field(default_factory=lambda: Window(0.0, 0.4))
    self_positions: int = 16 * 16

    def wants(self, site: AttentionSite, moment: Moment, queries: int) -> bool:
        """Cross-attention while a window holds it, self-attention of coarse enough layers while its window does."""
        if site.kind == "self":
            return queries <= self.self_positions and self.self_window.holds(moment)
        windows = (self.cross_window, *self.slot_windows.values())
        return bool(self.edits) and any(window.holds(moment) for window in windows)

    def __call__(self, probs: Tensor, site: AttentionSite, moment: Moment) -> Tensor:
        """The source's probabilities, then the targets' as they are to be.

        Raises: ShapeError for a single row, which has nothing to be edited.
        """
        if probs.shape[0] < 2:
            raise ShapeError("Prompt-to-prompt was given one row; it needs the source's and at least one target's.")
        source, target = probs[:1], probs[1:]
        if site.kind == "self":
            return torch.cat([source, source.expand_as(target)])
        edited = target
        for edit in self.edits:
            edited = edit(source, edited)
        return torch.cat([source, self._within(edited, target, moment)])

    def held(self, moment: Moment, slots: int) -> Tensor:
        """The slots whose window holds this moment: (slots,), true and false."""
        default = self.cross_window.holds(moment)
        return torch.tensor(
            [self.slot_windows[slot].holds(moment) if slot in self.slot_windows else default for slot in range(slots)]
        )

    def _within(self, edited: Tensor, target: Tensor, moment: Moment) -> Tensor:
        held = self.held(moment, target.shape[-1]).to(target.device)
        return torch.where(held, edited, target)
