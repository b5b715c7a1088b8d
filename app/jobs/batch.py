"""Batches: a file with a job or a prompt in each line, drawn into a folder; what is done is not done again."""

import csv
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, get_args, get_type_hints

from app.jobs.packing import packed
from app.plain import has_halves
from blipdiff.errors import BlipdiffError, ConfigError
from pipelines.generate.request import GenerateRequest
from pipelines.inputs import CARD_SUFFIX, Input
from pipelines.job import Job
from pipelines.parameters import parameters, request_from
from pipelines.subject_library import SubjectLibrary
from pipelines.task import Task, task_named

JOURNAL, TEXT = "results.jsonl", ".txt"
_LARGEST_FILE = 2**28  # bytes of a batch's own file
_REMEMBERED_FILES = 32
_BESIDE = ("task", "name", "request", "inputs")  # what a line may hold beside parameters and inputs


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """A line of a batch: its job, or what is wrong with it."""

    number: int  # from 1
    name: str
    job: Job | None
    key: str  # what it asks for, as a hash: the same line of the same files has the same
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """Lines that are drawn together.

    job: one that draws all of them, which differ by their seeds alone; None where each is a row of one batch
    """

    lines: Sequence[Line]
    job: Job | None


@dataclass(slots=True)
class Journal:
    """What became of lines, a line of JSON for each, in the folder that they are drawn into."""

    path: Path
    done: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> "Journal":
        """What earlier runs wrote down; a line that was not written whole is none."""
        found = cls(folder / JOURNAL)
        try:
            lines = found.path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return found
        for line in lines:
            try:
                told = json.loads(line)
                if told["state"] == "done":
                    found.done[str(told["key"])] = told
            except (ValueError, KeyError, TypeError):
                continue
        return found

    def has(self, line: Line) -> bool:
        """Whether a line is done, and its files are there."""
        told = self.done.get(line.key)
        return told is not None and all((self.path.parent / name).is_file() for name in told.get("files", ()))

    def write(self, told: Mapping[str, Any]) -> None:
        """Adds a line."""
        with self.path.open("a", encoding="utf-8") as file:
            if file.tell() and not _ends_whole(self.path):
                file.write("\n")
            file.write(json.dumps(told, ensure_ascii=False) + "\n")


def read_lines(
    path: Path, library: Path, task: str = "generate", shared: Mapping[str, Any] | None = None
) -> list[Line]:
    """The lines of a .jsonl, .csv or .txt file; files in them are named from its folder on, "@Rex" is the library's.

    Of a .txt file each line is a prompt. task: of lines that name none; shared: what holds in all lines that do not
    say otherwise

    Raises: ConfigError for a file that is none of these, or cannot be read, and for a task without a prompt.
    """
    if path.suffix.lower() == TEXT and "prompt" not in parameters(task_named(task).request):
        raise ConfigError(f"{task} takes no prompt, so a list of them cannot be drawn; give a .jsonl or .csv file.")
    rows = [(number, _with(shared or {}, told)) for number, told in _rows(path)]
    reader = _Reader(path.parent, SubjectLibrary(library), task)
    found, seen = list[Line](), dict[str, int]()
    for number, told in rows:
        line = _line(reader, number, told)
        seen[line.key] = seen.get(line.key, 0) + 1  # a line that stands there twice is drawn twice
        found.append(replace(line, key=f"{line.key}-{seen[line.key]}"))
    return found


def groups(lines: Sequence[Line], *, together: bool) -> Iterator[Group]:
    """Lines as they are drawn; `together`: as many as a batch holds at once, of those that can be rows of one, and of
    those that follow each other and differ by consecutive seeds.
    """
    waiting, rows = list[Line](), _rows_of(lines) if together else {}
    for line in lines:
        if line.job is None:
            continue
        if line.number in rows:
            if company := rows[line.number]:
                yield Group(company, None)
            continue
        if waiting and not (together and _go_together(waiting, line)):
            yield _group(waiting)
            waiting = []
        waiting.append(line)
    if waiting:
        yield _group(waiting)


def _rows_of(lines: Sequence[Line]) -> dict[int, Sequence[Line]]:
    """The lines that are rows of a batch: by the number of each batch's first line all of it, of the others none."""
    alike: dict[Any, list[Line]] = {}
    for line in lines:
        request = None if line.job is None or line.job.index is not None else line.job.request
        if isinstance(request, GenerateRequest) and (common := request.of_a_row()) is not None:
            alike.setdefault(common, []).append(line)
    found = dict[int, Sequence[Line]]()
    for common, given in alike.items():
        for first in range(0, len(given), common.batch):
            company = given[first : first + common.batch]
            if len(company) > 1:
                found |= {line.number: () for line in company} | {company[0].number: company}
    return found


