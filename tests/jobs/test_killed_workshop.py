"""A workshop that is killed (kill -9) at random moments: no job is lost, no half picture is listed."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.jobs.history import INDEX, History, Search
from app.jobs.queue import Queue
from app.jobs.tickets import Asked, Sender
from app.jobs.workshop import QUEUE
from pipelines.metadata import read_metadata
from tests.support.studios import drawn, job
from tests.support.workshops import tiny_studio

_PROGRAM = Path(__file__).with_name("drawing_program.py")
_ROOT = Path(__file__).parents[2]


class Program:
    """The drawing program, whose drawing processes are killed."""

    def __init__(self, folder: Path) -> None:
        environment = os.environ | {"PYTHONPATH": str(_ROOT), "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, str(_PROGRAM), str(folder)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=_ROOT, env=environment,
        )  # fmt: skip
        assert self._line() == "ready"

    def draw(self, seconds: float | None) -> str:
        """Draws for so many seconds, or until all is done; how that ended."""
        assert self._process.stdin is not None
        self._process.stdin.write("draw\n")
        self._process.stdin.flush()
        child = int(self._line())
        if seconds is not None:
            time.sleep(seconds)
            with suppress(ProcessLookupError):  # all was done before
                os.kill(child, signal.SIGKILL)
        return self._line()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def close(self) -> None:
        self._process.communicate(timeout=60)


def test_killed_at_random_moments_the_queue_and_the_history_stay_whole(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    chance, program = random.Random(), Program(tmp_path)
    queue = Queue(tmp_path / QUEUE)
    count, kills = 12, request.config.getoption("--kills")
    seeds = {queue.add(job(seed=seed, count=2, steps=3), Sender(client=f"{seed % 3}"), Asked("tiny")).id: seed
             for seed in range(0, 2 * count, 2)}  # fmt: skip
    queue.close()
    listed: set[str] = set()
    for _ in range(kills):
        ended = program.draw(chance.uniform(0.02, 2.0 / kills + 0.2))
        listed |= checked(tmp_path, listed)
        if ended == "done":
            break
    assert program.draw(None) == "done"
    program.close()
    queue, history = Queue(tmp_path / QUEUE), History(tmp_path)
    assert [queue.ticket(name).state for name in seeds] == ["done"] * count
    for name, seed in seeds.items():
        assert [entry.seed for entry in history.search(Search(job=name))] == [seed + 1, seed]
    name, seed = chance.choice(list(seeds.items()))
    picture = history.file(history.search(Search(job=name))[-1])
    expected = drawn(tiny_studio(), seed=seed, count=2, steps=3)[0]
    assert np.array_equal(np.asarray(Image.open(picture)).astype(int), expected)
    history.close()
    queue.close()


def checked(folder: Path, before: set[str]) -> set[str]:
    """What the history lists after a kill: all that it listed before, each a whole picture, as the files alone tell."""
    history = History(folder)
    entries = history.search(Search(), most=1000)
    for entry in entries:
        read_metadata(history.file(entry))
        Image.open(history.file(entry)).load()
    history.close()
    for path in folder.glob(f"{INDEX}*"):
        path.unlink()
    again = History(folder)
    assert again.search(Search(), most=1000) == entries
    again.close()
    names = {entry.id for entry in entries}
    assert before <= names
    return names
