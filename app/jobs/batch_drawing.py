"""What becomes of the lines of a batch: their pictures are written into its folder, and each line's end is told."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from app.jobs.batch import Group, Line
from blipdiff.errors import BlipdiffError
from blipdiff.filenames import file_stem
from blipdiff.outputs import writing, written_file
from pipelines.batches import draw
from pipelines.generate.together import prepare_together
from pipelines.job import Job, run
from pipelines.pictures import save_picture
from pipelines.studio import Studio
from pipelines.task import Result, Sheet

DONE, FAILED = "done", "failed"


@dataclass(frozen=True, slots=True)
class Place:
    """Where pictures go. staged: a folder on the same disk in which they are written before they take their place.

    A writer looks for what killed ones left in the folder that it writes to: the more lies there, the longer it takes.
    """

    folder: Path
    staged: Path | None = None

    def written(self, name: str) -> Path:
        """Where a file of this name is written first."""
        return (self.staged or self.folder) / name

    def keep(self, path: Path) -> str:
        """Puts a written file in its place; gives its name. Raises: OutputError."""
        with writing(self.folder / path.name):
            path.replace(self.folder / path.name)
        return path.name


def told_of(line: Line, state: str, **more: Any) -> dict[str, Any]:
    """What became of a line, as the journal keeps it."""
    return {"line": line.number, "name": line.name, "state": state, **more, "key": line.key}


def drawn(studio: Studio, group: Group, place: Place) -> Iterator[dict[str, Any]]:
    """What became of each line of a group, as it is known; one that cannot be drawn spoils none of the others."""
    try:
        yield from _rows(studio, group, place) if group.job is None else _one(studio, group, place)
    except BlipdiffError as error:
        if len(group.lines) == 1:
            yield told_of(group.lines[0], FAILED, error=str(error))
            return
        for line in group.lines:
            yield from drawn(studio, Group((line,), line.job), place)


def _rows(studio: Studio, group: Group, place: Place) -> list[dict[str, Any]]:
    """Lines that are rows of one batch."""
    lines, begun = group.lines, time.monotonic()
    jobs = [line.job.opened() for line in lines if line.job is not None]
    found = [event for event in draw(studio, prepare_together(studio, jobs)) if isinstance(event, Result)]
    seconds = round((time.monotonic() - begun) / len(lines), 3)
    return [
        told_of(
            lines[one.detail],
            DONE,
            files=_kept(one, lines[one.detail], 0, place),
            seconds=seconds,
            together=len(lines),
        )
        for one in found
    ]


def _one(studio: Studio, group: Group, place: Place) -> list[dict[str, Any]]:
    """Lines that one job draws."""
    begun, first = time.monotonic(), group.lines[0]
    files: list[tuple[int | None, list[str]]] = []
    for event in run(studio, cast("Job", group.job)):
        if isinstance(event, Result):
            files.append((event.picture.seed, _kept(event, first, len(files), place)))
        elif isinstance(event, Sheet):
            files.append((None, [_sheet(event, first, place)]))
    seconds = round((time.monotonic() - begun) / len(group.lines), 3)
    told = []
    for line in group.lines:
        seed = getattr(line.job.request, "seed", None) if line.job is not None and len(group.lines) > 1 else None
        own = [name for drawn, names in files if seed is None or drawn == seed for name in names]
        told.append(told_of(line, DONE, files=own, seconds=seconds))
    return told


def _kept(result: Any, line: Line, number: int, place: Place) -> list[str]:
    """A picture and what stands beside it, under names that a second run gives, too."""
    stem = f"{line.number:05d}-{number:03d}-{file_stem(line.name or result.name)}"
    paths = [save_picture(result.picture, place.written(f"{stem}.png"))]
    paths += [save_picture(one, place.written(f"{stem}-{file_stem(part)}.png")) for part, one in result.beside.items()]
    return [place.keep(path) for path in paths]


def _sheet(sheet: Any, line: Line, place: Place) -> str:
    path = place.written(f"{line.number:05d}-{file_stem(sheet.name)}{sheet.suffix}")
    with written_file(path) as part:
        sheet.write(part)
    return place.keep(path)
