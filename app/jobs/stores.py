"""Where results are kept beside the history's own folder: a folder that several machines see, or a bucket."""

import errno
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from blipdiff.errors import ConfigError, MissingDependencyError, OutputError
from blipdiff.outputs import writing, written_file

_SECONDS_TO_CONNECT, _SECONDS_TO_READ = 5, 60
_REASONS = {
    "AccessDenied": "it may not be read or written with these keys",
    "403": "it may not be read or written with these keys",
    "InvalidAccessKeyId": "the keys are not known there",
    "SignatureDoesNotMatch": "the keys are not known there",
    "NoSuchBucket": "there is no such bucket",
    "404": "there is no such bucket",
    "EndpointConnectionError": "it does not answer",
    "ConnectTimeoutError": "it does not answer",
    "ReadTimeoutError": "it does not answer",
    "NoCredentialsError": "there are no keys for it (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)",
}


class Store(Protocol):
    """Files by their names, "pictures/OWNER/DAY/FILE.png"; each is there whole or not at all.

    place: as people call it, without keys
    """

    place: str

    def put(self, path: Path, name: str) -> None:
        """Keeps a file. Raises: OutputError where it cannot."""

    def get(self, name: str, path: Path) -> bool:
        """Fetches a file; whether there was one. Raises: OutputError where it cannot be known, or written."""

    def head(self, name: str, size: int) -> bytes:
        """The first bytes of a file. Raises: OutputError where they cannot be had."""

    def remove(self, name: str) -> None:
        """Removes a file, if there is one. Raises: OutputError where it cannot."""

    def sizes(self, start: str) -> Iterator[tuple[str, int]]:
        """All files whose names begin so, with their bytes. Raises: OutputError where they cannot be listed."""


class FolderStore:
    """A folder that several machines see."""

    def __init__(self, folder: Path) -> None:
        """Raises: OutputError when it cannot be made."""
        self.folder, self.place = folder, str(folder)
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)

    def put(self, path: Path, name: str) -> None:
        """Copies a file in."""
        self._check()
        target = self.folder / name
        with writing(target), written_file(target) as part:
            shutil.copyfile(path, part)

    def get(self, name: str, path: Path) -> bool:
        """Copies a file out."""
        if not (self.folder / name).is_file():
            self._check()
            return False
        with writing(path), written_file(path) as part:
            shutil.copyfile(self.folder / name, part)
        return True

    def head(self, name: str, size: int) -> bytes:
        """The first bytes of a file."""
        with writing(self.folder / name), (self.folder / name).open("rb") as file:
            return file.read(size)

    def remove(self, name: str) -> None:
        """Removes a file."""
        self._check()
        with writing(self.folder / name):
            (self.folder / name).unlink(missing_ok=True)

    def sizes(self, start: str) -> Iterator[tuple[str, int]]:
        """All files whose names begin so; what is hidden is unfinished."""
        self._check()
        for path in sorted((self.folder / start).parent.rglob("*")):
            name = path.relative_to(self.folder)
            is_shown = not any(part.startswith(".") for part in name.parts)
            if is_shown and name.as_posix().startswith(start) and path.is_file():
                yield name.as_posix(), path.stat().st_size

    def _check(self) -> None:
        if not self.folder.is_dir():
            raise OutputError(f"The results' place {self.place} is away: there is no such folder now.")


class Bucket:
    """An s3-compatible bucket; keys and address come from the environment, as for every program that uses one."""

    def __init__(self, url: str) -> None:
        """Raises: MissingDependencyError without the packages."""
        try:
            import fsspec
            import s3fs  # noqa: F401
        except ImportError as error:
            raise MissingDependencyError(
                "Results in a bucket need packages that are not installed: pip install 'blipdiff[shared]'."
            ) from error
        self.place = url.rstrip("/")
        self._root = self.place.removeprefix("s3://")
        self._files: Any = fsspec.filesystem(
            "s3",
            use_listings_cache=False,
            skip_instance_cache=True,
            config_kwargs={
                "connect_timeout": _SECONDS_TO_CONNECT,
                "read_timeout": _SECONDS_TO_READ,
                "retries": {"max_attempts": 2},
            },
        )
        self._files.retries = 1  # what is not sent is tried again later, and says so meanwhile

    def put(self, path: Path, name: str) -> None:
        """Sends a file."""
        with self._answering():
            self._files.put_file(str(path), f"{self._root}/{name}")

    def get(self, name: str, path: Path) -> bool:
        """Fetches a file."""
        try:
            with writing(path), written_file(path) as part, self._answering():
                try:
                    self._files.get_file(f"{self._root}/{name}", str(part))
                except FileNotFoundError as error:
                    raise _Absent from error
        except _Absent:
            return False
        return True

    def head(self, name: str, size: int) -> bytes:
        """The first bytes of a file."""
        with self._answering():
            return bytes(self._files.cat_file(f"{self._root}/{name}", start=0, end=size))

    def remove(self, name: str) -> None:
        """Removes a file."""
        with self._answering():
            self._files.rm_file(f"{self._root}/{name}")

    def sizes(self, start: str) -> Iterator[tuple[str, int]]:
        """All files whose names begin so."""
        folder, _, first = start.rpartition("/")
        with self._answering():
            found = self._files.find(f"{self._root}/{folder}", prefix=first, detail=True)
        for path, about in sorted(found.items()):
            name = str(path).removeprefix(f"{self._root}/")
            if name.startswith(start):
                yield name, int(about["size"])

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """A block in which a bucket that does not answer is told in a sentence, without keys."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (OSError, BotoCoreError, ClientError) as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):  # this machine's own
                raise
            raise OutputError(f"The results' place {self.place} is away: {_reason(error)}.") from error


class _Absent(Exception):
    """There is no such file."""


def store_at(url: str) -> Store:
    """The store of a folder, or of s3://BUCKET/FOLDER.

    Raises: ConfigError for another kind of URL, and for one with keys in it; OutputError for a folder that cannot be
    made; MissingDependencyError without the packages that a bucket needs.
    """
    told = urlsplit(url)
    if "://" not in url or told.scheme == "file":
        if told.netloc not in ("", "localhost"):
            raise ConfigError("A folder on another machine is no place for results; mount it, and give its path.")
        return FolderStore(Path(told.path if told.scheme == "file" else url).expanduser().absolute())
    if told.scheme != "s3":
        raise ConfigError(f"Results are not kept at {told.scheme}://; give a folder, or s3://BUCKET/FOLDER.")
    if "@" in told.netloc or told.query:
        raise ConfigError(
            "Keys do not belong into the address of a bucket; set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, for "
            "another server than Amazon's, AWS_ENDPOINT_URL."
        )
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,62}", told.netloc):
        raise ConfigError(f"{told.netloc!r:.80} is no name of a bucket; give s3://BUCKET/FOLDER.")
    return Bucket(url)


def _reason(error: Exception) -> str:
    """What a bucket said, in a few words: answers may repeat what was sent, so they are not repeated."""
    if isinstance(error, PermissionError):
        return _REASONS["AccessDenied"]
    if isinstance(error, FileNotFoundError):
        return _REASONS["NoSuchBucket"]
    told, cause = [type(error).__name__], error.__cause__
    while cause is not None:
        told = [str(getattr(cause, "response", {}).get("Error", {}).get("Code") or type(cause).__name__), *told]
        cause = cause.__cause__
    return next((_REASONS[one] for one in told if one in _REASONS), told[0])
