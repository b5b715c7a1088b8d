"""Batches: a file with a job or a prompt in each line, drawn into a folder; what is done is not done again."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from app.jobs.packing import packed
from blipdiff.outputs import writing
from pipelines.generate.request import GenerateRequest
from pipelines.job import Job

JOURNAL = "results.jsonl"


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

    def write(self, *ends: Mapping[str, Any]) -> None:
        """Adds lines. Raises: OutputError where the disk takes them not."""
        if not ends:
            return
        with writing(self.path), self.path.open("a", encoding="utf-8") as file:
            if file.tell() and not _ends_whole(self.path):
                file.write("\n")
            file.write("".join(json.dumps(told, ensure_ascii=False) + "\n" for told in ends))


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
