"""Shards fetched from http(s), s3-compatible stores and whatever else fsspec reads, into a folder that keeps some."""

import hashlib
import json
import os
import re
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from blipdiff.errors import ConfigError, MissingDependencyError
from blipdiff.outputs import written_file

_TRIES, _FIRST_WAIT = 5, 0.5  # seconds, twice as long each time
_SILENCE = 60  # seconds without a byte after which a server is asked again
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)$")
_MOST = 1_000_000  # shards
_END = 512  # bytes of zeros at least, with which a whole tar file ends


@dataclass(frozen=True, slots=True)
class Fetched:
    """A shard's address: a URL, or a path of this machine."""

    url: str

    @property
    def shown(self) -> str:
        """The address as people may see it, without query, user and password."""
        if not is_address(self.url):
            return self.url
        parts = urlsplit(self.url)
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))

    @property
    def record(self) -> "Fetched":
        """Of the file beside it that says what it holds."""
        if not is_address(self.url):
            return Fetched(str(Path(self.url).with_suffix(".json")))
        parts = urlsplit(self.url)
        return Fetched(urlunsplit(parts._replace(path=str(Path(parts.path).with_suffix(".json")))))


def is_address(text: str) -> bool:
    """Whether a text names something by a URL."""
    return "://" in text


def addresses(text: str) -> list[str]:
    """The shards that a text names: URLs between blanks, with {000..012} and {train,more}, or a .txt file of such.

    Raises: ConfigError for braces that say nothing, and for a list that cannot be read.
    """
    if not is_address(text) and text.strip().endswith(".txt"):
        try:
            text = Path(text.strip()).read_text("utf-8")
        except (OSError, ValueError) as error:
            raise ConfigError(f"The list of shards {text.strip()} cannot be read.") from error
    found = [one for word in text.split() for one in _expanded(word)]
    if not found:
        raise ConfigError("The list of shards is empty.")
    return found


def _expanded(word: str) -> Iterator[str]:
    braces = _BRACES.search(word)
    if braces is None:
        yield word
        return
    inner = braces.group(1)
    ends = _RANGE.match(inner)
    if ends is not None:
        first, last, width = int(ends[1]), int(ends[2]), len(ends[1])
        if not first <= last <= first + _MOST:
            raise ConfigError(f"{{{inner}}} names no shards; write the first one first: {{000000..000012}}.")
        choices = [f"{number:0{width}d}" for number in range(first, last + 1)]
    else:
        choices = inner.split(",")
    for choice in choices:
        yield from _expanded(f"{word[: braces.start()]}{choice}{word[braces.end() :]}")


@dataclass(frozen=True, slots=True)
class ShardCache:
    """A folder of fetched shards, which several processes share. most: how many are kept, 0 for all."""

    folder: Path
    most: int = 0

    def path(self, shard: Fetched) -> Path:
        """A shard's file, fetched where it is not there. Raises: ConfigError where it cannot be."""
        if not is_address(shard.url):
            if not Path(shard.url).is_file():
                raise ConfigError(f"There is no shard {shard.url}.")
            return Path(shard.url)
        path = self.folder / f"{hashlib.sha256(shard.url.encode()).hexdigest()[:24]}.tar"
        if path.is_file():
            os.utime(path)
            return path
        with _held(path.with_suffix(".lock")):
            if not path.is_file():
                self._make_room()
                try:
                    _fetch(shard, path, str(self._record(shard).get("shard") or ""))
                except _UnfetchedError as error:
                    raise ConfigError(f"{shard.shown} cannot be fetched: {error}.") from error
        return path

    def count(self, shard: Fetched) -> int:
        """How many samples a shard holds. Raises: ConfigError where it cannot be fetched."""
        found = self._record(shard).get("samples")
        return found if isinstance(found, int) else len(_names(self.path(shard), shard))

    def _record(self, shard: Fetched) -> dict[str, Any]:
        """What the record beside a shard says, as it was fetched once; nothing where there is none."""
        if not is_address(shard.url):
            return _parsed(Path(shard.record.url))
        path = self.folder / f"{hashlib.sha256(shard.url.encode()).hexdigest()[:24]}.json"
        if not path.is_file():
            try:
                _fetch(shard.record, path)
            except _UnfetchedError as error:
                if not error.stays:
                    raise ConfigError(f"{shard.record.shown} cannot be fetched: {error}.") from error
                with written_file(path) as part:
                    part.write_text("{}", "utf-8")
        return _parsed(path)

    def _make_room(self) -> None:
        if not self.most:
            return
        there = sorted(self.folder.glob("*.tar"), key=_used)
        for path in there[: max(0, len(there) + 1 - self.most)]:
            path.unlink(missing_ok=True)


