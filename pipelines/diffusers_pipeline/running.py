"""What a call of the pipeline tells of itself while it runs, kept apart where several run at the same time."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class Call:
    """One call: what its callbacks may read, and whether it shall stop after this step."""

    guidance_scale: float | Sequence[float]
    num_timesteps: int
    stops: bool = False


_OWN: ContextVar[Call | None] = ContextVar("own", default=None)  # of this thread


class Calls:
    """The calls of one pipeline. Each thread sees its own; a thread without one sees the call that began last."""

    def __init__(self) -> None:
        self._running: list[Call] = []
        self._last: Call | None = None

    @contextmanager
    def begun(self, call: Call) -> Iterator[Call]:
        """The block in which `call` runs in this thread."""
        before = _OWN.set(call)
        self._running.append(call)
        self._last = call
        try:
            yield call
        finally:
            self._running.remove(call)
            _OWN.reset(before)

    @property
    def seen(self) -> Call | None:
        """This thread's call, else the one that began last, else None."""
        own = _OWN.get()
        return own if own in self._running else self._last

    def stop(self, stops: bool) -> None:
        """Stops this thread's call after its step; from a thread without one, all that run."""
        own = _OWN.get()
        for call in [own] if own is not None and own in self._running else list(self._running):
            call.stops = stops
