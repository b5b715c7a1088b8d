"""How a photo is asked: an engine's settings, which load no library."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from blipdiff.errors import ConfigError
from pipelines.parameters import check, fraction, parameter

if TYPE_CHECKING:  # which loads torch
    from blipdiff.language.answers import Speaking


@dataclass(frozen=True, slots=True, kw_only=True)
class AskRequest:
    """How a photo is asked."""

    beams: int = parameter(1, "Beams", "Answers that are followed at once; the best is said.", low=1, high=16, step=1)
    temperature: float = parameter(
        0.0, "Temperature", "0 says the likeliest words; above, words are drawn.", low=0.0, high=2.0, step=0.1
    )
    share: float = fraction(0.9, "Share", "Words are drawn from the likeliest that have this share together.")
    longest: int = parameter(30, "Longest", "Tokens of an answer at most.", low=1, high=256, step=1)
    length_penalty: float = parameter(
        1.0, "Length penalty", "Of beams: below 0 they are short.", low=-5.0, high=5.0, step=0.5
    )
    seed: int = parameter(0, "Seed", "Of words that are drawn.", low=0, high=2**31)

    def __post_init__(self) -> None:
        check(self)
        if self.share == 0:
            raise ConfigError("A share of 0 leaves no words to draw from; give more than 0, up to 1.")

    @property
    def speaking(self) -> "Speaking":
        """The same for an engine."""
        from blipdiff.language.answers import Speaking

        return Speaking(self.beams, self.temperature, self.share, self.longest, self.length_penalty, self.seed)
