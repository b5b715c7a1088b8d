"""Where and when a subject enters: through which cross-attention layers, how strongly, in which part of the run.

Elsewhere the layers read the prompt's words without the subject. So look and layout come apart: coarse layers on the
way down settle where things are, those on the way up what they look like (Wang et al. 2024, InstantStyle,
arXiv:2404.02733, sec. 3.2, which found one such block each in SDXL).
"""

import math
from dataclasses import dataclass, field

from torch import Tensor

from blipdiff.attention.sites import AttentionSite
from blipdiff.errors import ConfigError
from blipdiff.moment import Moment, Window
from blipdiff.ranges import INJECTION_BLOCKS


@dataclass(frozen=True, slots=True, eq=False)
class Injection:
    """A run's subject, let in through some layers in a window, with a strength.

    words: (rows, slots, width), what is read where the subject is not; strength: 0 is words alone, 1 as without this

    Raises: ConfigError for a strength outside 0 to 1 and for unknown blocks.
    """

    words: Tensor
    strength: float = 1.0
    window: Window = field(default_factory=Window)
    blocks: str = "all"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.strength) and 0 <= self.strength <= 1):
            raise ConfigError(f"A subject strength of {self.strength} was given; it goes from 0 to 1.")
        if self.blocks not in INJECTION_BLOCKS:
            raise ConfigError(f"There are no blocks '{self.blocks}'; choose one of: {', '.join(INJECTION_BLOCKS)}.")

    def share(self, site: AttentionSite, moment: Moment) -> float:
        """How much of the subject a layer reads at a moment, the rest being words: 1 outside cross-attention."""
        if site.kind != "cross":
            return 1.0
        return self.strength if site.block in INJECTION_BLOCKS[self.blocks] and self.window.holds(moment) else 0.0
