"""How long runs are told of, on terminals and anywhere else."""

import io
import os
import sys
import time

import pytest

from app.cli.progress import Progress, waiting
from blipdiff.ranges import duration


class Terminal(io.StringIO):
    """A terminal that tells no size."""

    def isatty(self) -> bool:
        return True


def test_where_there_is_no_terminal_plain_lines_come_now_and_then() -> None:
    stream = io.StringIO()
    seldom = Progress("steps", every=1000.0, stream=stream)
    seldom.show(1, 4)
    assert stream.getvalue() == ""
    often = Progress("steps", every=0.0, stream=stream)
    often.show(1, 4)
    often.show(4, 4, "judging")
    first, last = stream.getvalue().splitlines()
    assert first.startswith("1 of 4 steps, about ")
    assert first.endswith(" left")
    assert last == "judging: 4 of 4 steps"


def test_a_terminal_that_says_that_it_has_no_height_has_a_bar_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    leader, follower = os.openpty()  # of 0 lines
    with os.fdopen(follower, "w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        progress = Progress("steps")
        progress.show(1, 4, "drawing")
        print("end", file=stream, flush=True)
        with os.fdopen(leader, encoding="utf-8", newline="\n") as terminal:  # one read may end between two writes
            shown = terminal.readline()
    assert "drawing" in shown


def test_a_terminal_without_a_size_has_a_bar_all_the_same() -> None:
    stream = Terminal()
    progress = Progress("steps", stream=stream)
    progress.show(1, 4, "drawing")
    assert "drawing" in stream.getvalue()
    assert "1/4" in stream.getvalue()
    progress.say("a sentence")
    assert "a sentence\n" in stream.getvalue()
    progress.close()


def test_nothing_is_told_where_nothing_is_wanted() -> None:
    stream = Terminal()
    progress = Progress("steps", quiet=True, every=0.0, stream=stream)
    progress.show(1, 4)
    progress.say("a sentence")
    progress.close()
    assert stream.getvalue() == ""


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()], ids=["file", "terminal"])
def test_what_tells_no_steps_is_told_of_once_it_takes_a_while(stream: io.StringIO) -> None:
    with waiting("Loading", patience=60.0, stream=stream):
        pass
    assert stream.getvalue() == ""
    with waiting("Loading", patience=0.0, stream=stream):
        until = time.monotonic() + 10
        while "Loading ..." not in stream.getvalue() and time.monotonic() < until:
            time.sleep(0.01)
    assert "Loading ..." in stream.getvalue()
    assert stream.getvalue()[-1] == ("\r" if stream.isatty() else "\n")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (59.4, "59 s"), (61, "1 min"), (600, "10 min"), (5400, "1.5 h"), (9000, "2.5 h")],
)
def test_a_length_of_time_is_spoken_in_two_figures(seconds: float, text: str) -> None:
    assert duration(seconds) == text
