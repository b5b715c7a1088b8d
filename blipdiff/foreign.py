"""The door through which files of other makers come in: what a library raises on them becomes one error of ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from blipdiff.errors import BlipdiffError, CheckpointError

_PANIC = "PanicException"  # how libraries written in Rust fail; it is no Exception


@contextmanager
def foreign(path: Path | str, what: str, error: type[BlipdiffError] = CheckpointError) -> Iterator[None]:
    """A block in which a library reads `path`, and nothing else happens: whatever it raises names the file.

    `what` completes "it is not ...": "readable JSON". Put no code of ours into the block but the call, so that our
    own mistakes keep their traceback. Raises: `error`.
    """
    try:
        yield
    except BlipdiffError:
        raise
    except BaseException as reason:
        if not isinstance(reason, Exception) and type(reason).__name__ != _PANIC:
            raise
        raise error(f"{path} is damaged, or it is not {what}: {first_line(reason)}.") from reason


def first_line(reason: BaseException) -> str:
    """What an error says, in one line without a full stop; its kind where it says nothing."""
    lines = str(reason).strip().splitlines()
    return (lines[0].strip()[:300].rstrip(".") if lines else "") or type(reason).__name__
