"""The command line, called as a person calls it, but in this process."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def answer(self) -> Any:
        """What --json printed."""
        return json.loads(self.out)

    @property
    def pictures(self) -> list[Path]:
        """The pictures that `generate` named."""
        return [Path(line) for line in self.out.splitlines()]


Command = Callable[..., Ended]


@contextmanager
def at_call(file: str, function: str, number: int, what: Callable[[], object]) -> Iterator[None]:
    """Calls `what` when the function of a source file, named by the end of its path, is entered for that time."""
    seen = 0

    def watch(frame: FrameType, event: str, _argument: object) -> None:
        nonlocal seen
        code = frame.f_code
        if event == "call" and code.co_name == function and code.co_filename.endswith(file):
            seen += 1
            if seen == number:
                what()

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        yield
    finally:
        sys.setprofile(before)


def with_metadata(path: Path, text: str) -> Path:
    """A picture that says this of how it was made."""
    info = PngInfo()
    info.add_text("blipdiff", text)
    Image.new("RGB", (8, 8)).save(path, pnginfo=info)
    return path
