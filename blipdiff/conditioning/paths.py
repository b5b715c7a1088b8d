"""Where the pictures of a blend stand: shares along a path and over a map, and positions of equal distances."""

import heapq
from collections.abc import Sequence
from typing import TypeAlias

from blipdiff.errors import ConfigError

Shares: TypeAlias = tuple[float, ...]  # one for each subject, their sum 1

FEWEST, MOST = 2, 4  # subjects of a path; a map takes three or four


def path_shares(position: float, subjects: int) -> Shares:
    """The shares at a place of the path through all subjects: 0 is the first alone, 1 the second alone, and so on.

    Before the first and behind the last one they leave 0 to 1: an extrapolation.
    """
    left = min(max(int(position // 1), 0), subjects - 2)
    along = position - left
    shares = [0.0] * subjects
    shares[left], shares[left + 1] = 1.0 - along, along
    return tuple(shares)


def even_positions(frames: int, subjects: int, extrapolation: float = 0.0) -> tuple[float, ...]:
    """`frames` positions in equal steps, from `extrapolation` before the first subject to as much behind the last.

    Raises: ConfigError for fewer than two frames or two subjects.
    """
    if frames < 2 or subjects < FEWEST:
        raise ConfigError(f"A path of {frames} frames between {subjects} subjects was asked for; both start at 2.")
    start, length = 0.0 - extrapolation, subjects - 1 + 2 * extrapolation
    inner = [start + length * place / (frames - 1) for place in range(1, frames - 1)]
    return (start, *inner, start + length)


def positions_between(positions: Sequence[float], distances: Sequence[float], count: int) -> list[float]:
    """`count` new positions for a path whose neighbouring pictures differ by `distances`: where they differ most.

    Each goes into the gap whose pieces are the largest so far, on the guess that a gap divided into n equal pieces
    has n equal distances; drawn pictures then correct the guess.

    positions: ascending; distances: one fewer
    """
    wanted = [1] * len(distances)  # pieces of each gap
    gaps = [(-distance, -(positions[place + 1] - positions[place]), place) for place, distance in enumerate(distances)]
    heapq.heapify(gaps)
    for _ in range(count):
        _, _, place = gaps[0]
        wanted[place] += 1
        width = (positions[place + 1] - positions[place]) / wanted[place]
        heapq.heapreplace(gaps, (-distances[place] / wanted[place], -width, place))
    return [
        left + (right - left) * piece / pieces
        for left, right, pieces in zip(positions, positions[1:], wanted, strict=False)
        for piece in range(1, pieces)
    ]


def map_shares(subjects: int, side: int) -> tuple[tuple[Shares, ...], ...]:
    """The shares of a map's pictures, row by row: 3 subjects at the corners of a triangle, 4 of a square.

    A triangle has rows of 1, 2, ..., `side` pictures, the first subject on top; a square has `side` rows of `side`,
    the subjects at top left, top right, bottom left and bottom right.

    Raises: ConfigError for another number of subjects, or a side below 2.
    """
    if subjects not in (3, 4) or side < 2:
        raise ConfigError(f"A map of side {side} with {subjects} subjects was asked for; it takes 3 or 4, and side 2.")
    steps = side - 1
    if subjects == 3:
        return tuple(
            tuple(((steps - row) / steps, (row - column) / steps, column / steps) for column in range(row + 1))
            for row in range(side)
        )
    return tuple(tuple(square_shares(column / steps, row / steps) for column in range(side)) for row in range(side))


def square_shares(x: float, y: float) -> Shares:
    """Bilinear shares of four subjects at the corners top left, top right, bottom left, bottom right; x, y: 0 to 1"""
    return (1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y
