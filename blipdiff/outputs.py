"""Files and folders that are written whole or not at all, beside any number of other writers.

What is unfinished lies in a hidden working place beside its target, whose lock its writer holds as long as it lives.
A place that nobody holds was left by a process that was killed: the next writer in that folder clears it away.
"""

import ctypes
import errno
import functools
import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from blipdiff.errors import OutputError, listed
from blipdiff.filenames import file_stem

try:
    import fcntl
except ImportError:  # not on Windows: what a killed process left there stays, hidden
    fcntl = None  # type: ignore[assignment]

_PLACE, _LOCK, _NEW, _OLD = ".blipdiff-", "lock", "new", "old"
_NO_REPLACE, _EXCHANGE = 1, 2  # of renameat2
_AT_FOLDER = -100  # AT_FDCWD
_CANNOT_RENAME_SO = (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EXDEV)
_CANNOT_LINK = (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK)
_REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EROFS: "the disk is read-only",
    errno.ENOTDIR: "a part of the path is a file, not a folder",
    errno.EEXIST: "a file of that name is in the way",
    errno.EISDIR: "a folder of that name is in the way",
    errno.ENOTEMPTY: "a folder of that name is in the way",
    errno.ENAMETOOLONG: "the name is too long",
}


@contextmanager
def written_file(path: Path, *, replace: bool = True) -> Iterator[Path]:
    """A path to write to, whose file takes the place of `path` when the block ends without an error.

    Without `replace`, a file that is there, or was made meanwhile, is left as it is.
    Raises: OutputError when the place cannot be written, or is taken.
    """
    if path.parent.name == _NEW and path.parent.parent.name.startswith(_PLACE):
        yield path  # it is unfinished already: another writer waits for it, and names it in errors
        return
    with writing(path), _working_place(path.parent) as place:
        part = place / _NEW / path.name
        yield part
        if replace:
            part.replace(path)
        else:
            move_to_free(part, path)


def write_new(folder: Path, stem: str, suffix: str, write: Callable[[Path], object]) -> Path:
    """What `write` writes, under the first name in `folder` that nothing has: `stem`, `stem`-2, `stem`-3 ...

    The name is taken when the file is whole, by one writer alone however many there are. Gives the path.
    Raises: OutputError when it cannot be written.
    """
    clean = file_stem(stem)
    path = folder / f"{clean}{suffix}"
    with writing(path), _working_place(folder) as place:
        part = place / _NEW / path.name
        write(part)
        for number in itertools.count(2):
            with suppress(FileExistsError):
                move_to_free(part, path)
                break
            path = folder / f"{clean}-{number}{suffix}"
    return path


@contextmanager
def written_folder(folder: Path) -> Iterator[Path]:
    """A new folder to write to, which takes the place of `folder` when the block ends without an error.

    A folder that is already there is replaced only when nothing in it would be lost.
    Raises: OutputError when the place cannot be written, or holds something else.
    """
    folder = folder.absolute()
    with writing(folder), _working_place(folder.parent) as place:
        part = place / _NEW / folder.name
        part.mkdir()
        yield part
        _take_place(part, folder, place / _OLD)


def check_replaceable(folder: Path, files: Iterable[str]) -> None:
    """Passes where nothing would be lost if a folder of these files, "unet/config.json", took the place of `folder`.

    Raises: OutputError where something would.
    """
    if folder.is_dir():
        others = sorted(files_of(folder) - set(files))
        if others:
            raise OutputError(f"{folder} holds other things ({listed(others, 5)}); give a new or an empty folder.")
    elif folder.exists():
        raise OutputError(f"{folder} cannot be written: a file of that name is in the way.")


def move_to_free(old: Path, new: Path) -> None:
    """Moves a file to a path at which nothing is. Raises: FileExistsError when something is."""
    if _renamed(old, new, _NO_REPLACE):
        return
    try:
        os.link(old, new)
    except OSError as reason:
        if reason.errno not in _CANNOT_LINK:
            raise
        os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        old.replace(new)
    else:
        old.unlink()


