"""What a refusal on the command line must look like."""

from pathlib import Path

from tests.support.command_line import Ended


def files_below(*folders: Path) -> list[Path]:
    return [path for folder in folders for path in folder.rglob("*") if path.is_file()]


def assert_refused(ended: Ended, words: str, *, written: Path | None = None) -> None:
    assert ended.code == 2, ended
    assert ended.out == ""
    assert "Traceback" not in ended.err
    assert ended.err.startswith("blipdiff: "), ended.err
    assert ended.err.count("\n") == 1 or "is damaged or not safe to unpack" in ended.err, ended.err
    assert words in ended.err
    assert files_below(written or Path()) == []


def assert_not_understood(ended: Ended, words: str) -> None:
    assert ended.code == 2, ended
    assert ended.out == ""
    assert "Traceback" not in ended.err
    assert words in " ".join(ended.err.split())
    assert files_below(Path()) == []
