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
OF_THIS_PROCESSOR = "blipdiff/attention/tiled.py"  # entered in bfloat16 where fused attention is slow


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


@pytest.fixture
def asked(model: Path, dog: Path, controlnet: Path) -> dict[str, tuple[object, ...]]:
    """What each task is asked for."""
    subject = ("--subject", dog, "--category", "dog", "--prompt", "on a beach")
    pair = ("--subject", f"dog={dog}", "--subject", f"cat={dog}")
    follows = ("--structure", dog, "--control", controlnet, "--preprocessor", "tile")
    return {
        "generate": (*subject, "--count", 2),
        "stylize": (*subject, *follows, "--count", 2),
        "edit": ("--source", dog, "--from", "dog", "--to", "cat", "--subject", dog),
        "blend": (*pair, "--frames", 3),
        "scene": ("--prompt", "a {dog} and a {cat} on a beach", *pair),
    }


@pytest.mark.parametrize(
    ("task", "dtype"),
    [
        ("generate", "float32"),
        ("generate", "bfloat16"),
        *((task, "float32") for task in ("stylize", "edit", "blend", "scene")),
    ],
)
def test_a_task_walks_through_the_files_that_are_listed(
    task: str,
    dtype: str,
    blipdiff: Command,
    model: Path,
    asked: dict[str, tuple[object, ...]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = (task, "--model", model, *asked[task], "--steps", 3, "--device", "cpu", "--dtype", dtype)
    assert blipdiff(*command).code == 0, "the first run imports what is imported when it is needed"
    with walked("app/cli/runs/drawing.py") as files:
        ended = blipdiff(*command)
    assert ended.code == 0, ended.err
    with capsys.disabled():
        print(f"\n{task} walks through {len(files)} files")
    files = [file for file in files if file != OF_THIS_PROCESSOR]
    shared = () if task == "generate" else listed("generate")
    assert [file for file in files if file not in shared] == listed(task)
    assert all((ROOT / file).is_file() for file in files)