class _UnfetchedError(Exception):
    """Why a file could not be fetched, in words without its address, and whether that will stay so."""

    def __init__(self, reason: str, *, stays: bool = False) -> None:
        super().__init__(reason)
        self.stays = stays


def _fetch(shard: Fetched, path: Path, digest: str = "") -> None:
    """Fetches what is at an address, whole or not at all, and tries again where that may help.

    digest: of the file, where it is known

    Raises: _UnfetchedError, MissingDependencyError, OutputError.
    """
    for number in range(_TRIES):
        try:
            with written_file(path) as part:
                _fetch_once(shard, part)
                if path.suffix == ".tar":
                    _check_whole(part, digest)
            return
        except _UnfetchedError as error:
            if error.stays or number == _TRIES - 1:
                raise
            time.sleep(_FIRST_WAIT * 2**number)


def _fetch_once(shard: Fetched, part: Path) -> None:
    try:
        from fsspec.core import url_to_fs
    except ModuleNotFoundError as error:
        raise MissingDependencyError("Shards by their URLs need fsspec: pip install 'blipdiff[shared]'.") from error
    try:
        system, name = url_to_fs(shard.url, **_options(shard.url))
    except (ValueError, ImportError) as error:
        raise _UnfetchedError("nothing that is installed knows such addresses", stays=True) from error
    try:
        system.get_file(name, str(part))
    except FileNotFoundError as error:
        raise _UnfetchedError("there is no such file", stays=True) from error
    except Exception as error:  # of aiohttp, botocore and any other system, each with its own
        status = getattr(error, "status", None)
        if isinstance(error, PermissionError) or status in (401, 403):
            raise _UnfetchedError("access is denied; credentials are taken from the environment", stays=True) from error
        raise _UnfetchedError(f"the server answers {status}" if status else _words(error)) from error


def _options(url: str) -> dict[str, Any]:
    if not url.startswith(("http://", "https://")):
        return {}
    from aiohttp import ClientTimeout

    return {
        "client_kwargs": {
            "timeout": ClientTimeout(total=None, sock_connect=_SILENCE, sock_read=_SILENCE),
            "trust_env": True,
        }
    }


def _words(error: Exception) -> str:
    """What an error of a connection means; its own text may hold the address."""
    names = {kind.__name__ for kind in type(error).__mro__}
    if "ClientPayloadError" in names or "IncompleteRead" in names or "ServerDisconnectedError" in names:
        return "the connection is cut off"
    if names & {"TimeoutError", "ConnectTimeoutError", "ReadTimeoutError", "FSTimeoutError"}:
        return "the server does not answer in time"
    if names & {"ClientConnectorError", "EndpointConnectionError", "ConnectionError", "ConnectionRefusedError"}:
        return "the server cannot be reached"
    return f"of an error of the connection ({type(error).__name__})"


def _check_whole(path: Path, digest: str) -> None:
    """Passes for a fetched shard that is whole. Raises: _UnfetchedError that says what is wrong with it."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if digest and hashlib.file_digest(file, "sha256").hexdigest() != digest:
            raise _UnfetchedError("it is not what its record says: it is damaged, or cut short")
        file.seek(max(0, size - _END))
        if size < _END or file.read().strip(b"\0"):
            raise _UnfetchedError("it is cut short, or no tar file")
    try:
        with tarfile.open(path) as tar:
            for _ in tar:
                pass
    except (tarfile.TarError, OSError, EOFError) as error:
        raise _UnfetchedError("it is damaged, or no tar file") from error


def _names(path: Path, shard: Fetched) -> set[str]:
    """The samples of a shard."""
    try:
        with tarfile.open(path) as tar:
            return {entry.name.partition(".")[0] for entry in tar}
    except (tarfile.TarError, OSError, EOFError) as error:
        raise ConfigError(f"{shard.shown} is damaged, or no tar file.") from error


def _parsed(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _used(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


@contextmanager
def _held(path: Path) -> Iterator[None]:
    """A block in which no other process fetches the same; the death of one that does gives way."""
    import fcntl

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
