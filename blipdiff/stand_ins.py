"""Networks that compute in place of torch's own, held beside them: who calls a network may ask for the faster one."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from torch import Tensor, nn


class StandIn(Protocol):
    """What computes a network's outputs elsewhere than in torch."""

    def __call__(self, net: Any, *inputs: Tensor) -> list[Tensor] | None:
        """The outputs of `net` in float32; None where torch is to compute them.

        It keeps no hold of the network, which would never be let go otherwise.
        """


_held: WeakKeyDictionary[nn.Module, StandIn] = WeakKeyDictionary()
_allowed: ContextVar[bool] = ContextVar("whether this call of U-Net and control nets may be another's", default=False)


def hold(net: nn.Module, stand_in: StandIn) -> None:
    """From now on `stand_in` computes what `net` is asked for, where a call allows it."""
    _held[net] = stand_in


def release(net: nn.Module) -> None:
    """From now on torch alone computes what `net` is asked for."""
    _held.pop(net, None)


def is_held(net: nn.Module) -> bool:
    """Whether something stands in for a network, where a call allows it."""
    return net in _held


def computed(net: nn.Module, *inputs: Tensor) -> list[Tensor] | None:
    """A network's outputs by what stands in for it; None where nothing does, or where it leaves them to torch."""
    stand_in = _held.get(net)
    return None if stand_in is None else stand_in(net, *inputs)


@contextmanager
def allowing(allowed: bool) -> Iterator[None]:
    """A block in which calls of the U-Net and of control nets may be another's, or may not."""
    before = _allowed.set(allowed)
    try:
        yield
    finally:
        _allowed.reset(before)


def are_allowed() -> bool:
    """Whether they may be here."""
    return _allowed.get()
