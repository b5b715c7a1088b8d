"""Local blend: outside a mask, the target's latents are the source's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from blipdiff.attention.maps import mask
from blipdiff.attention.store import CrossAttentionStore
from blipdiff.errors import ConfigError, ImageError, PromptError, ShapeError
from blipdiff.moment import Moment, Window

MaskUse: TypeAlias = Literal["alone", "joined", "within"]


@dataclass(frozen=True, slots=True, eq=False)
class WordMask:
    """Where words are, in the rows that read them: {0: slots of the source's words, 1: slots of the target's}.

    Raises: PromptError when no slot is given, ConfigError for a threshold or softness outside 0 to 1.
    """

    store: CrossAttentionStore
    slots: Mapping[int, Sequence[int]]
    threshold: float = 0.3
    softness: float = 0.0
    raised: bool = False  # from the map's height above its median, as `soft_mask`

    def __post_init__(self) -> None:
        if not self.slots or not all(self.slots.values()):
            raise PromptError("A mask from words needs at least one word of the prompt in each row that it looks at.")
        if not (0.0 <= self.threshold <= 1.0 and 0.0 <= self.softness <= 1.0):
            raise ConfigError(
                f"A blend threshold of {self.threshold} and a softness of {self.softness} were given; "
                "both go from 0 to 1."
            )

    def __call__(self, size: tuple[int, int]) -> Tensor:
        """The union over the rows, of what the store has seen so far: (h, w) in [0, 1]"""
        seen = self.store.mean()
        parts = [
            mask(seen[row], slots, size, self.threshold, self.softness, raised=self.raised)
            for row, slots in self.slots.items()
        ]
        return torch.stack(parts).amax(0)


@dataclass(frozen=True, slots=True, eq=False)
class LocalBlend:
    """A latent edit that gives the target rows the source's latents, row 0, outside a mask (Hertz et al. 2022).

    The mask comes from words, from a painted one, or from both: the painted one "alone", "joined" with the words'
    position, or as the border "within" which that position counts. Outside the window nothing is blended.

    painted: (h, w) in [0, 1], of the latents' size

    Raises: ConfigError without any mask, ShapeError and ImageError for a painted mask that is no such tensor or empty.
    """

    words: WordMask | None = None
    painted: Tensor | None = None
    use: MaskUse = "joined"
    window: Window = field(default_factory=Window)

    def __post_init__(self) -> None:
        if self.words is None and self.painted is None:
            raise ConfigError("A local blend needs the words of a store, a painted mask, or both.")
        if self.use not in ("alone", "joined", "within"):
            raise ConfigError(f"A painted mask is used alone, joined or within, not {self.use!r}.")
        if self.painted is None:
            return
        if self.painted.ndim != 2:
            raise ShapeError(f"A painted mask of shape {tuple(self.painted.shape)} was given; it is (h, w).")
        if not (float(self.painted.min()) >= 0.0 and float(self.painted.max()) <= 1.0):
            raise ImageError("A painted mask has values outside 0 to 1.")
        if not bool((self.painted > 0).any()):
            raise ImageError("The painted mask is empty: nothing would be edited. Paint where the edit may happen.")

    def mask(self, size: tuple[int, int]) -> Tensor:
        """What is edited, as far as the run has come: (h, w) in [0, 1], 1 where the target keeps its own latents.

        Raises: ShapeError for a painted mask of another size than the latents'.
        """
        if self.words is None or (self.painted is not None and self.use == "alone"):
            return self._painted(size)
        found = self.words(size)
        if self.painted is None:
            return found
        painted = self._painted(size).to(found)
        return torch.maximum(found, painted) if self.use == "joined" else found * painted

    def __call__(self, latents: Tensor, moment: Moment) -> Tensor:
        """latents: (rows, channels, h, w), row 0 the source -> the same shape"""
        if not self.window.holds(moment):
            return latents
        kept = self.mask((latents.shape[-2], latents.shape[-1])).to(latents)
        return torch.lerp(latents[:1], latents, kept)

    def _painted(self, size: tuple[int, int]) -> Tensor:
        if self.painted is None or tuple(self.painted.shape) != tuple(size):
            shape = None if self.painted is None else tuple(self.painted.shape)
            raise ShapeError(f"The painted mask is {shape}, the latents are {tuple(size)}; it must be of their size.")
        return self.painted
