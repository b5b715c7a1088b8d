"""How steps are fitted to a model."""

from dataclasses import dataclass

from blipdiff.errors import ConfigError
from blipdiff.ranges import MOST_CALLS
from pipelines.parameters import check, parameter


@dataclass(frozen=True, slots=True, kw_only=True)
class FitRequest:
    """How steps are fitted. One half of the subjects fits them, the other half measures them."""

    calls: tuple[int, ...] = parameter(
        (4, 5, 6, 7, 8, 10, 12, 16),
        "Calls",
        "A number of U-Net calls to fit; given again for each.",
    )
    rows: int = parameter(
        8, "Rows", "Pictures that the steps are fitted on, and as many to measure.", low=2, high=256, step=1
    )
    batch: int = parameter(8, "Batch", "Pictures that are drawn at the same time.", low=1, high=256, step=1)
    seed: int = parameter(0, "Seed", "Of the first picture's noise.", low=0, high=2**32, step=1)

    def __post_init__(self) -> None:
        check(self)
        if not self.calls or not all(isinstance(one, int) and 1 <= one <= MOST_CALLS for one in self.calls):
            raise ConfigError(f"Numbers of calls go from 1 to {MOST_CALLS}, unlike {list(self.calls)}.")
