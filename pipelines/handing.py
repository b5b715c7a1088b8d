"""Units of work that are handed out: here one after the other, elsewhere to as many processes as somebody has."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

State = TypeVar("State")
_Unit = TypeVar("_Unit")
_End = TypeVar("_End")


class HandOut(Protocol):
    """What has units worked on, each whole and by one worker, and gives what comes of them in their order.

    `work` is given what a worker has for all of its units, such as a loaded model; units, what comes of them and `work`
    itself can be pickled.
    """

    def __call__(self, units: Sequence[_Unit], work: Callable[[Any, _Unit], _End]) -> Iterator[_End]:
        """What comes of each unit."""
        ...


def one_by_one(state: Any) -> HandOut:
    """In this process, each unit when what comes of it is asked for."""

    def hand_out(units: Sequence[_Unit], work: Callable[[Any, _Unit], _End]) -> Iterator[_End]:
        return (work(state, unit) for unit in units)

    return hand_out
