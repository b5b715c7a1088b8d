"""Runs that were asked for and are not over: a visit has one at a time, which waits, is drawn, or is called off."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Event, Lock
from typing import Literal, TypeAlias

from pipelines.requests import GenerateRequest
from pipelines.studio import Reference

Place: TypeAlias = Literal["none", "waiting", "drawing"]


@dataclass(frozen=True, slots=True, eq=False)
class Order:
    """What one press of Generate asked for."""

    request: GenerateRequest
    references: Sequence[Reference]
    called_off: Event = field(default_factory=Event)


class Orders:
    """The orders of all visits, by the visit's name; shared by the threads that serve them."""

    def __init__(self) -> None:
        self._waiting: dict[str, Order] = {}
        self._drawing: dict[str, Order] = {}
        self._access = Lock()

    def place(self, visit: str, order: Order) -> bool:
        """Puts the order in the line; False when the visit has one already."""
        with self._access:
            if visit in self._waiting or visit in self._drawing:
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