@dataclass(frozen=True, slots=True)
class _Reader:
    folder: Path
    library: SubjectLibrary
    task: str

    def job(self, told: Mapping[str, Any]) -> Job:
        """The job of a line. Raises: BlipdiffError for what is wrong with it."""
        task = task_named(str(told.get("task") or self.task))
        known = {*parameters(task.request), *task.inputs, *_BESIDE}
        flags = {one.flag: name for name, one in parameters(task.request).items() if one.flag}
        told = {name if name in known else flags.get(name, name): value for name, value in told.items()}
        old = {alias for one in parameters(task.request).values() for alias in one.aliases}
        if unknown := sorted(set(told) - known - old):
            raise ConfigError(f"{task.name} knows no {unknown[0]!r:.40}; it knows: {', '.join(sorted(known))}.")
        request = {name: value for name, value in told.items() if name not in (*task.inputs, *_BESIDE)}
        nested = {"request": told.get("request") or {}, "inputs": told.get("inputs") or {}}
        if not all(isinstance(one, Mapping) for one in nested.values()):
            raise ConfigError("request and inputs are objects.")
        inputs = {name: told[name] for name in task.inputs if name in told} | dict(nested["inputs"])
        given = {name: [self._input(one) for one in _list(value)] for name, value in inputs.items()}
        return Job.of(request_from(task.request, _typed(task, request) | dict(nested["request"])), **given)

    def _input(self, told: Any) -> Input:
        if isinstance(told, Mapping):
            more = {name: value for name, value in told.items() if name in ("word", "weight", "box")}
            mask = None if told.get("mask") is None else self._input(told["mask"])
            about = Input.from_mapping(more)
            return replace(
                self._input(str(told.get("path", ""))), word=about.word, weight=about.weight, box=about.box, mask=mask
            )
        text = str(told).strip()
        if text.startswith("@"):
            return Input(self.library.load(text[1:]))
        word, sign, path = text.partition("=")
        if sign and not (self.folder / text).exists() and "/" not in word and "\\" not in word:
            return replace(self._input(path), word=word.strip())
        found = self.folder / text
        return Input(found if found.suffix.lower() == CARD_SUFFIX else _content(found))


@lru_cache(maxsize=_REMEMBERED_FILES)
def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from error


def _line(reader: _Reader, number: int, told: Any) -> Line:
    name = str(told.get("name") or "") if isinstance(told, Mapping) else ""
    text = json.dumps(told, sort_keys=True, ensure_ascii=False, default=str)
    if has_halves(text):
        key = hashlib.sha256(text.encode("utf-8", "surrogatepass"))
        return Line(number, "", None, key.hexdigest(), "The line holds half of a letter, such as U+D800; leave it out.")
    key = hashlib.sha256(text.encode())
    try:
        if not isinstance(told, Mapping):
            raise ConfigError(f"The line is no JSON object: {told!r:.60}.")
        job = reader.job(told)
        opened = job.opened()
    except BlipdiffError as error:
        return Line(number, name, None, key.hexdigest(), str(error))
    kept = replace(job, inputs=opened.inputs if _names_files(job) else job.inputs)
    for content in sorted(packed(kept).contents):
        key.update(content.encode())
    return Line(number, name, kept, key.hexdigest())


def _names_files(job: Job) -> bool:
    return any(isinstance(one.content, Path) for given in job.inputs.values() for one in given)


def _rows(path: Path) -> list[tuple[int, Any]]:
    if path.suffix.lower() not in (".jsonl", ".ndjson", ".csv", TEXT):
        raise ConfigError(f"{path} is none of .jsonl, .csv and {TEXT}.")
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise ConfigError(f"{path} has more than {_LARGEST_FILE // 2**20} MB.")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}.") from error
    except UnicodeError as error:
        raise ConfigError(f"{path} is no text in UTF-8.") from error
    if path.suffix.lower() == ".csv":
        rows = csv.DictReader(text.splitlines())
        return [(number, _filled(row)) for number, row in enumerate(rows, 2)]
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if path.suffix.lower() == TEXT:
        return [(number, {"prompt": line.strip()}) for number, line in lines]
    return [(number, _parsed(line)) for number, line in lines]


def _with(shared: Mapping[str, Any], told: Any) -> Any:
    return {**shared, **told} if isinstance(told, Mapping) else told


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return line


def _filled(row: Mapping[Any, Any]) -> dict[str, Any]:
    """A row's cells that hold something, each under its column's name."""
    return {str(name).strip(): cell.strip() for name, cell in row.items() if isinstance(cell, str) and cell.strip()}


def _list(value: Any) -> list[Any]:
    if isinstance(value, str):
        return [one for one in value.split(";") if one.strip()]
    return list(value) if isinstance(value, list) else [value]


def _typed(task: Task, values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as JSON has them, where a CSV's cell has text."""
    hints = get_type_hints(task.request)
    found = {}
    for name, value in values.items():
        hint = hints.get(name)
        is_text = hint is str or str in get_args(hint)
        found[name] = value if not isinstance(value, str) or is_text or hint is None else _parsed(value)
    return found


def _go_together(waiting: Sequence[Line], line: Line) -> bool:
    first, job = waiting[0].job, line.job
    assert first is not None and job is not None
    request, other = first.request, job.request
    if type(request) is not type(other) or first.index is not None or not hasattr(other, "seed"):
        return False
    count = sum(one.job.request.count for one in waiting if one.job is not None)
    if other.count != 1 or request.batch <= count or replace(other, seed=request.seed) != replace(request, count=1):
        return False
    same = [packed(replace(one, request=request)).text for one in (first, job)]
    return other.seed == request.seed + count and same[0] == same[1] and job.task in ("generate", "stylize")


def _group(lines: Sequence[Line]) -> Group:
    first = lines[0].job
    assert first is not None
    if len(lines) == 1:
        return Group(tuple(lines), first)
    return Group(tuple(lines), replace(first, request=replace(first.request, count=len(lines))))


def _ends_whole(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read(1) == b"\n"
