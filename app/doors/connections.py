"""Connections of the server: so many, and none that is held open without asking for anything."""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol


def patient(seconds: float, connections: int) -> type[asyncio.Protocol]:
    """uvicorn's protocol with at most so many connections, each of which sends a request's head within `seconds`.

    uvicorn itself waits for the first request of a connection, and for a head that has begun, without end.
    """

    class Patient(H11Protocol):
        """One connection."""

        _head_is_due: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            """Begins to wait for a request."""
            super().connection_made(transport)
            if len(self.connections) > connections:
                transport.abort()
            else:
                self._head_is_due = self.loop.call_later(seconds, self._give_up)

        def handle_events(self) -> None:
            """Looks whether a request's head is whole, and waits anew where another one has begun."""
            before = self.cycle
            super().handle_events()
            if self.cycle is not before and self._head_is_due is not None:
                self._head_is_due.cancel()
                self._head_is_due = None
            elif self._is_idle() and self._head_is_due is None:
                self._head_is_due = self.loop.call_later(seconds, self._give_up)

        def connection_lost(self, exc: Exception | None) -> None:
            """Waits for nothing more."""
            if self._head_is_due is not None:
                self._head_is_due.cancel()
            super().connection_lost(exc)

        def _is_idle(self) -> bool:
            return self.cycle is None or self.cycle.response_complete

        def _give_up(self) -> None:
            self._head_is_due = None
            if self._is_idle() and not self.transport.is_closing():
                self.transport.abort()

    return Patient
