"""What attention layers read besides their own: other words where they cross, more keys and values among themselves."""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from blipdiff.attention.sites import AttentionSite
from blipdiff.errors import ShapeError
from blipdiff.moment import Moment


class SiteConditioning(Protocol):
    """Another text conditioning for some layers, alone or mixed with the run's own."""

    @property
    def words(self) -> Tensor:
        """(rows, slots, width), for the conditional rows."""

    def share(self, site: AttentionSite, moment: Moment) -> float:
        """How much of the layer's output comes from the run's own conditioning; the rest comes from `words`."""


@dataclass(frozen=True, slots=True, eq=False)
class MoreKeys:
    """Hidden states that a self-attention layer makes keys and values of, besides those of its own positions.

    states: (rows, more, width), normalised as the layer's own; bias: (rows or 1, 1, 1, more), added to their logits:
    log(n) counts a key n times, -inf leaves it out

    Raises: ShapeError for another number of axes, and for a bias that is not one number for each of the states.
    """

    states: Tensor
    bias: Tensor | None = None

    def __post_init__(self) -> None:
        shape = tuple(self.states.shape)
        if len(shape) != 3:
            raise ShapeError(f"More keys of shape {shape} were given; they are (rows, more, width).")
        known = {(rows, 1, 1, shape[1]) for rows in (1, shape[0])}
        if self.bias is not None and tuple(self.bias.shape) not in known:
            raise ShapeError(
                f"The bias of more keys of shape {shape} is {tuple(self.bias.shape)}; "
                f"it is {' or '.join(map(str, sorted(known)))}."
            )

    def checked(self, own: Tensor, site: AttentionSite) -> "MoreKeys":
        """These, where they fit the layer's own states. Raises: ShapeError for other rows or another width."""
        rows, _, width = own.shape
        if self.states.shape[0] != rows or self.states.shape[2] != width:
            raise ShapeError(
                f"More keys of shape {tuple(self.states.shape)} were given to {site.name}, whose {rows} conditional "
                f"rows have width {width}; they are ({rows}, more, {width})."
            )
        return self


class KeyValueSource(Protocol):
    """What gives self-attention layers more to read."""

    def more(self, states: Tensor, site: AttentionSite, moment: Moment) -> MoreKeys | None:
        """What the layer reads besides its own at this moment; with None it computes as without any source.

        states: (rows, positions, width) of the conditional rows, as the layer reads them, never changed in place
        """
