"""Where a run is: the moment of one U-Net call, and windows of a run."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from blipdiff.errors import ConfigError

if TYPE_CHECKING:  # requests have windows, and are read without torch
    from torch import Tensor

_ROUNDING = 1e-9  # 0.29 * 100 is 28.999999999999996: a boundary that a person wrote exactly stays exact


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """One U-Net call of a run. It travels with the call, so that nothing has to count calls."""

    index: int  # 0 at the first U-Net call
    count: int  # U-Net calls of the whole run: steps, and one more for PNDM
    timestep: "Tensor"  # ()

    @property
    def progress(self) -> float:
        """The fraction of the run that is done: 0 at the first U-Net call, below 1 at the last."""
        return self.index / self.count


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a run as fractions of its U-Net calls; `stop` is not included, so that windows can be joined.

    Of N calls it holds those from floor(start * N) to floor(stop * N) - 1, which is what diffusers' ControlNet windows
    do with their ends.

    Raises: ConfigError unless 0 <= start <= stop <= 1.
    """

    start: float = 0.0
    stop: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.start <= self.stop <= 1.0:
            raise ConfigError(
                f"A window from {self.start} to {self.stop} was given; it takes fractions of the run, "
                "0 <= start <= stop <= 1."
            )

    def holds(self, moment: Moment) -> bool:
        """Whether the U-Net call of `moment` lies in the window."""
        first = int(self.start * moment.count + _ROUNDING)
        return first <= moment.index < int(self.stop * moment.count + _ROUNDING)


@dataclass(frozen=True, slots=True)
class FirstCalls:
    """A run's first `count` U-Net calls, as code that counts calls rather than fractions tells its windows."""

    count: int

    def holds(self, moment: Moment) -> bool:
        """Whether the U-Net call of `moment` is one of them."""
        return moment.index < self.count


Span: TypeAlias = Window | FirstCalls
