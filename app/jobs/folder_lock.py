"""The lock of a folder in which one program alone draws."""

import os
from pathlib import Path

from blipdiff.errors import OutputError
from blipdiff.outputs import writing

try:
    import fcntl
except ImportError:  # not on Windows: nothing keeps two programs from one folder there
    fcntl = None  # type: ignore[assignment]

LOCK = "lock"


def locked(folder: Path) -> int | None:
    """The folder's lock, which this process holds while it lives."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / LOCK, os.O_CREAT | os.O_RDWR, 0o600)
    if fcntl is None:
        return lock
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise OutputError(f"Another blipdiff draws in {folder}; end that one, or name another folder.") from error
    return lock
