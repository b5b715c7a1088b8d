"""How many replicas draw: from the least that are kept to the most that many jobs call for."""

import re
from dataclasses import dataclass

from blipdiff.errors import ConfigError

MOST = 256
_WORDS = re.compile(r"(\d{1,9})(?::(\d{1,9}))?")


@dataclass(frozen=True, slots=True)
class Scale:
    """least: that are kept while nothing is drawn, 0 where the first job may wait for one; most: at the same time.

    Raises: ConfigError for bounds that are none.
    """

    least: int
    most: int

    def __post_init__(self) -> None:
        if not 0 <= self.least <= self.most or not 1 <= self.most <= MOST:
            raise ConfigError(
                f"--replicas {self.least}:{self.most} is no range; the least goes from 0 to the most, and the most "
                f"from 1 to {MOST}."
            )

    @classmethod
    def of(cls, text: str) -> "Scale":
        """What people write: "2", or "0:4". Raises: ConfigError for anything else."""
        found = _WORDS.fullmatch(text.strip())
        if found is None:
            raise ConfigError(f"--replicas {text!r:.40} is neither a number nor MIN:MAX; write 2, or 0:4.")
        least = int(found[1])
        return cls(least, least if found[2] is None else int(found[2]))
