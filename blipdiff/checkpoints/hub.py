"""Models from the hub: what is needed is chosen from the listing, told, fetched where it was left, and verified."""

import hashlib
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, constants, hf_hub_url, snapshot_download
from huggingface_hub import errors as hub_errors
from huggingface_hub.file_download import http_get
from huggingface_hub.utils import WeakFileLock, are_progress_bars_disabled, build_hf_headers  # type: ignore[attr-defined]
from tqdm import tqdm

from blipdiff.checkpoints.listings import keep_listing, kept_listing
from blipdiff.checkpoints.needed import ANY, Choice, Wanted, model_files
from blipdiff.errors import BlipdiffError, CheckpointError
from blipdiff.foreign import first_line

_HTTP_ERROR = hub_errors.HfHubHTTPError.__mro__[1]  # what the library's client raises when a connection fails
_TIMEOUT_SECONDS = 30.0
_UNREACHED: tuple[type[BaseException], ...] = (_HTTP_ERROR, OSError)


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a listing; `sha256` is known of large ones, which the hub keeps under it."""

    name: str
    size: int
    sha256: str | None


def snapshot(
    name: str,
    *,
    download: bool,
    choose: Choice = model_files,
    check: Callable[[Path], object] | None = None,
    wanted: Wanted = ANY,
) -> Path:
    """The folder of a hub id's needed files: as it lies in the cache, or fetched if `download` is true.

    `choose` says which files of the listing are needed; `check` looks at the small ones before a large one is
    fetched; `wanted` says of which revision, by whose token and into which cache. A large file that was cut off goes
    on where it ended. Raises: CheckpointError for what is not there,
    not in the listing, damaged or out of reach.
    """
    if not download:
        return _cached(name, choose, wanted)
    try:
        info = HfApi(token=wanted.token).model_info(
            name, revision=wanted.revision, files_metadata=True, timeout=_TIMEOUT_SECONDS
        )
    except hub_errors.RevisionNotFoundError as reason:
        raise CheckpointError(f"'{name}' has no revision '{wanted.revision}' on the hub.") from reason
    except (hub_errors.RepositoryNotFoundError, hub_errors.HFValidationError) as reason:
        raise CheckpointError(f"The hub has no model '{name}', or it may not be read from here.") from reason
    except Exception as reason:  # no connection, or an answer that is none of the hub's
        return _cached(name, choose, wanted, reason)
    files = {one.rfilename: HubFile(one.rfilename, one.size or 0, _checksum(one.lfs)) for one in info.siblings or []}
    chosen = [files[one] for one in _chosen(name, choose, list(files))]
    home = _home(name, wanted)
    keep_listing(home, str(info.sha), list(files))
    folder = home / "snapshots" / str(info.sha)
    if all((folder / one.name).is_file() for one in chosen):
        return folder
    return _fetched(_Repository(name, home, wanted), chosen, check)


@dataclass(frozen=True, slots=True)
class _Repository:
    name: str
    home: Path  # in the cache
    wanted: Wanted


def _cached(name: str, choose: Choice, of: Wanted = ANY, out_of_reach: BaseException | None = None) -> Path:
    """The snapshot in the cache, complete as far as its listing is known."""
    home = _home(name, of)
    try:
        listed = kept_listing(home, name, of)
        wanted = None if listed is None else _chosen(name, choose, listed)
        folder = Path(snapshot_download(name, allow_patterns=wanted, local_files_only=True, **_where(of)))
        if all((folder / one).is_file() for one in wanted or ()):
            return folder
        reason: Exception | None = None
    except hub_errors.HFValidationError as wrong:
        raise CheckpointError(f"The hub has no model '{name}'.") from wrong
    except hub_errors.LocalEntryNotFoundError as missing:
        reason = missing
    if out_of_reach is not None:
        raise CheckpointError(
            f"'{name}' cannot be fetched: the hub is out of reach ({first_line(out_of_reach)})."
        ) from out_of_reach
    there = "only in part on this machine" if (home / "snapshots").is_dir() else "not on this machine"
    raise CheckpointError(
        f"'{name}' is {there}, and nothing is fetched unless asked. Allow the download with --download "
        "(in Python download=True, or local_files_only=False for the pipeline), or give the folder of a copy."
    ) from reason


def _home(name: str, wanted: Wanted) -> Path:
    """The model's folder in the hub's cache, as the hub's library names it."""
    return Path(wanted.cache_dir or constants.HF_HUB_CACHE) / "--".join(["models", *name.split("/")])


