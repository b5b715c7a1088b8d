"""What commands say, on the standard output and the standard error: foreign text in it is made plain, here alone."""

import json
import sys
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from app.plain import plain


def say(text: object, *, lines: bool = False) -> None:
    """One line of a command's answer; several where `lines` says that the text has them.

    A path stays as it is where a program reads it.
    """
    is_read = isinstance(text, Path) and not sys.stdout.isatty() and str(text).isprintable()
    _write(str(text) if is_read else plain(text, lines=lines), sys.stdout)


def say_json(answer: Any, *, indent: int | None = None) -> None:
    """An answer for programs, which is plain as JSON is: whatever is no ASCII is written out."""
    _write(json.dumps(answer, indent=indent), sys.stdout)


def warn(text: object, *, lines: bool = False) -> None:
    """One line about a command."""
    _write(plain(text, lines=lines), sys.stderr)


def tell_of_bug(kind: type[BaseException], bug: BaseException, trace: TracebackType | None) -> None:
    """The traceback as Python shows it: a `sys.excepthook`."""
    for entry in traceback.format_exception(kind, bug, trace):
        warn(entry.rstrip("\n"), lines=True)


def tell_of_warning(message: Warning | str, *_where: Any) -> None:
    """A warning in one line, without the place in the code that it came from: a `warnings.showwarning`."""
    warn(message)


def _write(text: str, stream: TextIO) -> None:
    """Above a bar, where one is shown."""
    bars = sys.modules.get("tqdm")
    if bars is None:
        print(text, file=stream, flush=True)
    else:
        bars.tqdm.write(text, file=stream)
