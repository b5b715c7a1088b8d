"""Which U-Net calls of a run are whole, as a value: blipdiff/sampling/caching.py does it."""

from dataclasses import dataclass

from blipdiff.errors import ConfigError
from blipdiff.ranges import MOST_BRANCH, MOST_INTERVAL


@dataclass(frozen=True, slots=True)
class Caching:
    """How deep features are kept between the calls of a run (DeepCache: Ma et al. 2023, arXiv:2312.00858, sec. 3).

    interval: one call of so many is whole, the first one always; branch: how many residual layers of the first level a
    shallow call computes on the way down, 0 for the first convolution alone; more than there are stand for all

    Raises: ConfigError for an interval or a branch out of range.
    """

    interval: int = 1
    branch: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.interval <= MOST_INTERVAL or not 0 <= self.branch <= MOST_BRANCH:
            raise ConfigError(
                f"Deep features are kept for 1 to {MOST_INTERVAL} calls, with a branch of 0 to {MOST_BRANCH}, unlike "
                f"{self.interval!r:.20} and {self.branch!r:.20}."
            )

    @property
    def is_on(self) -> bool:
        """Whether any call is shallow."""
        return self.interval > 1

    def is_whole(self, call: int) -> bool:
        """Whether this call of a run, counted from 0, computes the whole U-Net."""
        return call % self.interval == 0

    def cost(self, calls: int, shallow: float) -> float:
        """Whole calls that so many calls amount to, a shallow one being this share of one."""
        whole = sum(self.is_whole(call) for call in range(calls))
        return whole + (calls - whole) * shallow


ALL_WHOLE = Caching()
