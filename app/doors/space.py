"""The folder of what browsers bring and see: it has a size, and what was not used for longest goes first."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir

from app.doors.answers import Refusal

_PREFIX = "blipdiff-page-"
_SECONDS_IN_USE = 600.0  # a file that was asked for so lately is not taken away
_FULL = "There is no room for more at the moment; try again in some minutes."


def own_prefix() -> str:
    """How the name of this process's folder begins."""
    return f"{_PREFIX}{os.getpid()}-"


def remove_left() -> None:
    """Removes this user's folders of processes that were killed before they could."""
    for left in Path(gettempdir()).glob(f"{_PREFIX}*"):
        if _is_left(left):
            shutil.rmtree(left, ignore_errors=True)


class Space:
    """A folder's files, whose size together is kept below `most` bytes.

    What lies there at the start, the page's own examples, stays.
    """

    def __init__(self, folder: Path, most: int, free: int, clock: Callable[[], float] = time.time) -> None:
        self.folder = folder
        self._most, self._free, self._clock = most, free, clock
        folder.mkdir(parents=True, exist_ok=True)
        self._own = frozenset(_files(folder))
        self._size = 0  # at least that of all files, since the last look

    def begin(self) -> None:
        """Looks at what there is, before an upload.

        Raises: Refusal when there is no room.
        """
        self._look(0)

    def take(self, count: int) -> None:
        """So many bytes more are about to be written.

        Raises: Refusal when there is no room for them, even without what is not in use.
        """
        self._size += count
        if self._size > self._most:
            self._look(count)

    def used(self, path: Path) -> None:
        """The file is in use now."""
        with suppress(OSError):
            os.utime(path)

    def _look(self, more: int) -> None:
        """Measures what there is, and makes room for so many bytes more where there is too much."""
        if shutil.disk_usage(self.folder).free < self._free:
            raise Refusal(507, _FULL)
        found = sorted(self._found(), key=lambda one: one.when)
        size = more + sum(one.size for one in found)
        wanted = 0.9 * self._most if size > self._most else self._most  # with some room for the next ones
        for one in found:
            if size <= wanted:
                break
            if one.path not in self._own and self._clock() - one.when > _SECONDS_IN_USE:
                with suppress(OSError):
                    one.path.unlink()
                    size -= one.size
                if one.path.parent != self.folder:
                    with suppress(OSError):  # others are beside it
                        one.path.parent.rmdir()
        self._size = size
        if size > self._most:
            raise Refusal(507, _FULL)

    def _found(self) -> Iterator["_Found"]:
        for path in _files(self.folder):
            with suppress(OSError):
                about = path.stat()
                yield _Found(path, about.st_size, max(about.st_mtime, about.st_ctime))  # a copy has an old mtime


@dataclass(frozen=True, slots=True)
class _Found:
    path: Path
    size: int  # bytes
    when: float  # it was used last


def _files(folder: Path) -> Iterator[Path]:
    for place, _, names in os.walk(folder):
        yield from (Path(place, name) for name in names)


def _is_left(folder: Path) -> bool:
    """Whether the folder's process is over, and was this user's."""
    number = folder.name.removeprefix(_PREFIX).partition("-")[0]
    try:
        if not number.isdigit() or (hasattr(os, "getuid") and folder.stat().st_uid != os.getuid()):
            return False
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False