def _where(wanted: Wanted) -> dict[str, Any]:
    return {"revision": wanted.revision, "cache_dir": wanted.cache_dir or constants.HF_HUB_CACHE}


def _checksum(stored: Any) -> str | None:
    """The checksum under which a large file is kept; it becomes a file's name, so it must be one."""
    found = None if stored is None else str(stored.sha256)
    return found if found is not None and re.fullmatch("[0-9a-f]{64}", found) else None


def _chosen(name: str, choose: Choice, names: Sequence[str]) -> list[str]:
    try:
        return choose(names)
    except CheckpointError as reason:
        raise CheckpointError(
            f"The listing of '{name}' on the hub does not do: {reason}. Nothing was fetched."
        ) from None


def _fetched(of: _Repository, chosen: Sequence[HubFile], check: Callable[[Path], object] | None) -> Path:
    name, home = of.name, of.home
    small = [one for one in chosen if one.sha256 is None]
    large = [one for one in chosen if one.sha256 is not None]
    missing = [one for one in large if not (home / "blobs" / str(one.sha256)).is_file()]
    _check_space(name, missing, home)
    try:
        with _bar(name, large) as bar:
            folder = _linked(of, small)
            if check is not None:
                check(folder)
            bar.update(sum(one.size for one in large if one not in missing))
            for one in missing:
                _fetch(of, one, bar)
            return _linked(of, chosen)
    except BlipdiffError:
        raise
    except _UNREACHED as reason:
        raise CheckpointError(
            f"'{name}' was fetched only in part: {first_line(reason)}. Run it again: it goes on where it ended."
        ) from reason


def _check_space(name: str, missing: Sequence[HubFile], home: Path) -> None:
    place = next(one for one in home.absolute().parents if one.is_dir())
    needed = sum(one.size - _partial(home, one)[1] for one in missing)
    free = shutil.disk_usage(place).free
    if needed > free:
        raise CheckpointError(
            f"'{name}' needs {needed / 1e9:.1f} GB more in {place}, which has {free / 1e9:.1f} GB free; "
            "HF_HOME names another place."
        )


def _bar(name: str, large: Sequence[HubFile]) -> "tqdm[Any]":
    """Bytes of the large files; its first line says the whole size before anything is fetched."""
    seen = sys.stderr.isatty()
    return tqdm(
        total=sum(one.size for one in large),
        desc=f"Fetching {name}",
        unit="B",
        unit_scale=True,
        mininterval=0.1 if seen else 10.0,
        disable=are_progress_bars_disabled(),
    )


def _linked(of: _Repository, files: Sequence[HubFile]) -> Path:
    """The snapshot's folder with these files: small ones are fetched, large ones lie in the cache already."""
    names, where = [one.name for one in files], _where(of.wanted)
    return Path(snapshot_download(of.name, allow_patterns=names, tqdm_class=_NoBar, token=of.wanted.token, **where))


def _partial(home: Path, file: HubFile) -> tuple[Path, int]:
    """Where a large file grows, and how much of it is there."""
    path = home / "blobs" / f"{file.sha256}.blipdiff.incomplete"
    return path, path.stat().st_size if path.is_file() else 0


def _fetch(of: _Repository, file: HubFile, bar: "tqdm[Any]") -> None:
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
        path, there = _partial(home, file)
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
                _tqdm_bar=bar,
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


class _NoBar(tqdm):  # type: ignore[misc]
    """A bar that is never shown: one of our own tells of all files."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        options.pop("name", None)
        super().__init__(*arguments, **{**options, "disable": True})
