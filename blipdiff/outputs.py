"""Files and folders that are written whole or not at all: a kill, a full disk or an error leaves what was there."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from blipdiff.errors import OutputError

_REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EROFS: "the disk is read-only",
    errno.ENOTDIR: "a part of the path is a file, not a folder",
    errno.EEXIST: "a file of that name is in the way",
    errno.EISDIR: "a folder of that name is in the way",
    errno.ENAMETOOLONG: "the name is too long",
}


@contextmanager
def written_file(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends without an error.

    Raises: OutputError when the place cannot be written.
    """
    part: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem[:40]}.", suffix=f".part{path.suffix}", dir=path.parent)
        os.close(handle)
        part = Path(name)
        part.chmod(0o666 & ~_umask())
        yield part
        part.replace(path)
    except (OSError, SafetensorError) as reason:
        raise OutputError(f"{path} cannot be written: {_why(reason)}.") from reason
    finally:
        if part is not None:
            part.unlink(missing_ok=True)


@contextmanager
def written_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder beside `folder` that takes its place when the block ends without an error.

    A folder that is already there is replaced only when nothing in it would be lost.
    Raises: OutputError when the place cannot be written, or holds something else.
    """
    part: Path | None = None
    try:
        folder = folder.absolute()
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{folder.name[:40]}.", suffix=".part", dir=folder.parent))
        part.chmod(0o777 & ~_umask())
        yield part
        _take_place(part, folder)
    except (OSError, SafetensorError) as reason:
        raise OutputError(f"{folder} cannot be written: {_why(reason)}.") from reason
    finally:
        if part is not None:
            shutil.rmtree(part, ignore_errors=True)


def _take_place(part: Path, folder: Path) -> None:
    if not folder.exists():
        part.replace(folder)
        return
    if not folder.is_dir():
        raise OutputError(f"{folder} cannot be written: a file of that name is in the way.")
    new = {entry.name for entry in part.iterdir()}
    others = sorted(entry.name for entry in folder.iterdir() if entry.name not in new)
    if others:
        raise OutputError(
            f"{folder} holds other things ({', '.join(others[:5])}); give a new or an empty folder to write to."
        )
    old = Path(tempfile.mkdtemp(prefix=f".{folder.name[:40]}.", suffix=".old", dir=folder.parent))
    try:
        folder.replace(old / "folder")
        try:
            part.replace(folder)
        except OSError:
            (old / "folder").replace(folder)
            raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _why(reason: Exception) -> str:
    if isinstance(reason, OSError) and reason.errno in _REASONS:
        return _REASONS[reason.errno]
    return str(reason).rstrip(".")
