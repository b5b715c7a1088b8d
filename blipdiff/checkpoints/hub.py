"""Models from the hub: what is needed is chosen from the listing, told, fetched where it was left, and verified."""

import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from huggingface_hub import HfApi, constants, snapshot_download
from huggingface_hub import errors as hub_errors
from tqdm import tqdm

from blipdiff.checkpoints.large_files import HubFile, Repository, Watch, bar_of, fetch, partial
from blipdiff.checkpoints.listings import keep_listing, kept_listing
from blipdiff.checkpoints.needed import ANY, Choice, Wanted, model_files
from blipdiff.errors import BlipdiffError, CheckpointError
from blipdiff.foreign import first_line

_HTTP_ERROR = hub_errors.HfHubHTTPError.__mro__[1]  # what the library's client raises when a connection fails
_TIMEOUT_SECONDS = 30.0
_LICENCE = "license:"  # before it, among a model's tags
_UNREACHED: tuple[type[BaseException], ...] = (_HTTP_ERROR, OSError)


@dataclass(frozen=True, slots=True)
class Listing:
    """What a hub lists of a model, as far as it is needed; `missing` of its `size` bytes are not here yet."""

    name: str
    commit: str
    files: tuple[HubFile, ...]
    licence: str | None
    missing: int
    free: int  # bytes on the disk where they go

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(one.size for one in self.files)


def listing(name: str, *, choose: Choice = model_files) -> Listing:
    """What fetching a hub id would bring: asked of the hub, and nothing is fetched.

    Raises: CheckpointError for an id that the hub does not have, and for a hub out of reach.
    """
    home = home_of(name)
    with online():
        try:
            commit, files, _, licence = _listed(name, choose, ANY)
        except CheckpointError:
            raise
        except Exception as reason:  # no connection, or an answer that is none of the hub's
            raise CheckpointError(f"'{name}' cannot be asked for: {_out_of_reach(reason)}.") from reason
    missing = sum(one.size - _there(home, commit, one) for one in files)
    return Listing(name, commit, tuple(files), licence, missing, _free(home)[1])


def home_of(name: str, wanted: Wanted = ANY) -> Path:
    """A model's folder in the hub's cache, as the hub's library names it, whether it is there or not."""
    return Path(wanted.cache_dir or constants.HF_HUB_CACHE) / "--".join(["models", *name.split("/")])


_ASKING = Lock()
_before: list[bool] = []  # how it was before the blocks that are open


@contextmanager
def online() -> Iterator[None]:
    """A block in which the hub may be asked, since a person asked for that; else programs of ours keep off it."""
    with _ASKING:
        _before.append(_before[0] if _before else constants.HF_HUB_OFFLINE)
        constants.HF_HUB_OFFLINE = False
    try:
        yield
    finally:
        with _ASKING:
            before = _before.pop()
            if not _before:  # else another block is still open
                constants.HF_HUB_OFFLINE = before


def snapshot(
    name: str,
    *,
    download: bool,
    choose: Choice = model_files,
    check: Callable[[Path], object] | None = None,
    watch: Watch | None = None,
    wanted: Wanted = ANY,
) -> Path:
    """The folder of a hub id's needed files: as it lies in the cache, or fetched if `download` is true.

    `choose` says which files of the listing are needed; `check` looks at the small ones before a large one is
    fetched; `watch` is told of the large ones instead of a bar; `wanted` says of which revision, by whose token and
    into which cache. A large file that was cut off, or that `watch` stopped, goes on where it ended.
    Raises: CheckpointError for what is not there, not in the listing, damaged or out of reach.
    """
    if not download:
        return _cached(name, choose, wanted)
    try:
        commit, chosen, names, _ = _listed(name, choose, wanted)
    except CheckpointError:
        raise
    except Exception as reason:  # no connection, or an answer that is none of the hub's
        return _cached(name, choose, wanted, reason)
    home = home_of(name, wanted)
    keep_listing(home, commit, names)
    folder = home / "snapshots" / commit
    if all((folder / one.name).is_file() for one in chosen):
        return folder
    return _fetched(Repository(name, home, wanted), chosen, check, watch)


