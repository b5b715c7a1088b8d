"""The files that a task walks through, recorded on a tiny model, are those that ARCHITECTURE.md lists."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest

from tests.support.command_line import Command

pytest_plugins = ["tests.support.command_fixtures"]

ROOT = Path(__file__).parents[2]
PACKAGES = ("app", "pipelines", "blipdiff")
LOADING = "blipdiff/checkpoints/"  # reading a model from disk is a walk of its own


@contextmanager
def walked(first: str) -> Iterator[list[str]]:
    """The project's files in the order in which a call entered them, from `first` on."""
    files: list[str] = []
    loading = 0

    def watch(frame: FrameType, event: str, _argument: object) -> None:
        nonlocal loading
        if event not in ("call", "return"):
            return
        path = Path(frame.f_code.co_filename)
        if not path.is_relative_to(ROOT) or path.relative_to(ROOT).parts[0] not in PACKAGES:
            return
        name = path.relative_to(ROOT).as_posix()
        if name.startswith(LOADING):
            loading += 1 if event == "call" else -1
        elif event == "call" and not loading and name not in files and (files or name == first):
            files.append(name)

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        yield files
    finally:
        sys.setprofile(before)


def listed(walk: str) -> list[str]:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    blocks = re.findall(rf"^```\nwalk: {re.escape(walk)}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 1, f"ARCHITECTURE.md has {len(blocks)} blocks 'walk: {walk}'"
    return [line.split()[0] for line in blocks[0].splitlines()]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_generate_walks_through_the_files_that_are_listed(
    dtype: str, blipdiff: Command, model: Path, dog: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("generate", "--model", model, "--subject", dog, "--category", "dog", "--prompt", "on a beach")
    asked += ("--steps", 3, "--count", 2, "--device", "cpu", "--dtype", dtype)
    assert blipdiff(*asked).code == 0, "the first run imports what is imported when it is needed"
    with walked("app/cli/generate.py") as files:
        ended = blipdiff(*asked)
    assert ended.code == 0, ended.err
    with capsys.disabled():
        print(f"\ngenerate walks through {len(files)} files")
    assert files == listed("generate")
    assert all((ROOT / file).is_file() for file in files)
