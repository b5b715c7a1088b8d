"""The watch itself: what it must see, it sees."""

import time
from collections.abc import Callable

import pytest
from hypothesis import strategies as st

from blipdiff.errors import CheckpointError
from tests.fuzz import watch
from tests.fuzz.conftest import Fuzz
from tests.fuzz.watch import watched


def ours() -> None:
    raise CheckpointError("The file is damaged.")


def foreign() -> None:
    raise KeyError("a")


def slow() -> None:
    try:
        time.sleep(30)
    except Exception:
        return


def large() -> bytes:
    return b"\x01" * (2**30 + 2**28)


def larger_than_allowed() -> None:
    try:
        bytearray(2**40)
    except MemoryError as reason:
        raise CheckpointError("The file is damaged.") from reason


def test_results_and_errors_of_ours_are_no_findings() -> None:
    assert watched(lambda: 1) is None
    assert watched(ours) is None


@pytest.mark.parametrize(
    ("read", "kind"),
    [(foreign, "KeyError in test_watch"), (slow, "hang"), (large, "growth"), (larger_than_allowed, "growth")],
)
def test_what_should_not_happen_is_found(
    read: Callable[[], object], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if read is slow:
        monkeypatch.setattr(watch, "SECONDS", 0.2)
    finding = watched(read)
    assert finding is not None
    assert finding.kind.startswith(kind)


def test_findings_are_counted_by_kind_and_an_input_of_each_is_kept(fuzz: Fuzz) -> None:
    def read(number: int) -> None:
        if number % 2:
            foreign()

    with pytest.raises(pytest.fail.Exception, match=r"[0-9]+ x KeyError in test_watch"):
        fuzz(st.integers(0, 1000), read)
    assert int((fuzz.kept / "1.input").read_bytes()) % 2
    assert not (fuzz.kept / "2.input").exists()
