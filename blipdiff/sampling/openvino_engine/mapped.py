"""Weights in files that are mapped: the system keeps what is read of them in memory, and takes it back at will."""

import ctypes
import functools
import gc
import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from blipdiff.errors import CheckpointError
from blipdiff.foreign import foreign
from blipdiff.outputs import written_file

CAN_LET_GO = hasattr(mmap, "MADV_DONTNEED")  # Linux and macOS; elsewhere what was read stays until memory is short

_ALIGNED = 64  # bytes, as torch aligns its own memory
_PAUSE = 0.1  # seconds between two times that pages are given back; a second of compiling reads about a GB
_WORDS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}  # bytes of a number -> bits to compare


class Mapped:
    """A file's bytes as memory. What is written to it stays in this process, and never goes into the file.

    Raises: CheckpointError where it cannot be mapped.
    """

    def __init__(self, path: Path) -> None:
        with foreign(path, "a file of weights"), path.open("rb") as stream:
            self._map = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)
        self.bytes: np.ndarray[Any, Any] = np.frombuffer(self._map, dtype=np.uint8)  # holds the map

    def let_go(self) -> None:
        """Gives the pages back; they are read again when they are needed. Only where nothing was written to them."""
        if CAN_LET_GO:
            self._map.madvise(mmap.MADV_DONTNEED)


@contextmanager
def letting_go(file: Mapped | None) -> Iterator[None]:
    """A block that reads a file once, which never lies in memory as a whole meanwhile; nothing may be written to it."""
    if file is None:
        yield
        return
    ended = Event()

    def run() -> None:
        while not ended.wait(_PAUSE):
            file.let_go()

    thread = Thread(target=run, name="blipdiff-pages", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        file.let_go()


def lay_by(net: nn.Module, path: Path) -> Mapped | None:
    """From now on the weights of `net` are those of the file, which are the same; it is written where there is none.

    They keep dtype, shape and the order in which they lie. Who reads them reads the file, who writes to them writes
    to memory of this process. None, and nothing done, where the system does not give back what was read.

    Raises: CheckpointError where the file holds other weights, OutputError where it cannot be written.
    """
    if not CAN_LET_GO:
        return None
    dense = [one for one in net.parameters() if _is_dense(one)]
    if not path.exists():
        with written_file(path) as part:
            _write(dense, part)
    mapped = Mapped(path)
    with letting_go(mapped):
        others = _from(mapped, dense, path)
        for one, other in zip(dense, others, strict=True):
            if not torch.equal(_bits(one), _bits(other)):
                raise CheckpointError(f"{path} holds other weights than the network.")
    for one, other in zip(dense, others, strict=True):
        one.data = other
    give_back()
    return mapped


def take_up(net: nn.Module) -> None:
    """From now on the weights of `net` lie in memory, whatever becomes of a file that they were laid by in."""
    for one in net.parameters():
        one.data = one.data.clone(memory_format=torch.preserve_format)


def give_back() -> None:
    """Returns to the system what is free: glibc keeps a quarter of a GB of weights that were let go."""
    gc.collect()
    trim = _trim()
    if trim is not None:
        trim(0)


@functools.cache
def _trim() -> Any:
    """glibc's malloc_trim, None where the system has none."""
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):
        return None


def _write(weights: list[nn.Parameter], path: Path) -> None:
    with path.open("wb") as file:
        for one in weights:
            file.write(b"\0" * (-file.tell() % _ALIGNED))
            file.write(_bits(one).view(torch.uint8).numpy().data)


def _from(mapped: Mapped, weights: list[nn.Parameter], path: Path) -> list[Tensor]:
    """What the file holds in place of each. Raises: CheckpointError where it is not of their size."""
    found, place = [], 0
    whole = torch.from_numpy(mapped.bytes)
    for one in weights:
        begin = place + -place % _ALIGNED
        place = begin + one.numel() * one.element_size()
        if place > whole.numel():
            break
        found.append(whole[begin:place].view(one.dtype).as_strided(one.shape, one.stride()))
    if len(found) != len(weights) or place != whole.numel():
        raise CheckpointError(f"{path} holds other weights than the network.")
    return found


def _bits(one: Tensor) -> Tensor:
    """A tensor's numbers as they lie in memory, (count,), as whole numbers."""
    flat = one.detach().as_strided((one.numel(),), (1,), one.storage_offset())
    return flat.view(_WORDS[one.element_size()])


def _is_dense(one: Tensor) -> bool:
    """Whether its numbers lie in memory one after the other, in whatever order, and are as wide as a word."""
    lies_close = one.is_contiguous() or (one.ndim == 4 and one.is_contiguous(memory_format=torch.channels_last))
    return lies_close and one.device.type == "cpu" and one.numel() > 0 and one.element_size() in _WORDS
