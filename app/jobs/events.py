"""What happens to jobs, told to any number of listeners; whoever comes later first hears how things stand."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from threading import Condition, Lock
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["state", "progress", "notice", "result", "sheet"]

_MOST_UNHEARD = 256  # events that a listener may be behind; of progress only the last counts


@dataclass(frozen=True, slots=True)
class JobEvent:
    """Something that happened to a job.

    name: a result's or a sheet's; text: a notice, a state, or why it failed; previews: PNG or JPEG files by seed;
    worth: what a result's scores come to, where pictures are chosen from
    """

    job: str
    kind: Kind
    text: str = ""
    name: str = ""
    error: str | None = None
    step: int = 0
    steps: int = 0
    seconds_left: float | None = None
    seeds: tuple[int, ...] = ()
    previews: Mapping[int, bytes] = field(default_factory=dict)
    worth: float = 0.0

    @property
    def ends(self) -> bool:
        """Whether nothing more comes of the job."""
        return self.kind == "state" and self.text in ("done", "failed", "cancelled")


class Listener:
    """Hears one job's events, or all; iterate over it, in a thread or in an event loop."""

    def __init__(self, job: str | None, leave: "Callable[[Listener], None]") -> None:
        self.job = job
        self._leave = leave
        self._unheard: deque[JobEvent] = deque()
        self._changed = Condition()
        self._wake: Callable[[], object] | None = None
        self._is_closed = False
        self._heard = set[tuple[str, str, str, str]]()  # of what comes again from a job that another server draws

    def tell(self, event: JobEvent, *, once: bool = False) -> None:
        """Called by whoever publishes; never waits. once: unless it was told before, by `begin` or so."""
        with self._changed:
            if once and _named(event) in self._heard:
                return
            if once:
                self._heard.add(_named(event))
            if event.kind == "progress":
                self._drop_progress(event.job)
            self._unheard.append(event)
            while len(self._unheard) > _MOST_UNHEARD:
                self._unheard.popleft()
            self._changed.notify_all()
            wake = self._wake
        if wake is not None:
            wake()

    def begin(self, events: Sequence[JobEvent]) -> None:
        """Hears first how things stand; what was told meanwhile, and is among it, is not heard twice."""
        with self._changed:
            known = {(one.kind, one.name, one.text) for one in events}
            self._heard |= {_named(one) for one in events if one.kind in ("notice", "result", "sheet")}
            later = [one for one in self._unheard if (one.kind, one.name, one.text) not in known or one.ends]
            has_ended = any(one.ends for one in later)
            self._unheard = deque([one for one in events if not (one.ends and has_ended)] + later)

    def next(self, seconds: float | None = None) -> JobEvent | None:
        """The next event; None when there was none for so long, or the listener is closed."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._unheard) or self._is_closed, seconds)
            return self._unheard.popleft() if self._unheard else None

    def __iter__(self) -> Iterator[JobEvent]:
        while (event := self.next()) is not None:
            yield event
            if event.ends and self.job is not None:
                return

    async def heard(self, seconds: float) -> AsyncIterator[JobEvent | None]:
        """The events as they come, for an event loop; None whenever there was none for `seconds`."""
        loop, came = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            loop.call_soon_threadsafe(came.set)

        self._wake = wake
        try:
            while not self._is_closed:
                came.clear()
                event = self.next(0)
                if event is None:
                    try:
                        await asyncio.wait_for(came.wait(), seconds)
                    except TimeoutError:
                        yield None
                    continue
                yield event
                if event.ends and self.job is not None:
                    return
        finally:
            self._wake = None
            self.close()

    def close(self) -> None:
        """Hears nothing more."""
        self._leave(self)
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _drop_progress(self, job: str) -> None:
        """Progress that nobody has heard is replaced, but its previews are kept by those that follow without."""
        kept = [one for one in self._unheard if not (one.kind == "progress" and one.job == job and not one.previews)]
        if len(kept) > 8:  # somebody who hears slowly: older previews go, too
            kept = [one for one in kept if not (one.kind == "progress" and one.job == job)]
        if len(kept) != len(self._unheard):
            self._unheard = deque(kept)


def _named(event: JobEvent) -> tuple[str, str, str, str]:
    return event.job, event.kind, event.name, event.text


class Broadcast:
    """Takes events in and tells them; keeps what a running job has shown, for those who come later."""

    def __init__(self) -> None:
        self._listeners: dict[str | None, set[Listener]] = {}
        self._running: dict[str, JobEvent] = {}
        self._access = Lock()
        self.hooks: list[Callable[[JobEvent], object]] = []  # called with each event, before those who listen

    def tell(self, event: JobEvent, *, once: bool = False) -> None:
        """Tells everybody who listens to this job, or to all; once: those who have not heard it."""
        with self._access:
            self._remember(event)
            listeners = [*self._listeners.get(event.job, ()), *self._listeners.get(None, ())]
        for hook in self.hooks:
            hook(event)
        for one in listeners:
            one.tell(event, once=once)

    def listened(self) -> list[str]:
        """The jobs that somebody listens to."""
        with self._access:
            return [job for job in self._listeners if job is not None]

    def listen(self, job: str | None) -> Listener:
        """A new listener, who first hears the last progress with its previews; close it when done."""
        listener = Listener(job, self._forget)
        with self._access:
            self._listeners.setdefault(job, set()).add(listener)
            known = [self._running[job]] if job in self._running else []
        for event in known:
            listener.tell(event)
        return listener

    def running(self, job: str) -> JobEvent | None:
        """The last progress of a job that is being drawn, with the last previews."""
        with self._access:
            return self._running.get(job)

    def _remember(self, event: JobEvent) -> None:
        if event.kind == "progress":
            before = self._running.get(event.job)
            same = before is not None and before.seeds == event.seeds
            shown = event.previews or (before.previews if before is not None and same else {})
            self._running[event.job] = replace(event, previews=shown)
        elif event.kind == "state" and event.text != "drawing":
            self._running.pop(event.job, None)

    def _forget(self, listener: Listener) -> None:
        with self._access:
            known = self._listeners.get(listener.job)
            if known is not None:
                known.discard(listener)
                if not known:
                    del self._listeners[listener.job]
