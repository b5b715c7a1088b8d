"""Stopping a run inside a step: whoever waits for the next event may be asked, between the U-Net's blocks, to end."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import get_ident
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:  # whoever stops a run need not load torch
    from torch import nn

_Event = TypeVar("_Event")
_ASKED: ContextVar[Callable[[], bool] | None] = ContextVar("whether this thread's run is stopped", default=None)


class Stopped(Exception):
    """A run ended inside a step, because it was asked to."""


def until_stopped(events: Iterator[_Event], is_stopped: Callable[[], bool]) -> Iterator[_Event]:
    """The events of a run, which ends without a word, and within a block of the U-Net, once `is_stopped` says so."""
    while True:
        before = _ASKED.set(is_stopped)
        try:
            event = next(events)
        except (Stopped, StopIteration):
            return
        finally:
            _ASKED.reset(before)
        yield event


def check_stopped() -> None:
    """Passes unless this thread's run is stopped. Raises: Stopped."""
    is_stopped = _ASKED.get()
    if is_stopped is not None and is_stopped():
        raise Stopped


@contextmanager
def interruptible(net: "nn.Module") -> Iterator[None]:
    """Between the blocks of `net` it is asked whether the run is stopped; nothing is done for a run that nobody stops.

    Raises: Stopped, out of the network's call.
    """
    is_stopped = _ASKED.get()
    if is_stopped is None:
        yield
        return
    thread = get_ident()  # others that use the network go on

    def look(*_call: object) -> None:
        if get_ident() == thread and is_stopped():
            raise Stopped

    members = [module for name, module in net.named_modules() if name.rpartition(".")[2].isdigit()]  # of its lists
    hooks = [module.register_forward_pre_hook(look) for module in members]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