def _listed(name: str, choose: Choice, wanted: Wanted) -> tuple[str, list[HubFile], list[str], str | None]:
    """The commit, the needed files, the names of all, the licence; what the connection raises goes through."""
    try:
        info = HfApi(token=wanted.token).model_info(
            name, revision=wanted.revision, files_metadata=True, timeout=_TIMEOUT_SECONDS
        )
    except hub_errors.RevisionNotFoundError as reason:
        raise CheckpointError(f"'{name}' has no revision '{wanted.revision}' on the hub.") from reason
    except (hub_errors.RepositoryNotFoundError, hub_errors.HFValidationError) as reason:
        raise CheckpointError(f"The hub has no model '{name}', or it may not be read from here.") from reason
    files = {one.rfilename: HubFile(one.rfilename, one.size or 0, _checksum(one.lfs)) for one in info.siblings or []}
    told = (str(tag).removeprefix(_LICENCE) for tag in info.tags or [] if str(tag).startswith(_LICENCE))
    return str(info.sha), [files[one] for one in _chosen(name, choose, list(files))], list(files), next(told, None)


def _cached(name: str, choose: Choice, of: Wanted = ANY, out_of_reach: BaseException | None = None) -> Path:
    """The snapshot in the cache, complete as far as its listing is known."""
    home = home_of(name, of)
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
        raise CheckpointError(f"'{name}' cannot be fetched: {_out_of_reach(out_of_reach)}.") from out_of_reach
    there = "only in part on this machine" if (home / "snapshots").is_dir() else "not on this machine"
    raise CheckpointError(
        f"'{name}' is {there}, and nothing is fetched unless asked. Allow the download with --download "
        "(in Python download=True, or local_files_only=False for the pipeline), or give the folder of a copy."
    ) from reason


def _where(wanted: Wanted) -> dict[str, Any]:
    return {"revision": wanted.revision, "cache_dir": wanted.cache_dir or constants.HF_HUB_CACHE}


def _out_of_reach(reason: BaseException) -> str:
    return f"the hub is out of reach ({first_line(reason)})"


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


def _fetched(
    of: Repository, chosen: Sequence[HubFile], check: Callable[[Path], object] | None, watch: Watch | None
) -> Path:
    name, home = of.name, of.home
    small = [one for one in chosen if one.sha256 is None]
    large = [one for one in chosen if one.sha256 is not None]
    missing = [one for one in large if not (home / "blobs" / str(one.sha256)).is_file()]
    _check_space(name, missing, home)
    try:
        with bar_of(name, large, watch) as bar:
            folder = _linked(of, small)
            if check is not None:
                check(folder)
            bar.update(sum(one.size for one in large if one not in missing))
            for one in missing:
                fetch(of, one, bar)
            return _linked(of, chosen)
    except BlipdiffError:
        raise
    except _UNREACHED as reason:
        raise CheckpointError(
            f"'{name}' was fetched only in part: {first_line(reason)}. Run it again: it goes on where it ended."
        ) from reason


def _check_space(name: str, missing: Sequence[HubFile], home: Path) -> None:
    place, free = _free(home)
    needed = sum(one.size - partial(home, one)[1] for one in missing)
    if needed > free:
        raise CheckpointError(
            f"'{name}' needs {needed / 1e9:.1f} GB more in {place}, which has {free / 1e9:.1f} GB free; "
            "HF_HOME names another place."
        )


def _free(home: Path) -> tuple[Path, int]:
    """The folder in which a home is or will be, and the bytes that are free there."""
    place = next(one for one in home.absolute().parents if one.is_dir())
    return place, shutil.disk_usage(place).free


def _linked(of: Repository, files: Sequence[HubFile]) -> Path:
    """The snapshot's folder with these files: small ones are fetched, large ones lie in the cache already."""
    names, where = [one.name for one in files], _where(of.wanted)
    return Path(snapshot_download(of.name, allow_patterns=names, tqdm_class=_NoBar, token=of.wanted.token, **where))


def _there(home: Path, commit: str, file: HubFile) -> int:
    """How much of a file is in the cache."""
    if file.sha256 is None:
        return file.size if (home / "snapshots" / commit / file.name).is_file() else 0
    return file.size if (home / "blobs" / file.sha256).is_file() else min(file.size, partial(home, file)[1])


class _NoBar(tqdm):  # type: ignore[misc]
    """A bar that is never shown: one of our own tells of all files."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        options.pop("name", None)
        super().__init__(*arguments, **{**options, "disable": True})
