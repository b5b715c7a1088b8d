"""Killed at any moment (SIGKILL), no writer loses what it told of, and none leaves a half.

`pytest tests/killed --kills 50` kills each writer at 50 moments; every second one falls anywhere in time, the others
between two calls of Python, which is where a name is taken or not.
"""

import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch

from tests.killed.writers import WRITERS, Writer

AT_ONCE, ENDLESS = 2, 1000  # writings of one process


class Process:
    """A process that writes until it is done or killed; `words` is what it told."""

    def __init__(self, writer: Writer, folder: Path, first: int, count: int, *, calls: int | None = None) -> None:
        reading, telling = os.pipe()
        self._reading = reading
        self.id = _forked()
        if not self.id:
            try:
                os.close(reading)
                _write(writer, folder, range(first, first + count), telling, calls)
                os._exit(0)
            except BaseException as error:
                os.write(telling, f"failed: {error!r}\n".encode())
                os._exit(1)
        os.close(telling)

    def kill_after(self, seconds: float) -> None:
        time.sleep(seconds)
        os.kill(self.id, signal.SIGKILL)

    def ended(self) -> tuple[list[str], bool]:
        """What it told, and whether it was killed."""
        with os.fdopen(self._reading) as file:
            words = file.read().splitlines()
        status = os.waitpid(self.id, 0)[1]
        assert not any(word.startswith("failed") for word in words), words
        return words, os.WIFSIGNALED(status)


def _forked() -> int:
    """As os.fork; the new process computes in one thread, since the pool of an earlier test did not come along."""
    child = os.fork()
    if not child:
        torch.set_num_threads(1)
    return child


def _write(writer: Writer, folder: Path, numbers: range, telling: int, calls: int | None) -> None:
    seen = 0

    def count(_frame: FrameType, _event: str, _argument: object) -> None:
        nonlocal seen
        seen += 1
        if seen == calls:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(count if calls is not None else None)
    for number in numbers:
        for word in writer.write(folder, number):
            os.write(telling, f"{word}\n".encode())
    sys.setprofile(None)
    os.write(telling, f"calls {seen}\n".encode())


def _length(writer: Writer, folder: Path) -> tuple[int, float]:
    """Calls and seconds that the writings of one process take."""
    began = time.monotonic()
    words, _ = Process(writer, folder, 0, AT_ONCE, calls=0).ended()
    return int(words[-1].split()[1]), time.monotonic() - began


def _emptied(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def _hidden(folder: Path) -> list[Path]:
    return list(folder.rglob(".blipdiff-*"))


@pytest.fixture
def kills(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--kills"))


@pytest.mark.parametrize("name", WRITERS)
def test_what_was_told_is_there_and_nothing_is_half(name: str, kills: int, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    writer, rng, folder = WRITERS[name](tmp_path / "own"), random.Random(name), tmp_path / "out"
    folder.mkdir()
    calls, seconds = _length(writer, tmp_path / "measured")
    told: list[str] = []
    killed = 0
    for round_ in range(kills):
        by_time = round_ % 2 == 1 and kills > 10
        moment = None if by_time else rng.randint(1, calls * 9 // 10)
        process = Process(writer, folder, ENDLESS * round_, ENDLESS if by_time else AT_ONCE, calls=moment)
        if by_time:
            process.kill_after(rng.uniform(0, seconds))
        words, was_killed = process.ended()
        killed += was_killed
        told += [word for word in words if not word.startswith("calls")]
        writer.check(folder, told)
        if writer.is_finished_by_check:
            told.clear()
            _emptied(folder)
    assert killed >= kills * 0.6, "most moments fall into the writing"
    told += list(writer.write(folder, ENDLESS * kills))
    writer.check(folder, told)
    assert _hidden(folder) == [], "what the killed ones left is cleared"


def test_many_processes_write_into_one_folder_and_lose_nothing(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    processes, each = request.config.getoption("--writers"), request.config.getoption("--pictures")
    writer = WRITERS["pictures"](tmp_path)
    told: list[str] = []

    def started() -> Iterator[Any]:
        for place in range(processes):
            reading, telling = os.pipe()
            child = _forked()
            if not child:
                for number in range(each):
                    for word in writer.write(tmp_path, place * each + number):
                        os.write(telling, f"{word}\n".encode())
                os._exit(0)
            os.close(telling)
            yield child, reading

    for child, reading in list(started()):
        with os.fdopen(reading) as file:
            told += file.read().splitlines()
        os.waitpid(child, 0)
    assert len({word.split()[0] for word in told}) == processes * each
    assert len(list(tmp_path.iterdir())) == processes * each
    writer.check(tmp_path, told)
