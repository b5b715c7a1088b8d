"""Large files from the hub: fetched where they were left, verified, kept under their checksum; told by a bar."""

import hashlib
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

from huggingface_hub import hf_hub_url
from huggingface_hub.file_download import http_get
from huggingface_hub.utils import WeakFileLock, are_progress_bars_disabled, build_hf_headers  # type: ignore[attr-defined]
from tqdm import tqdm

from blipdiff.checkpoints.needed import Wanted
from blipdiff.errors import CheckpointError

Watch: TypeAlias = Callable[[int, int], object]  # bytes that are there, of all of them; what it raises ends it


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a listing; `sha256` is known of large ones, which the hub keeps under it."""

    name: str
    size: int
    sha256: str | None


@dataclass(frozen=True, slots=True)
class Repository:
    """A model of the hub, and its folder in the cache."""

    name: str
    home: Path
    wanted: Wanted


class Going(Protocol):
    """What is told of bytes that have come: a bar, or `Watch`."""

    def update(self, count: int) -> object: ...


@contextmanager
def bar_of(name: str, large: Sequence[HubFile], watch: Watch | None) -> "Iterator[Going]":
    """Bytes of the large files; its first line says the whole size before anything is fetched."""
    total = sum(one.size for one in large)
    if watch is not None:
        watch(0, total)
        yield _Watched(watch, total)
        return
    seen = sys.stderr.isatty()
    with tqdm(
        total=total,
        desc=f"Fetching {name}",
        unit="B",
        unit_scale=True,
        mininterval=0.1 if seen else 10.0,
        disable=are_progress_bars_disabled(),
    ) as bar:
        yield bar


def partial(home: Path, file: HubFile) -> tuple[Path, int]:
    """Where a large file grows, and how much of it is there."""
    path = home / "blobs" / f"{file.sha256}.blipdiff.incomplete"
    return path, path.stat().st_size if path.is_file() else 0


def fetch(of: Repository, file: HubFile, bar: "Going") -> None:
    """The large file into the cache, under its checksum; what is there of it is kept.

    Raises: CheckpointError when what came is not what the listing says.
    """
    name, home = of.name, of.home
    locks = home.parent / ".locks" / home.name
    locks.mkdir(parents=True, exist_ok=True)
    (home / "blobs").mkdir(parents=True, exist_ok=True)
    whole = home / "blobs" / str(file.sha256)
    with WeakFileLock(locks / f"{file.sha256}.lock"):
        if whole.is_file():  # another process has fetched it in the meantime
            bar.update(file.size)
            return
        path, there = partial(home, file)
        if there > file.size:
            path.unlink()
            there = 0
        bar.update(there)
        with path.open("ab") as stream:
            http_get(
                hf_hub_url(name, file.name, revision=of.wanted.revision),
                stream,
                resume_size=there,
                headers=build_hf_headers(token=of.wanted.token),
                expected_size=file.size,
                _tqdm_bar=bar,  # type: ignore[arg-type]
            )
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        if found != file.sha256:
            path.unlink()
            raise CheckpointError(
                f"{file.name} of '{name}' came damaged: its checksum is not that of the listing. It was thrown away; "
                "run it again to fetch it anew."
            )
        path.replace(whole)


class _Watched:
    """Tells a `Watch` of all that has come so far."""

    def __init__(self, watch: Watch, total: int) -> None:
        self._watch, self._total, self._there = watch, total, 0

    def update(self, count: int) -> None:
        self._there += count
        self._watch(self._there, self._total)
