"""How a long run is told of: a bar on a terminal, plain lines now and then anywhere else."""

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from tqdm import tqdm

from app.plain import plain
from blipdiff.ranges import duration

_EVERY = 10.0  # seconds between plain lines
_PATIENCE = 2.0  # seconds before something that tells no steps is told of at all on a terminal; elsewhere _EVERY
_USUAL_COLUMNS = 80  # of a terminal that tells no size
_ROWS = 20  # that a bar may take; tqdm shows none on a terminal that tells no height


class Progress:
    """Tells how far a run is, on the standard error; `show` may be called as often as one likes."""

    def __init__(
        self, unit: str = "", *, quiet: bool = False, every: float | None = None, stream: TextIO | None = None
    ):
        self._stream = stream or sys.stderr
        self._unit, self._every = unit, _EVERY if every is None else every
        self._begun = self._told = time.monotonic()
        self._first = 0  # where this run began
        self._bar = None
        self._quiet = quiet
        if not quiet and self._stream.isatty():
            self._bar = tqdm(
                total=None, unit=unit, leave=False, file=self._stream, ncols=_columns(self._stream), nrows=_ROWS
            )

    def show(self, done: int, total: int, stage: str = "") -> None:
        """`done` of `total` are done, of this stage where there are several."""
        if self._bar is not None:
            self._bar.total, self._bar.n = total, done
            self._bar.set_description(stage)  # which draws it as well
            return
        now = time.monotonic()
        if self._quiet or now - self._told < self._every:
            return
        self._told = now
        print(plain(self._line(done, total, stage, now - self._begun)), file=self._stream, flush=True)

    def say(self, text: str) -> None:
        """A line of its own, above the bar."""
        if self._quiet:
            return
        if self._bar is None:
            print(plain(text), file=self._stream, flush=True)
        else:
            self._bar.write(plain(text), file=self._stream)

    def clear(self) -> None:
        """Takes the bar away until it is drawn again, for output that is printed between."""
        if self._bar is not None:
            self._bar.clear()

    def close(self) -> None:
        """Takes the bar away."""
        if self._bar is not None:
            self._bar.close()

    def _line(self, done: int, total: int, stage: str, seconds: float) -> str:
        before = f"{stage}: " if stage else ""
        left = f", about {duration(seconds * (total - done) / done)} left" if 0 < done < total else ""
        return f"{before}{done} of {total}{' ' + self._unit if self._unit else ''}{left}"


@contextmanager
def told(unit: str = "", *, quiet: bool = False) -> Iterator[Progress]:
    """A `Progress` for the length of the block."""
    progress = Progress(unit, quiet=quiet)
    try:
        yield progress
    finally:
        progress.close()


@contextmanager
def waiting(
    what: str, *, quiet: bool = False, patience: float | None = None, stream: TextIO | None = None
) -> Iterator[None]:
    """Says `what` is going on once it takes a while, and that it still is: for work that tells no steps."""
    target, ended, begun = stream or sys.stderr, threading.Event(), time.monotonic()

    def tell() -> None:
        terminal = target.isatty()
        if ended.wait((_PATIENCE if terminal else _EVERY) if patience is None else patience):
            return
        while True:
            seconds = time.monotonic() - begun
            text = f"{plain(what)} ..." if seconds < _EVERY else f"{plain(what)} ... {duration(seconds)} so far"
            print(f"\r{text}" if terminal else text, end="" if terminal else "\n", file=target, flush=True)
            if ended.wait(1.0 if terminal else _EVERY):
                if terminal:
                    print("\r" + " " * (len(text) + 2) + "\r", end="", file=target, flush=True)
                return

    teller = None if quiet else threading.Thread(target=tell, daemon=True)
    if teller is not None:
        teller.start()
    try:
        yield
    finally:
        ended.set()
        if teller is not None:
            teller.join()


def _columns(stream: TextIO) -> int:
    """The width of a terminal; some tell none, where a bar of no width would be drawn."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or _USUAL_COLUMNS
    except (OSError, ValueError):
        return _USUAL_COLUMNS
