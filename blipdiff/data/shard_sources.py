"""Where shards are, and where samples lie in them: a folder of this machine, or addresses that are fetched from."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from blipdiff.data.fetched_shards import Fetched, ShardCache
from blipdiff.data.shards import Places, samples_of
from blipdiff.errors import ConfigError

_LISTED = 64  # shards whose samples' places are remembered


class Shards(Protocol):
    """Shards by their numbers."""

    @property
    def counts(self) -> tuple[int, ...]:
        """Samples of each."""
        ...

    @property
    def window(self) -> int:
        """How many shards samples are drawn from at a time, 0 for all."""
        ...

    def path(self, shard: int) -> Path:
        """The file of a shard."""
        ...

    def places(self, shard: int) -> Sequence[Places]:
        """Where its samples lie."""
        ...


@dataclass(frozen=True, slots=True)
class FolderShards:
    """The shards of a folder, in the order of their names; samples are drawn from all of them."""

    paths: tuple[Path, ...]
    samples: tuple[tuple[Places, ...], ...]
    counts: tuple[int, ...]
    window: int = 0

    @classmethod
    def of(cls, folder: Path) -> "FolderShards":
        """Raises: ConfigError where the folder holds no shard, or lacks one that was made."""
        paths = tuple(sorted(path for path in folder.glob("*.tar") if not path.name.startswith(".")))
        _check_complete(folder)
        samples = tuple(tuple(samples_of(path)) for path in paths)
        if not any(samples):
            raise ConfigError(f"{folder} holds no shard; make some with 'blipdiff data prepare'.")
        return cls(paths, samples, tuple(map(len, samples)))

    def path(self, shard: int) -> Path:
        """The file of a shard."""
        return self.paths[shard]

    def places(self, shard: int) -> Sequence[Places]:
        """Where its samples lie."""
        return self.samples[shard]


@dataclass(slots=True, eq=False)
class FetchedShards:
    """Shards at addresses, in the order in which they are named, fetched into a folder when samples of them are drawn.

    About three windows of them are kept there. How many samples a shard holds is what its record beside it says
    (`subjects-000000.json`); one without is fetched to be counted.
    """

    cache: ShardCache
    window: int
    found: tuple[Fetched, ...] = ()
    counts: tuple[int, ...] = ()
    _places: dict[int, tuple[Places, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, addresses: Sequence[str], folder: Path, *, window: int) -> "FetchedShards":
        """Raises: ConfigError where one is missing or is no shard, and where nothing can be fetched."""
        cache = ShardCache(folder, most=3 * window if 0 < window < len(addresses) else 0)
        made = cls(cache, window, tuple(map(Fetched, addresses)))
        made.counts = tuple(cache.count(one) for one in made.found)
        if not sum(made.counts):
            raise ConfigError("The shards that are named hold no sample; make some with 'blipdiff data prepare'.")
        return made

    def path(self, shard: int) -> Path:
        """The file of a shard, fetched where it is not there."""
        return self.cache.path(self.found[shard])

    def places(self, shard: int) -> Sequence[Places]:
        """Where its samples lie."""
        if shard not in self._places:
            while len(self._places) >= _LISTED:
                self._places.pop(next(iter(self._places)))
            self._places[shard] = tuple(samples_of(self.path(shard), self.found[shard].shown))
        return self._places[shard]


def _check_complete(folder: Path) -> None:
    """Passes when each shard that has a record beside it is there."""
    for record in sorted(folder.glob("subjects-*.json")):
        try:
            samples = json.loads(record.read_text("utf-8")).get("samples")
        except (OSError, ValueError, AttributeError, RecursionError):
            samples = None
        if samples != 0 and not record.with_suffix(".tar").is_file():
            raise ConfigError(f"{folder} lacks {record.stem}.tar; run 'blipdiff data prepare' again.")