def clear_leftovers(folder: Path) -> None:
    """Removes what killed processes left unfinished in a folder; a folder that one was replacing is set back."""
    for place in [entry for entry in _entries(folder) if entry.name.startswith(_PLACE)]:
        lock = _locked(place, is_own=False)
        if lock is None:
            continue
        try:
            for kept in _entries(place / _OLD):
                if not os.path.lexists(folder / kept.name):
                    kept.rename(folder / kept.name)
            shutil.rmtree(place, ignore_errors=True)
        finally:
            os.close(lock)


@contextmanager
def _working_place(folder: Path) -> Iterator[Path]:
    """A folder inside `folder` that is this writer's alone, and gone after the block."""
    folder.mkdir(parents=True, exist_ok=True)
    clear_leftovers(folder)
    lock = None
    while lock is None:  # another writer may have taken the place, not yet locked, for a leftover
        place = Path(tempfile.mkdtemp(prefix=_PLACE, dir=folder))
        try:
            lock = _locked(place, is_own=True)
        except OSError:
            place.rmdir()
            raise
    try:
        (place / _NEW).mkdir()
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)
        os.close(lock)


def _locked(place: Path, *, is_own: bool) -> int | None:
    """The open lock of a working place; None where another process holds it, or the place is gone.

    Where a disk knows no locks, a writer goes on without, and clears nothing of others.
    """
    try:
        lock = os.open(place / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
    except OSError as reason:
        if is_own and not isinstance(reason, FileNotFoundError):
            raise
        return None
    try:
        if fcntl is None:
            has_lock = is_own
        else:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            has_lock = os.fstat(lock).st_nlink > 0
    except BlockingIOError:
        has_lock = False
    except OSError:
        has_lock = is_own
    if has_lock:
        return lock
    os.close(lock)
    return None


def _take_place(part: Path, folder: Path, old: Path) -> None:
    if not folder.exists():
        part.replace(folder)
        return
    clear_leftovers(folder)
    check_replaceable(folder, files_of(part))
    if _renamed(part, folder, _EXCHANGE):
        return  # the old one is removed with the working place
    old.mkdir()
    kept = old / folder.name
    try:
        folder.replace(kept)
        part.replace(folder)
    finally:
        if not folder.exists() and kept.exists():
            kept.replace(folder)


def files_of(folder: Path) -> set[str]:
    """The files of a folder and its folders, and folders that are empty; what systems put there by themselves aside."""
    entries = [entry for entry in folder.rglob("*") if entry.name not in (".DS_Store", "Thumbs.db")]
    return {entry.relative_to(folder).as_posix() for entry in entries if not entry.is_dir() or not any(entry.iterdir())}


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _renamed(old: Path, new: Path, flags: int) -> bool:
    """Whether the system has renamed in one step as `flags` ask; False where it cannot."""
    rename = _renameat2()
    if rename is None:
        return False
    if rename(_AT_FOLDER, os.fsencode(old), _AT_FOLDER, os.fsencode(new), flags) == 0:
        return True
    number = ctypes.get_errno()
    if number in _CANNOT_RENAME_SO:
        return False
    raise OSError(number, os.strerror(number), str(new))


@functools.cache
def _renameat2() -> Any:
    """Linux's renameat2, None where the system has none."""
    try:
        return ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError, TypeError):
        return None


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """A block that writes to `path`. Raises: OutputError that says why it cannot."""
    try:
        yield
    except (OSError, SafetensorError) as reason:
        raise OutputError(f"{path} cannot be written: {_why(reason)}.") from reason


def _why(reason: Exception) -> str:
    if isinstance(reason, OSError) and reason.errno in _REASONS:
        return _REASONS[reason.errno]
    told = reason.strerror if isinstance(reason, OSError) else None
    return str(told or reason).rstrip(".")
