"""The history's files where a store keeps them: the folder holds what was not sent yet, and what was looked at last."""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import RLock

from app.jobs import pictures
from app.jobs.database import Data, upsert
from app.jobs.entries import Entry, entry_at
from app.jobs.outbox import TABLES as SENDS
from app.jobs.outbox import Outbox
from app.jobs.pictures import BIN, PICTURES
from app.jobs.servers import name_of
from app.jobs.stores import Store
from app.jobs.tickets import time_of
from blipdiff.errors import ConfigError, OutputError
from blipdiff.outputs import written_file

TABLES = f"{SENDS}CREATE TABLE IF NOT EXISTS sheets (path TEXT PRIMARY KEY, job TEXT NOT NULL);\n"
FAVOURITES = "favourites"
_SHEETS = ".sheets"
_SECONDS_TO_ARRIVE, _SECONDS_BETWEEN = 20.0, 0.1  # of a file that another server has not sent yet
_HEAD = 2**17  # bytes, in which most pictures tell their jobs
_AT_ONCE = 8
_SENT_TO = "sent-to"  # a file that names the store which the folder's files were sent to


class Shelf:
    """A folder before a store.

    most: bytes that the folder keeps of what the store has, None for no limit
    """

    def __init__(self, folder: Path, store: Store, data: Data, most: Callable[[], int | None]) -> None:
        """Raises: ConfigError for a store that is the folder itself."""
        if store.place == str(folder.absolute()):
            raise ConfigError(f"{folder} is the history's own folder; name another place for --results.")
        self.folder, self.store = folder, store
        self.outbox = Outbox(folder, store, data, name_of(folder))
        self._data, self._most = data, most
        self._access = RLock()
        self._held = OrderedDict[str, int]()  # bytes of what belongs together, the latest used last
        for path in sorted(_files(folder), key=lambda one: one.stat().st_mtime_ns):
            group = _group(self._name(path))
            self._held[group] = self._held.get(group, 0) + path.stat().st_size
        self._send_earlier()

    @contextmanager
    def coming(self, paths: Sequence[Path]) -> Iterator[None]:
        """A block that writes these files: if the process ends in it, what there is of them is sent by the next one."""
        names = [self._name(path) for path in paths]
        self.outbox.coming(names)
        try:
            yield
        except BaseException:
            self.outbox.forget(names)
            raise

    def keep(self, paths: Sequence[Path], *, instead_of: Sequence[str] = ()) -> None:
        """Files that are whole now are sent; `instead_of` goes."""
        with self._access:
            for path in paths:
                self._hold(path)
        self.outbox.keep([self._name(path) for path in paths], instead_of=instead_of)
        self._trim()

    def sheet(self, path: Path, job: str) -> None:
        """A job's grid or film is whole."""
        self._data.change(upsert("sheets", ("path", "job")), (self._name(path), job))
        self.keep([path])

    def sheets(self, job: str) -> dict[str, Path]:
        """A job's grids and films, whether they are here or not."""
        rows = self._data.rows("SELECT path FROM sheets WHERE job = ? ORDER BY path", (job,))
        return {Path(row["path"]).name: self.folder / row["path"] for row in rows}

    def mark(self, name: str, *, favourite: bool) -> None:
        """A favourite is a small file of the store."""
        path = self.folder / FAVOURITES / f"{name}.txt"
        if favourite:
            with written_file(path) as part:
                part.write_text(name, encoding="utf-8")
            self.outbox.keep([self._name(path)])
        else:
            path.unlink(missing_ok=True)
            self.outbox.keep([], instead_of=[self._name(path)])

    def favourites(self) -> set[str]:
        """The names of all favourites. Raises: OutputError where the store is away."""
        return {Path(name).stem for name, _size in self.store.sizes(f"{FAVOURITES}/")}

    def fetched(self, path: Path) -> bool:
        """Whether a file is here, or was fetched now. Raises: OutputError where the store is away."""
        if path.is_file():
            with self._access:
                if (group := _group(self._name(path))) in self._held:
                    self._held.move_to_end(group)
            return True
        name, end = self._name(path), time.monotonic() + _SECONDS_TO_ARRIVE
        while not self.store.get(name, path):
            if not self.outbox.on_the_way(name):
                if self.store.get(name, path):  # it came between the two
                    break
                return False
            if time.monotonic() > end:
                raise OutputError(f"{path.name} is not at {self.store.place} yet; the server that drew it has it.")
            time.sleep(_SECONDS_BETWEEN)
        with self._access:
            self._hold(path)
        self._trim(but=_group(name))
        return True

    def is_here(self, path: Path) -> bool:
        """The same; not, where the store is away."""
        try:
            return self.fetched(path)
        except OutputError:
            return False

    def picture(self, path: Path) -> bool:
        """Whether a picture is here with all that stands beside it, or was fetched. Raises: as `fetched`."""
        if path.is_file():
            return self.fetched(path)
        name = self._name(path)
        for other, _size in self.store.sizes(name.removesuffix("png")):
            if other != name:
                self.fetched(self.folder / other)
        return self.fetched(path)

    def found(self, known: Mapping[str, int]) -> tuple[list[Entry], set[str]]:
        """The pictures that are new, and the paths of all; known: bytes by path.

        Raises: OutputError where the store is away.
        """
        coming = self.outbox.on_the_way()
        listed = {name: size for root in (PICTURES, BIN) for name, size in self.store.sizes(f"{root}/")}
        for name in coming:
            with suppress(OSError):
                listed[name] = (self.folder / name).stat().st_size
        sheets = [(name, Path(name).parent.name.removesuffix(_SHEETS)) for name in listed if _is_sheet(name)]
        with self._data.changing():
            for name, job in sheets:
                self._data.change(upsert("sheets", ("path", "job")), (name, job))
        fresh = [(name, size) for name, size in sorted(listed.items()) if known.get(name) != size]
        with TemporaryDirectory(prefix="blipdiff-heads-") as place, ThreadPoolExecutor(_AT_ONCE) as pool:
            made = pool.map(lambda one: self._entry(one[0], one[1], Path(place)), fresh)
            entries = [entry for entry in made if entry is not None]
        return entries, {*listed, *coming}

    def close(self) -> None:
        """Sends what waits, while that goes well."""
        self.outbox.close()

    def _entry(self, name: str, size: int, place: Path) -> Entry | None:
        path = self.folder / name
        about = pictures.place(self.folder, path)
        if about is None or _is_sheet(name):
            return None
        entry = entry_at(about, name) if path.is_file() else None
        if entry is None:
            part = place / path.name
            part.write_bytes(self.store.head(name, _HEAD))
            entry = entry_at(replace(about, path=part), name)
            if entry is None and size > _HEAD and self.store.get(name, part):
                entry = entry_at(replace(about, path=part), name)
            part.unlink()
        return None if entry is None else replace(entry, bytes=size, made=round(time_of(about.job) * 1e9))

    def _send_earlier(self) -> None:
        """What was here before this store was named is sent, once."""
        told = self.folder / _SENT_TO
        if told.is_file() and told.read_text(encoding="utf-8") == self.store.place:
            return
        self.outbox.keep([self._name(path) for path in _files(self.folder)])
        with written_file(told) as part:
            part.write_text(self.store.place, encoding="utf-8")

    def _hold(self, path: Path) -> None:
        group = _group(self._name(path))
        self._held[group] = sum(one.stat().st_size for one in self._belonging(group))
        self._held.move_to_end(group)

    def _trim(self, but: str | None = None) -> None:
        """Removes here what was not used for longest and the store has."""
        most = self._most()
        with self._access:
            if most is None or sum(self._held.values()) <= most:
                return
            coming = {_group(name) for name in self.outbox.on_the_way()}
            size = sum(self._held.values())
            for group in [one for one in self._held if one not in coming and one != but]:
                if size <= most:
                    return
                size -= self._held.pop(group)
                for path in self._belonging(group):
                    path.unlink(missing_ok=True)

    def _belonging(self, group: str) -> list[Path]:
        """The files of a group, a picture itself first: without it the rest is fetched anew."""
        place = self.folder / group
        if group.endswith(_SHEETS):
            return sorted(place.iterdir()) if place.is_dir() else []
        main = place.with_name(f"{place.name}.png")
        return [one for one in (main, *pictures.beside(main).values()) if one.is_file()]

    def _name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()


def _files(folder: Path) -> Iterator[Path]:
    """The results that lie in a folder, with what stands beside them, and sheets; none that is unfinished."""
    for root in (PICTURES, BIN):
        for path in (folder / root).glob("*/*/**/*"):
            if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts):
                yield path


def _is_sheet(name: str) -> bool:
    return Path(name).parent.name.endswith(_SHEETS)


def _group(name: str) -> str:
    """What belongs together: a picture with what stands beside it, or a job's sheets."""
    path = Path(name)
    return path.parent.as_posix() if _is_sheet(name) else path.with_name(path.name.partition(".")[0]).as_posix()
