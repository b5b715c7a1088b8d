"""A file of jobs is drawn."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import typer

from app.cli.runs import drawing
from app.cli.terminal import say, say_json, warn
from app.jobs.batch import Group, Journal, Line, groups, read_lines
from app.outputs import check_writable
from app.settings import read_settings
from blipdiff.errors import BlipdiffError, ConfigError
from blipdiff.filenames import file_stem
from blipdiff.outputs import written_file
from pipelines.batches import draw
from pipelines.generate.together import prepare_together
from pipelines.job import Job, run
from pipelines.pictures import save_picture
from pipelines.studio import Studio
from pipelines.task import Result, Sheet

_FAILED = 1  # exit code where lines failed
_MOST_LISTED = 20


def batch(
    jobs: Path,
    output: Path,
    task: str,
    subject: list[str] | None,
    category: str | None,
    settings: list[str] | None,
    together: bool,
    as_json: bool,
    model: str,
    device: str,
    dtype: str,
    engine: str,
    download: bool,
) -> None:
    """Runs the command."""
    check_writable(output)
    lines = read_lines(jobs, read_settings().library, task, _shared(subject, category, settings))
    journal = Journal.read(output)
    left = [line for line in lines if not journal.has(line)]
    if len(left) < len(lines):
        warn(f"{len(lines) - len(left)} of {len(lines)} lines are done already.")
    failed = [_told(journal, line, "failed", as_json, error=line.trouble) for line in left if line.job is None]
    waiting = list(groups(left, together=together))
    if waiting:
        studio = drawing.opened(model, device=device, dtype=dtype, engine=engine, download=download)
        for number, group in enumerate(waiting, 1):
            failed += _drawn(studio, group, journal, as_json=as_json)
            warn(f"{number} of {len(waiting)}: line {group.lines[0].number}")
    _end(len(lines), [one for one in failed if one["state"] == "failed"])


def _shared(subject: list[str] | None, category: str | None, settings: list[str] | None) -> dict[str, Any]:
    """What holds in all lines that do not say otherwise. Raises: ConfigError for a setting without a value."""
    found: dict[str, Any] = {}
    for text in settings or ():
        name, sign, value = text.partition("=")
        if not sign or not name.strip():
            raise ConfigError(f"--set {text}: write it as NAME=VALUE, steps=30.")
        found[name.strip().replace("-", "_")] = value.strip()
    if subject:
        found["subject"] = [_from_here(one) for one in subject]
    return found | ({} if category is None else {"category": category})


def _from_here(subject: str) -> str:
    """A subject's file from this folder on, not from that of the jobs; names and words stay."""
    word, sign, path = subject.partition("=")
    if subject.startswith("@") or (sign and path.startswith("@")):
        return subject
    is_bound = bool(sign) and not Path(subject).exists()
    return f"{word}={Path(path).absolute()}" if is_bound else str(Path(subject).absolute())


def _drawn(studio: Studio, group: Group, journal: Journal, *, as_json: bool) -> list[dict[str, Any]]:
    """What became of each line of a group."""
    try:
        drawn = _rows if group.job is None else _one
        return list(drawn(studio, group, journal, as_json))
    except BlipdiffError as error:
        if len(group.lines) > 1:  # one of them spoils it for the others
            alone = [Group((line,), line.job) for line in group.lines]
            return [told for one in alone for told in _drawn(studio, one, journal, as_json=as_json)]
        return [_told(journal, line, "failed", as_json, error=str(error)) for line in group.lines]


def _rows(studio: Studio, group: Group, journal: Journal, as_json: bool) -> Iterator[dict[str, Any]]:
    """Lines that are rows of one batch."""
    lines, begun = group.lines, time.monotonic()
    jobs = [line.job.opened() for line in lines if line.job is not None]
    found = [event for event in draw(studio, prepare_together(studio, jobs)) if isinstance(event, Result)]
    seconds = round((time.monotonic() - begun) / len(lines), 3)
    for result in found:
        line = lines[result.detail]
        files = _kept(result, line, 0, journal.path.parent)
        yield _told(journal, line, "done", as_json, files=files, seconds=seconds, together=len(lines))


def _one(studio: Studio, group: Group, journal: Journal, as_json: bool) -> Iterator[dict[str, Any]]:
    """Lines that one job draws."""
    folder, begun = journal.path.parent, time.monotonic()
    files: list[tuple[int | None, list[str]]] = []
    for event in run(studio, cast("Job", group.job)):
        if isinstance(event, Result):
            files.append((event.picture.seed, _kept(event, group.lines[0], len(files), folder)))
        elif isinstance(event, Sheet):
            files.append((None, [_sheet(event, group.lines[0], folder)]))
    seconds = round((time.monotonic() - begun) / len(group.lines), 3)
    for line in group.lines:
        seed = getattr(line.job.request, "seed", None) if line.job is not None and len(group.lines) > 1 else None
        own = [name for drawn, names in files if seed is None or drawn == seed for name in names]
        yield _told(journal, line, "done", as_json, files=own, seconds=seconds)


def _kept(result: Any, line: Line, number: int, folder: Path) -> list[str]:
    """A picture and what stands beside it, under names that a second run gives, too."""
    stem = f"{line.number:05d}-{number:03d}-{file_stem(line.name or result.name)}"
    paths = [save_picture(result.picture, folder / f"{stem}.png")]
    paths += [save_picture(one, folder / f"{stem}-{file_stem(part)}.png") for part, one in result.beside.items()]
    return [path.name for path in paths]


def _sheet(sheet: Any, line: Line, folder: Path) -> str:
    path = folder / f"{line.number:05d}-{file_stem(sheet.name)}{sheet.suffix}"
    with written_file(path) as part:
        sheet.write(part)
    return path.name


def _told(journal: Journal, line: Line, state: str, as_json: bool, **more: Any) -> dict[str, Any]:
    """Writes down what became of a line, and says so."""
    told = {"line": line.number, "name": line.name, "state": state, **more, "key": line.key}
    journal.write(told)
    if as_json:
        say_json(told)
    elif state == "done":
        for name in more["files"]:
            say(journal.path.parent / name)
    return told


def _end(count: int, failed: list[dict[str, Any]]) -> None:
    """Lists the lines that failed, and ends with their exit code."""
    if not failed:
        return
    warn(f"{len(failed)} of {count} lines failed; the next call tries them again:")
    for one in failed[:_MOST_LISTED]:
        warn(f"  line {one['line']}: {one['error']}")
    if len(failed) > _MOST_LISTED:
        warn(f"  and {len(failed) - _MOST_LISTED} more, all in results.jsonl.")
    raise typer.Exit(_FAILED)
