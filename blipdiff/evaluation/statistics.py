"""Figures with the interval that their small numbers leave open."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blipdiff.errors import ShapeError

_NORMAL_95 = 1.959964  # of the standard normal, two-sided
_RESAMPLES, _PAIRED_RESAMPLES = 1000, 10_000


@dataclass(frozen=True, slots=True)
class Figure:
    """One number, its 95 % interval, and how many cases it is made of; not-a-number where there were none."""

    value: float
    low: float
    high: float
    count: int

    def as_percent(self) -> str:
        """The figure as people read it: '93.5 % (89.2 to 96.2, n = 200)'."""
        if self.count == 0:
            return "-"
        return f"{100 * self.value:.1f} % ({100 * self.low:.1f} to {100 * self.high:.1f}, n = {self.count})"

    def as_number(self) -> str:
        """The figure as a plain number with its interval."""
        return "-" if self.count == 0 else f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f}, n = {self.count})"


NOTHING = Figure(math.nan, math.nan, math.nan, 0)


def share(hits: Sequence[float] | Sequence[bool] | NDArray[np.float64]) -> Figure:
    """The share of hits with Wilson's score interval (1927, JASA 22:209-212). Cases count as independent.

    hits: one for each case, from 0 to 1; a fraction is a tie's part of a hit
    """
    values = np.asarray(hits, np.float64)
    n = len(values)
    if n == 0:
        return NOTHING
    p = float(values.mean())
    z = _NORMAL_95
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    reach = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return Figure(p, min(max(centre - reach, 0.0), p), max(min(centre + reach, 1.0), p), n)


def mean(
    values: Sequence[float] | NDArray[np.float64] | NDArray[np.float32], *, groups: Sequence[int] | None = None
) -> Figure:
    """The mean with the percentile interval of a bootstrap (Efron 1979, Ann. Statist. 7:1-26).

    Whole groups are drawn again where they are given: pictures of one subject are no independent cases.

    groups: a number for each value

    Raises: ShapeError when values and groups differ in number.
    """
    cases = np.asarray(values, np.float64)
    if len(cases) == 0:
        return NOTHING
    low, high = np.quantile(_resampled(cases, groups, _RESAMPLES), (0.025, 0.975))
    return Figure(float(cases.mean()), float(low), float(high), len(cases))


def paired(
    ours: Sequence[float], theirs: Sequence[float], *, groups: Sequence[int] | None = None
) -> tuple[Figure, float]:
    """The mean of the differences `ours` - `theirs` with its interval, and how likely resamples find the other sign.

    The second is two-sided: twice the share of resamples on the other side of 0 (Efron, Tibshirani 1993, sec. 15.4).
    Each value of one side is compared with that of its own case on the other; whole groups are drawn again.

    Raises: ShapeError when they differ in number.
    """
    if len(ours) != len(theirs):
        raise ShapeError(f"{len(ours)} values were given with {len(theirs)} to compare with; give one each.")
    differences = np.asarray(ours, np.float64) - np.asarray(theirs, np.float64)
    if len(differences) == 0:
        return NOTHING, math.nan
    means = _resampled(differences, groups, _PAIRED_RESAMPLES)
    low, high = np.quantile(means, (0.025, 0.975))
    chance = 2 * min(float((means <= 0).mean()), float((means >= 0).mean()))
    return Figure(float(differences.mean()), float(low), float(high), len(differences)), min(chance, 1.0)


def _resampled(cases: NDArray[np.float64], groups: Sequence[int] | None, count: int) -> NDArray[np.float64]:
    """The means of `count` draws of whole groups."""
    labels = np.arange(len(cases)) if groups is None else np.asarray(groups)
    if len(labels) != len(cases):
        raise ShapeError(f"{len(cases)} values were given with the groups of {len(labels)}; give one each.")
    _, place = np.unique(labels, return_inverse=True)
    sums, sizes = np.bincount(place, weights=cases), np.bincount(place)
    drawn = np.random.default_rng(0).integers(0, len(sums), (count, len(sums)))
    means: NDArray[np.float64] = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    return means
