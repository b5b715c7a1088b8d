"""The file of a batch, read as a stream: a row of a table, an object or a prompt for each line, one after the other."""

import csv
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, TypeAlias

from blipdiff.errors import BlipdiffError, ConfigError, MissingDependencyError, listed
from blipdiff.foreign import foreign
from pipelines.inputs import CARD_SUFFIX
from pipelines.subject_library import SubjectLibrary
from pipelines.task import task_named

TEXT, TABLE, PARQUET = ".txt", ".csv", ".parquet"
_OBJECTS = (".jsonl", ".ndjson")
_ROWS_READ = 1024  # of a parquet file at a time
_REMEMBERED_FILES = 65_536

Raw: TypeAlias = str | Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Manifest:
    """A .jsonl, .csv, .txt or .parquet file whose rows are jobs.

    shared: what holds in all rows that do not say otherwise; task: of rows that name none
    """

    path: Path
    task: str = "generate"
    shared: Mapping[str, Any] = field(default_factory=dict)

    def rows(self) -> Iterator[tuple[int, Raw]]:
        """Each row with its number, as it stands there: text, or the cells that hold something.

        Raises: ConfigError for a file of another kind, and for one that cannot be read, when that is met.
        """
        kind = self.path.suffix.lower()
        if kind == PARQUET:
            yield from _parquet_rows(self.path)
        elif kind == TABLE:
            yield from _table_rows(self.path)
        elif kind in (*_OBJECTS, TEXT):
            yield from _text_rows(self.path)
        else:
            raise ConfigError(f"{self.path} is none of .jsonl, .csv, {TEXT} and {PARQUET}.")

    def told(self, raw: Raw) -> Any:
        """What a row says, with what holds in all rows; what is no object is given as it is."""
        if isinstance(raw, str):
            raw = {"prompt": raw} if self.path.suffix.lower() == TEXT else parsed(raw)
        return {**self.shared, **raw} if isinstance(raw, Mapping) else raw


@dataclass(frozen=True, slots=True)
class Stamps:
    """What tells rows apart without opening their files: text, and the size and time of each file that they name."""

    folder: Path
    library: SubjectLibrary
    task: str

    def mark(self, told: Any) -> int:
        """64 bits of what a row asks for, of `Manifest.told`."""
        text = json.dumps(told, sort_keys=True, default=str)  # in ASCII: half a letter is text like any other
        seen = hashlib.blake2b(text.encode(), digest_size=8)
        if isinstance(told, Mapping):
            nested = told.get("inputs")
            for name in _inputs(str(told.get("task") or self.task)):
                for path in self._files(told.get(name)):
                    seen.update(_stamp(path))
                if isinstance(nested, Mapping):
                    for path in self._files(nested.get(name)):
                        seen.update(_stamp(path))
        return int.from_bytes(seen.digest(), "big")

    def _files(self, value: Any) -> list[str]:
        """The files that an input's value names."""
        if isinstance(value, str):
            return [path for text in value.split(";") for path in self._named(text.strip())]
        if isinstance(value, Mapping):
            return [*self._files(value.get("path")), *self._files(value.get("mask"))]
        return [path for one in value for path in self._files(one)] if isinstance(value, list) else []

    def _named(self, text: str) -> Iterator[str]:
        """The file of "dog.png", "dog=dog.png" or "@Rex"; a sign may also be a part of a name."""
        for name in dict.fromkeys((text, text.rpartition("=")[2])):
            library = name.startswith("@")
            yield f"{self.library.folder}/{name[1:]}{CARD_SUFFIX}" if library else f"{self.folder}/{name}"


def parsed(line: str) -> Any:
    """The value that a line of JSON tells; the line itself where it is none."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return line


@cache
def _inputs(task: str) -> tuple[str, ...]:
    try:
        return tuple(task_named(task).inputs)
    except BlipdiffError:
        return ()


@lru_cache(maxsize=_REMEMBERED_FILES)
def _stamp(path: str) -> bytes:
    try:
        found = os.stat(path)  # noqa: PTH116
    except (OSError, ValueError):
        return b"none"
    return f"{found.st_size}-{found.st_mtime_ns}".encode()


def _text_rows(path: Path) -> Iterator[tuple[int, str]]:
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line.strip()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}.") from error
    except UnicodeError as error:
        raise ConfigError(f"{path} is no text in UTF-8.") from error


def _table_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for number, row in enumerate(csv.DictReader(file), 2):
                yield number, _filled(row)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}.") from error
    except UnicodeError as error:
        raise ConfigError(f"{path} is no text in UTF-8.") from error
    except csv.Error as error:
        raise ConfigError(f"{path} is damaged, or it is no table of comma-separated values: {error}.") from error


def _filled(row: Mapping[Any, Any]) -> dict[str, Any]:
    """A row's cells that hold something, each under its column's name."""
    return {str(name).strip(): cell.strip() for name, cell in row.items() if isinstance(cell, str) and cell.strip()}


def parquet_columns(path: Path) -> tuple[str, ...]:
    """The names of a parquet file's columns. Raises: ConfigError for a damaged one, and for one that holds files."""
    return tuple(one.name for one in _parquet(path).schema_arrow)


def _parquet_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    batches, number = _parquet(path).iter_batches(batch_size=_ROWS_READ), 0
    while True:
        with foreign(path, "a parquet file", ConfigError):
            batch = next(batches, None)
            rows = [] if batch is None else batch.to_pylist()
        if batch is None:
            return
        for row in rows:
            number += 1
            yield number, {name: value for name, value in row.items() if value is not None and value != ""}


def _parquet(path: Path) -> Any:
    try:
        from pyarrow import parquet, types
    except ModuleNotFoundError as error:
        raise MissingDependencyError("A .parquet file is read by pyarrow: pip install 'blipdiff[ray]'.") from error
    if not path.is_file():
        raise ConfigError(f"{path} cannot be read: there is no such file.")
    with foreign(path, "a parquet file", ConfigError):
        file = parquet.ParquetFile(path)
        kinds = {one.name: one.type for one in file.schema_arrow}
    if held := [name for name, kind in kinds.items() if types.is_binary(kind) or types.is_struct(kind)]:
        raise ConfigError(f"The columns {listed(held)} of {path} hold bytes or objects; name files in them.")
    return file
