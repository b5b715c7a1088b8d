"""Chunks of a very long batch: so many lines as one worker is handed at a time, and how it draws them."""

import json
import math
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from app.jobs.batch import Group, Line, groups
from app.jobs.batch_drawing import DONE, FAILED, Place, drawn, told_of
from app.jobs.batch_index import Log, Marks, is_in, key_mark, repeated_marks
from app.jobs.batch_lines import Reader
from app.jobs.manifest import Manifest, Stamps
from blipdiff.errors import OutputError
from pipelines.generate.request import OF_A_ROW
from pipelines.studio import Studio

MOST_LINES = 32
_LARGEST = 256  # lines of a chunk of a very long manifest, whose chunks shall be
_MANY = 4096  # so many at most, since each leaves a trace in the process that hands them out
_LEAST_TOGETHER = 4
_OPEN_SHAPES = 64  # that lines of one shape are gathered for at a time
_DEATHS = 2
_OF_A_LINE = (*OF_A_ROW, "subject", "name")


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a manifest that is not done yet. times: how often it stood there, this one included."""

    number: int
    told: Any
    mark: int
    times: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows that one worker is handed. lines, known: of the whole manifest, and of them done; in the last one alone."""

    number: int
    rows: tuple[Row, ...] = ()
    lines: int = 0
    known: int = 0
    is_last: bool = False


def chunks(
    manifest: Manifest, stamps: Stamps, done: Marks, *, together: bool, workers: int, most: int = MOST_LINES
) -> Iterator[Chunk]:
    """The rows that are not done, in chunks; the same manifest gives the same ones. The last one is empty.

    The manifest is read twice: 8 bytes a line are kept, and a few rows. together: rows of one shape are gathered;
    workers: at most so many draw, and each shall have some; most: lines of a chunk, of a manifest of common length

    Raises: ConfigError where the manifest cannot be read.
    """
    seen = array("Q", (stamps.mark(manifest.told(raw)) for _, raw in manifest.rows()))
    marks, times = repeated_marks(np.frombuffer(seen, np.uint64) if len(seen) else np.empty(0, np.uint64))
    left = ~np.isin(marks, done)
    count = int(left.sum())
    size = max(most, min(_LARGEST, math.ceil(count / _MANY)))
    size = max(_LEAST_TOGETHER if together else 1, min(size, count // (4 * workers)))
    rows = (
        Row(number, manifest.told(raw), int(marks[place]), int(times[place]))
        for place, (number, raw) in enumerate(manifest.rows())
        if left[place]
    )
    number = 0
    for number, gathered in enumerate(_gathered(rows, size, together=together), 1):
        yield Chunk(number, tuple(gathered))
    yield Chunk(number + 1, lines=len(marks), known=len(marks) - count, is_last=True)


def _gathered(rows: Iterator[Row], size: int, *, together: bool) -> Iterator[list[Row]]:
    waiting: dict[str, list[Row]] = {}
    for row in rows:
        shape = _shape(row.told) if together else ""
        waiting.setdefault(shape, []).append(row)
        if len(waiting[shape]) == size:
            yield waiting.pop(shape)
        elif len(waiting) > _OPEN_SHAPES:
            yield waiting.pop(max(waiting, key=lambda one: len(waiting[one])))
    left = [row for gathered in waiting.values() for row in gathered]
    for first in range(0, len(left), size):
        yield left[first : first + size]


def _shape(told: Any) -> str:
    """What rows have in common that may be drawn in one batch, as far as it is seen without opening them."""
    if not isinstance(told, Mapping):
        return ""
    return json.dumps({key: value for key, value in told.items() if key not in _OF_A_LINE}, sort_keys=True, default=str)


@dataclass(frozen=True, slots=True)
class Drawing:
    """How chunks are drawn. folder: of pictures; work: of what is unfinished; known: keys of lines that are done."""

    folder: Path
    work: Path
    reader: Reader
    together: bool
    known: Marks

    def draw(self, studio: Callable[[], Studio], chunk: Chunk) -> list[dict[str, Any]]:
        """What became of a chunk's lines, without those that turn out to be done.

        Lines whose worker was killed while it drew them are drawn once more, each alone, and then given up. What
        another worker had done of the same chunk is not done again.
        """
        try:
            log = Log.opened(self.work / str(chunk.number))
        except OutputError as error:
            return [_ended(row, Line(row.number, "", None, "", str(error))) for row in chunk.rows]
        lines = {row.number: self._line(row) for row in chunk.rows if row.number not in log.told}
        marks = {row.number: f"{row.mark:016x}" for row in chunk.rows}
        ends = [dict(told) for told in log.told.values()]
        ends += [_ended(row, lines[row.number]) for row in chunk.rows if _is_bad(lines.get(row.number))]
        left = [line for line in lines.values() if line.job is not None and not self._is_known(line)]
        dead = [line for line in left if log.begun.get(line.number, 0) >= _DEATHS]
        ends += [
            told_of(line, FAILED, error=f"The process that drew it ended {_DEATHS} times.", mark=marks[line.number])
            for line in dead
        ]
        for group in self._groups([line for line in left if line not in dead], log):
            ends += [told | {"mark": marks[told["line"]]} for told in self._drawn(studio(), group, log, marks)]
        return ends

    def _groups(self, lines: Sequence[Line], log: Log) -> list[Group]:
        fresh = [line for line in lines if line.number not in log.begun]
        again = [line for line in lines if line.number in log.begun]
        return [*groups(fresh, together=self.together), *groups(again, together=False)]

    def _drawn(self, studio: Studio, group: Group, log: Log, marks: Mapping[int, str]) -> Iterator[dict[str, Any]]:
        try:
            log.begin([line.number for line in group.lines])
        except OutputError as error:
            yield from (told_of(line, FAILED, error=str(error)) for line in group.lines)
            return
        for told in drawn(studio, group, Place(self.folder, log.folder)):
            if told["state"] == DONE:
                with suppress(OutputError):  # then it is drawn once more if this process is killed
                    log.end(told | {"mark": marks[told["line"]]})
            yield told

    def _line(self, row: Row) -> Line:
        line = self.reader.line(row.number, row.told)
        return replace(line, key=f"{line.key}-{row.times}")

    def _is_known(self, line: Line) -> bool:
        mark = key_mark(line.key)
        return mark is not None and is_in(self.known, mark)


def _is_bad(line: Line | None) -> bool:
    return line is not None and line.job is None


def _ended(row: Row, line: Line) -> dict[str, Any]:
    return told_of(line, FAILED, error=line.trouble, mark=f"{row.mark:016x}")
