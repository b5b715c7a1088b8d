"""One reading of one damaged input, under watch: its time, its memory, and what it raises."""

import faulthandler
import resource
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from blipdiff.errors import BlipdiffError

SECONDS = 10
GROWTH = 2**30
_MOST = 6 * 2**30  # what one reading may add to the address space, so that the machine lives on
_STUCK = 60  # seconds after which a reading that no signal reaches ends the run
_NO_MEMORY = ("allocate memory", "out of memory", "MemoryError")


@dataclass(frozen=True, slots=True)
class Finding:
    """What should not have happened: its kind, by which equals are counted, and the whole story."""

    kind: str
    told: str


class Hang(BaseException):
    """The reading took longer than it may; no `except Exception` holds it."""


def watched(read: Callable[[], object]) -> Finding | None:
    """None where the reading ended well or in an error of ours; else what went wrong."""
    before = _resident()
    _forget_peak()
    error: BaseException | None = None
    try:
        with _limited(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read()
    except (Exception, Hang) as caught:
        error = caught
    grown = _peak() - before
    if isinstance(error, Hang):
        return Finding(f"hang in {_place(error)}", _story(error))
    if grown > GROWTH or _short_of_memory(error):
        story = "" if error is None else _story(error)
        return Finding("growth", f"{grown / 2**30:.1f} GB\n{story}")
    if error is None or isinstance(error, BlipdiffError):
        return None
    return Finding(f"{type(error).__name__} in {_place(error)}", _story(error))


@contextmanager
def _limited() -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, stop)
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    faulthandler.dump_traceback_later(_STUCK, exit=True, file=sys.__stderr__)
    try:
        resource.setrlimit(resource.RLIMIT_AS, (_address_space() + _MOST, hard))
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        faulthandler.cancel_dump_traceback_later()
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _place(error: BaseException) -> str:
    """Where the error was raised, and the last line of ours that led there."""
    frames = traceback.extract_tb(error.__traceback__)
    last = [frames[-1], *[frame for frame in frames if _own(frame.filename)][-1:]]
    names = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in last]
    return " from ".join(dict.fromkeys(names))


def _own(name: str) -> bool:
    root = Path(__file__).parents[2]
    return any(Path(name).is_relative_to(root / package) for package in ("blipdiff", "pipelines", "app"))


def _story(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)[-12:])


def _short_of_memory(error: BaseException | None) -> bool:
    """Whether the error, or one behind it, says that memory ran out: it would have grown without the limit."""
    while error is not None:
        if isinstance(error, MemoryError) or any(sign in str(error) for sign in _NO_MEMORY):
            return True
        error = error.__cause__
    return False


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    return 0


def _resident() -> int:
    return _status("VmRSS")


def _peak() -> int:
    return _status("VmHWM")


def _address_space() -> int:
    return _status("VmSize")


def _forget_peak() -> None:
    """Lets the highest memory of this process be counted from now on; where that is not allowed, from its start."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return
