"""Steps that were fitted to a model: where its U-Net is called, and what is made of its predictions.

Each call's next latents are a weighted sum of its latents and of the clean latents that the last calls predicted, with
weights of its own (a non-stationary linear multistep solver: Shaul et al. 2024, arXiv:2403.01329, sec. 3). Ours are
found by least squares, call by call, against the model's own converged trajectories (blipdiff/sampling/fitting.py).
They differ with the guidance: fitted at several scales, they are interpolated between those.
"""

import hashlib
import json
import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from blipdiff.errors import ConfigError, listed
from blipdiff.ranges import MOST_CALLS, SPEEDS

HISTORY = 4  # predictions that a call may use: its own and those of the three calls before it
MOST_WEIGHT = 1e4


Weights: TypeAlias = tuple[tuple[tuple[float, ...], ...], ...]


@dataclass(frozen=True, slots=True)
class StepTable:
    """The calls of one run.

    timesteps: (calls,), falling; weights: by the guidance that they were fitted at, for each call, for each number of
    predictions at hand from 1 on, those of the latents and of the predictions, the newest first; decibels: agreement of
    its pictures with converged ones, the median and the least, at the first of the scales

    Raises: ConfigError for what cannot be run.
    """

    timesteps: tuple[int, ...]
    weights: Mapping[float, Weights]
    decibels: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        calls = len(self.timesteps)
        if not 1 <= calls <= MOST_CALLS or not self.weights:
            raise ConfigError(f"Fitted steps have 1 to {MOST_CALLS} calls with weights each, not {calls}.")
        falls = all(high > low for high, low in zip(self.timesteps, self.timesteps[1:], strict=False))
        if not falls or self.timesteps[-1] < 0:
            raise ConfigError(f"The timesteps of fitted steps fall to 0 at least, unlike {list(self.timesteps)}.")
        for one in self.weights.values():
            _check_weights(one, calls)

    def at(self, guidance: float) -> Weights:
        """The weights at a guidance scale: between the two that it lies between, the nearest beyond all."""
        scales = sorted(self.weights)
        high = bisect_left(scales, guidance)
        if high in (0, len(scales)):
            return self.weights[scales[min(high, len(scales) - 1)]]
        low = high - 1
        share = (guidance - scales[low]) / (scales[high] - scales[low])
        pairs = zip(self.weights[scales[low]], self.weights[scales[high]], strict=True)
        return tuple(tuple(_between(one, other, share) for one, other in zip(*both, strict=True)) for both in pairs)


@dataclass(frozen=True, slots=True)
class StepTables:
    """All fitted steps of a model.

    dial: how many calls a speed stands for

    Raises: ConfigError for a speed without its table, or two tables of as many calls.
    """

    tables: tuple[StepTable, ...]
    dial: Mapping[str, int]
    fingerprint: str = field(init=False, default="")

    def __post_init__(self) -> None:
        if set(self.dial) != set(SPEEDS) or not set(self.dial.values()) <= set(self.calls):
            raise ConfigError(f"Fitted steps need a table for each speed: {listed(SPEEDS)}.")
        if len(set(self.calls)) < len(self.calls):
            raise ConfigError("Fitted steps have two tables of as many calls.")
        told = [[one.timesteps, sorted(one.weights.items())] for one in self.tables]
        digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]
        object.__setattr__(self, "fingerprint", digest)

    @property
    def calls(self) -> tuple[int, ...]:
        """The numbers of calls that there are tables for."""
        return tuple(len(one.timesteps) for one in self.tables)

    def table(self, calls: int) -> StepTable:
        """Raises: ConfigError for a number of calls that was not fitted."""
        for one in self.tables:
            if len(one.timesteps) == calls:
                return one
        numbers = listed([str(one) for one in self.calls])
        raise ConfigError(f"This model's steps are fitted for {numbers} calls, not {calls}.")


def _check_weights(weights: Weights, calls: int) -> None:
    if len(weights) != calls:
        raise ConfigError(f"Fitted steps of {calls} calls have weights for {len(weights)}.")
    for call, several in enumerate(weights):
        if [len(row) for row in several] != [count + 2 for count in range(min(call + 1, HISTORY))]:
            raise ConfigError(f"Call {call + 1} of fitted steps has weights for other predictions than there are.")
        if not all(math.isfinite(one) and abs(one) <= MOST_WEIGHT for row in several for one in row):
            raise ConfigError(f"Call {call + 1} of fitted steps has weights that are no numbers, or enormous.")


def _between(one: Sequence[float], other: Sequence[float], share: float) -> tuple[float, ...]:
    return tuple((1 - share) * low + share * high for low, high in zip(one, other, strict=True))
