"""Turns: how a picture's noise is varied, as a request holds it. This loads no library."""

from dataclasses import dataclass

from blipdiff.errors import ConfigError
from blipdiff.ranges import LARGEST_SEED


@dataclass(frozen=True, slots=True)
class Turn:
    """A picture's noise turned towards that of another seed, as far as `strength`, from 0 to 1."""

    seed: int
    strength: float

    def __post_init__(self) -> None:
        kinds = ((self.seed, int), (self.strength, int | float))
        are_numbers = all(isinstance(one, kind) and not isinstance(one, bool) for one, kind in kinds)
        if not are_numbers or not 0 <= self.seed <= LARGEST_SEED or not 0 <= self.strength <= 1:
            raise ConfigError(f"The request is damaged: no noise is varied by {self.strength!r} to {self.seed!r}.")
