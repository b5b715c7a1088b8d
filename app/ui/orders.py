"""Runs that were asked for and are not over: a visit has one at a time, which waits, is drawn, or is called off."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Condition, Event
from typing import Any, Literal, TypeAlias

from pipelines.studio import Reference

Place: TypeAlias = Literal["none", "waiting", "drawing"]


@dataclass(frozen=True, slots=True, eq=False)
class Order:
    """What one press of Generate asked for."""

    request: Any
    references: Sequence[Reference]
    called_off: Event = field(default_factory=Event)


class Orders:
    """The orders of all visits, by the visit's name; shared by the threads that serve them."""

    def __init__(self) -> None:
        self._waiting: dict[str, Order] = {}
        self._drawing: dict[str, Order] = {}
        self._access = Condition()
        self._is_closed = False

    def place(self, visit: str, order: Order) -> bool:
        """Puts the order in the line; False when the visit has one already, or nothing is drawn any more."""
        with self._access:
            if self._is_closed or visit in self._waiting or visit in self._drawing:
                return False
            self._waiting[visit] = order
            return True

    def begin(self, visit: str) -> Order | None:
        """The visit's waiting order, now to be drawn; None when it was called off in the meantime."""
        with self._access:
            order = self._waiting.pop(visit, None)
            if order is not None:
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
            if self._waiting.pop(visit, None) is not None:
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
