"""Runs that were asked for and are not over: a visit has one at a time, which waits, is drawn, or is called off."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Condition, Event
from typing import Any, Literal, TypeAlias

Place: TypeAlias = Literal["none", "waiting", "drawing"]

_MOST_WAITING = 64
_SECONDS_TO_WAIT = 600.0  # after that a waiting order makes room for others, when the line is full


@dataclass(frozen=True, slots=True, eq=False)
class Order:
    """The job that one click asked for, on the tab of this name; its photos stay files until they are drawn."""

    job: Any
    tab: str = ""
    called_off: Event = field(default_factory=Event)


class Orders:
    """The orders of all visits, by the visit's name; shared by the threads that serve them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._waiting: dict[str, Order] = {}
        self._since: dict[str, float] = {}  # when each of those was placed
        self._drawing: dict[str, Order] = {}
        self._access = Condition()
        self._is_closed = False

    def place(self, visit: str, order: Order) -> bool:
        """Puts the order in the line; False when the visit has one already, the line is full, or all is over."""
        with self._access:
            if self._is_closed or visit in self._waiting or visit in self._drawing or not self._has_room():
                return False
            self._waiting[visit], self._since[visit] = order, self._clock()
            return True

    def _has_room(self) -> bool:
        """Whether one more can wait, where need be instead of those that nobody came back for."""
        if len(self._waiting) >= _MOST_WAITING:
            for visit in [one for one in self._waiting if self._clock() - self._since[one] > _SECONDS_TO_WAIT]:
                self._taken(visit)
        return len(self._waiting) < _MOST_WAITING

    def _taken(self, visit: str) -> Order | None:
        self._since.pop(visit, None)
        return self._waiting.pop(visit, None)

    def begin(self, visit: str, tab: str = "") -> Order | None:
        """The order of this tab that waits, now to be drawn; None when it was called off in the meantime."""
        with self._access:
            order = self._waiting.get(visit)
            if order is None or order.tab != tab:
                return None
            self._taken(visit)
            self._drawing[visit] = order
            return order

    def end(self, visit: str) -> None:
        """The visit's order is drawn, or has failed."""
        with self._access:
            self._drawing.pop(visit, None)
            self._access.notify_all()

    def call_off(self, visit: str) -> Place:
        """Takes the visit's order back; tells where it was. One that is being drawn stops at its current step."""
        with self._access:
            if self._taken(visit) is not None:
                return "waiting"
            order = self._drawing.get(visit)
            if order is None:
                return "none"
            order.called_off.set()
            return "drawing"

    def close(self, seconds: float) -> bool:
        """Calls off all orders for good; True when none is being drawn any more, at the latest after `seconds`.

        A program must not end in the middle of a step: the libraries that compute it take that for a crash.
        """
        with self._access:
            self._is_closed = True
            self._waiting.clear()
            for order in self._drawing.values():
                order.called_off.set()
            return self._access.wait_for(lambda: not self._drawing, seconds)
