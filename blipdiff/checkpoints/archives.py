"""Archives of models: read to their end, their checksums verified, unpacked below one folder and nowhere else."""

import bz2
import gzip
import lzma
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import IO, Any

from blipdiff.errors import CheckpointError
from blipdiff.foreign import foreign

ARCHIVES = (".tar", ".tar.gz", ".tgz")

_MOST_MEMBERS = 10_000
_MOST_BEHIND = 64 * 2**20  # padding after the end mark
_BLOCK = 512
_AT_ONCE = 2**20
_REMEMBERED = 64 * 2**10  # more than the reader of archives takes at once
_OPENERS: dict[bytes, Callable[[Path], Any]] = {
    b"\x1f\x8b": gzip.GzipFile,
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ": lzma.LZMAFile,
}


def unpack(archive: Path, place: Path) -> None:
    """All files of the archive below `place`, which is of use only when this ends without an error.

    Raises: CheckpointError for an archive that is damaged, cut off, too large for the disk, or reaches outside.
    """
    free = shutil.disk_usage(place).free
    needed = count = 0
    with foreign(archive, "a tar archive"), _opened(archive) as opened:
        stream = _Watched(opened)
        # A stream never goes back, so that no header can send it in circles.
        with tarfile.open(fileobj=stream, mode="r|") as tar:  # type: ignore[call-overload]
            for member in tar:
                needed, count = needed + member.size, count + 1
                _check_member(archive, member)
                _check_room(archive, needed, count, free)
                _write(archive, tar, member, place)
            _check_end(archive, stream, tar.offset)
    if not count:
        raise CheckpointError(f"{archive} is empty or damaged: there is no file in it.")
    if not _compressed(archive):
        _check_weights(archive, place)


def _check_room(archive: Path, needed: int, count: int, free: int) -> None:
    if needed > free:
        raise CheckpointError(
            f"Unpacking {archive} needs more than the {free / 2**30:.1f} GB that are free for temporary files; "
            "TMPDIR names another place."
        )
    if count > _MOST_MEMBERS:
        raise CheckpointError(f"{archive} holds more than {_MOST_MEMBERS} files; it is no model.")


def _check_member(archive: Path, member: tarfile.TarInfo) -> None:
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or "\\" in member.name or member.name[1:2] == ":":
        raise CheckpointError(f"{archive} is not safe to unpack: it holds '{member.name}', outside its folder.")
    if not (member.isreg() or member.isdir()):
        raise CheckpointError(
            f"{archive} is not safe to unpack: '{member.name}' is a link or a device. Pack the files themselves "
            "(tar --dereference)."
        )


def _check_end(archive: Path, stream: "_Watched", ended_at: int) -> None:
    """The members end with a mark, a block of zeros, and not with a header that cannot be read.

    Reading on to the end of a compressed stream verifies its checksum.
    """
    mark = stream.seen_from(ended_at)[:_BLOCK]
    if len(mark) < _BLOCK or mark.strip(b"\0"):
        raise CheckpointError(f"{archive} is damaged or cut off: the mark at its end is missing.")
    behind = 0
    while block := stream.read(_AT_ONCE):
        behind += len(block)
        if behind > _MOST_BEHIND:
            raise CheckpointError(f"{archive} is damaged: it goes on behind its end.")


def _check_weights(archive: Path, place: Path) -> None:
    """A plain archive has no checksums of content; weights in torch's format carry their own."""
    for path in sorted(place.rglob("*")):
        if path.is_file() and zipfile.is_zipfile(path):
            with foreign(path.name, "the file that was packed"), zipfile.ZipFile(path) as packed:
                broken = packed.testzip()
            if broken is not None:
                raise CheckpointError(f"{archive} is damaged: the checksum of {path.name} is not that of its content.")


class _Watched:
    """A stream that remembers the end of what was read, which the reader of archives does not give back."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._place, self._last = stream, 0, b""

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self._place += len(data)
        self._last = (self._last + data)[-_REMEMBERED:]
        return data

    def seen_from(self, place: int) -> bytes:
        """What was read from this place on, as far as it is remembered."""
        start = len(self._last) - (self._place - place)
        return self._last[start:] if start >= 0 else b""


def _write(archive: Path, tar: tarfile.TarFile, member: tarfile.TarInfo, place: Path) -> None:
    path = place / member.name
    if member.isdir():
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    content: Any = tar.extractfile(member)
    with path.open("wb") as file:
        shutil.copyfileobj(content, file, _AT_ONCE)
    if path.stat().st_size != member.size:
        raise CheckpointError(f"{archive} is cut off inside {member.name}.")


def _opened(archive: Path) -> IO[bytes]:
    opener = _OPENERS.get(_kind(archive))
    return archive.open("rb") if opener is None else opener(archive)


def _compressed(archive: Path) -> bool:
    return _kind(archive) in _OPENERS


def _kind(archive: Path) -> bytes:
    with archive.open("rb") as stream:
        start = stream.read(6)
    return next((sign for sign in _OPENERS if start.startswith(sign)), b"")
