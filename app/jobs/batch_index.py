"""What is done of a very long batch, in 16 bytes a line, and what killed runs had done without saying so."""

import json
import os
import shutil
from array import array
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.jobs.batch import JOURNAL, Journal
from app.jobs.batch_drawing import DONE
from blipdiff.errors import ConfigError
from blipdiff.outputs import writing

Marks: TypeAlias = NDArray[np.uint64]

UNFINISHED, CARDS = ".rows", ".cards"  # folders within that of a batch, while it is drawn
_LOG, _LOCK = "log.jsonl", "lock"
_GOLDEN = 0x9E3779B97F4A7C15
_ALL = 2**64


@dataclass(frozen=True, slots=True)
class Index:
    """The lines that are done, with their files there: by their marks and by their keys, both in order."""

    marks: Marks
    keys: Marks

    @classmethod
    def read(cls, folder: Path) -> "Index":
        """Of the journal in a folder, read as a stream."""
        marks, keys, place = array("Q"), array("Q"), str(folder)
        for told in _lines(folder / JOURNAL):
            if told.get("state") != DONE or not _are_there(place, told.get("files")):
                continue
            if (mark := _hexadecimal(told.get("mark"))) is not None:
                marks.append(mark)
            if (key := key_mark(str(told.get("key")))) is not None:
                keys.append(key)
        return cls(_sorted(marks), _sorted(keys))


def repeated_mark(mark: int, times: int) -> int:
    """The mark of a row that stands there for the `times`-th time, from 1."""
    return (mark + (times - 1) * _GOLDEN) % _ALL


def repeated_marks(marks: Marks) -> tuple[Marks, NDArray[np.uint32]]:
    """Marks of rows in their order as marks that differ, and how often each row stood there before, and with it."""
    in_order = np.sort(marks)
    times = np.ones(len(marks), np.uint32)
    if not (in_order[1:] == in_order[:-1]).any():
        return marks, times
    order = np.argsort(marks, kind="stable")
    new = np.concatenate([[True], marks[order][1:] != marks[order][:-1]])
    firsts = np.flatnonzero(new)
    times[order] = np.arange(len(marks)) - np.repeat(firsts, np.diff([*firsts, len(marks)])) + 1
    with np.errstate(over="ignore"):
        return marks + (times.astype(np.uint64) - np.uint64(1)) * np.uint64(_GOLDEN), times


def is_in(marks: Marks, one: int) -> bool:
    """Whether marks in order hold one."""
    place = int(np.searchsorted(marks, np.uint64(one)))
    return place < len(marks) and int(marks[place]) == one


def key_mark(key: str) -> int | None:
    """64 bits of a line's key; None for a text that is none."""
    start, _, times = key.rpartition("-")
    mark = _hexadecimal(start[:16])
    return None if mark is None or not times.isdecimal() else repeated_mark(mark, int(times))


@dataclass(slots=True)
class Log:
    """What became of the rows of one chunk so far, in its folder: also for who goes on when this process is killed.

    begun: how often each line's drawing was begun; told: what became of those that ended
    """

    folder: Path
    begun: dict[int, int] = field(default_factory=dict)
    told: dict[int, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def opened(cls, folder: Path) -> "Log":
        """The log of a chunk, with what others wrote there. Raises: OutputError where its folder cannot be made."""
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        found = cls(folder)
        for line in _lines(folder / _LOG):
            for number in line.get("begun", ()):
                found.begun[number] = found.begun.get(number, 0) + 1
            if "line" in line:
                found.told[line["line"]] = line
        return found

    def begin(self, numbers: list[int]) -> None:
        """Writes down that lines are drawn from now on. Raises: OutputError."""
        Journal(self.folder / _LOG).write({"begun": numbers})

    def end(self, told: Mapping[str, Any]) -> None:
        """Writes down what became of a line. Raises: OutputError."""
        Journal(self.folder / _LOG).write(told)


@contextmanager
def held(folder: Path) -> Iterator[Path]:
    """A block in which nobody else draws a batch into a folder in this way; gives where its rows are worked on.

    What a killed run had drawn is written into the journal first, and what it had begun is removed.

    Raises: ConfigError where another run draws there, OutputError where nothing can be written.
    """
    import fcntl

    place = folder / UNFINISHED
    with writing(place):
        place.mkdir(parents=True, exist_ok=True)
        lock = (place / _LOCK).open("ab")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(f"Another command draws a batch into {folder}; wait for it, or stop it.") from error
        except OSError:
            pass  # a disk without locks
        run = place / f"{os.getpid()}-{os.urandom(4).hex()}"
        _gather(folder, place)
        try:
            yield run
        finally:
            _gather(folder, place)


def _gather(folder: Path, place: Path) -> None:
    """Puts into the journal what the logs of killed runs tell and it does not, and removes them."""
    logs = [path for path in place.iterdir() if path.is_dir()]
    if not logs:
        return
    journal, index = Journal(folder / JOURNAL), Index.read(folder)
    for run in logs:
        for chunk in run.iterdir():
            for told in Log.opened(chunk).told.values():
                mark = _hexadecimal(told.get("mark"))
                if told.get("state") == DONE and mark is not None and not is_in(index.marks, mark):
                    journal.write(told)
        shutil.rmtree(run, ignore_errors=True)


def _lines(path: Path) -> Iterator[Mapping[str, Any]]:
    """The objects of a file of JSON, line by line; a line that was not written whole is none."""
    try:
        with path.open("rb") as file:
            for line in file:
                try:
                    told = json.loads(line)
                except (ValueError, RecursionError):
                    continue
                if isinstance(told, Mapping):
                    yield told
    except OSError:
        return


def _are_there(place: str, names: Any) -> bool:
    return isinstance(names, list) and all(os.path.isfile(f"{place}/{name}") for name in names)  # noqa: PTH113


def _hexadecimal(text: Any) -> int | None:
    try:
        return int(text, 16) % _ALL
    except (TypeError, ValueError):
        return None


def _sorted(marks: "array[int]") -> Marks:
    found = np.frombuffer(marks, np.uint64).copy() if len(marks) else np.empty(0, np.uint64)
    found.sort()
    return found
