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

    states: (rows, more, width), normalised as the layer's own; bias: (rows or 1, 1, 1 or places, more), added to their
    logits: log(n) counts a key n times, -inf leaves it out

    Raises: ShapeError for another number of axes, and for a bias that is not one number for each of the states.
    """

    states: Tensor
    bias: Tensor | None = None

    def __post_init__(self) -> None:
        shape = tuple(self.states.shape)
        if len(shape) != 3:
            raise ShapeError(f"More keys of shape {shape} were given; they are (rows, more, width).")
        if self.bias is not None and not self._is_fit(tuple(self.bias.shape)):
            known = {(rows, 1, 1, shape[1]) for rows in (1, shape[0])}
            raise ShapeError(
                f"The bias of more keys of shape {shape} is {tuple(self.bias.shape)}; "
                f"it is {' or '.join(map(str, sorted(known)))}, or has a line for each of the layer's places."
            )

    def checked(self, own: Tensor, site: AttentionSite) -> "MoreKeys":
        """These, where they fit the layer's own states. Raises: ShapeError for other rows or another width."""
        rows, places, width = own.shape
        if self.bias is not None and self.bias.shape[2] not in (1, places):
            raise ShapeError(f"A bias for {self.bias.shape[2]} places was given to {site.name}, which has {places}.")
        if self.states.shape[0] != rows or self.states.shape[2] != width:
            raise ShapeError(
                f"More keys of shape {tuple(self.states.shape)} were given to {site.name}, whose {rows} conditional "
                f"rows have width {width}; they are ({rows}, more, {width})."
            )
        return self

    def _is_fit(self, bias: tuple[int, ...]) -> bool:
        rows, more, _ = self.states.shape
        return len(bias) == 4 and bias[0] in (1, rows) and bias[1] == 1 and bias[3] == more


@dataclass(frozen=True, slots=True, eq=False)
class Added:
    """What an adapter adds to the output of a self-attention layer that it does not change otherwise.

    output: (rows, positions, width)
    """

    output: Tensor

    def checked(self, own: Tensor, site: AttentionSite) -> "Added":
        """This, where it fits the layer's own states. Raises: ShapeError for another shape."""
        if self.output.shape != own.shape:
            raise ShapeError(f"{tuple(self.output.shape)} was to be added to {site.name}, which is {tuple(own.shape)}.")
        return self


class KeyValueSource(Protocol):
    """What gives self-attention layers more than they have of their own."""

    def more(self, states: Tensor, site: AttentionSite, moment: Moment) -> MoreKeys | Added | None:
        """What the layer is given besides its own at this moment; with None it computes as without any source.

        states: (rows, positions, width) of the conditional rows, as the layer reads them, never changed in place
        """
