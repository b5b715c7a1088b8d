"""A file of jobs is drawn."""

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import typer

from app.cli.runs import drawing
from app.cli.runs.cluster import absolute, check_workers
from app.cli.terminal import say, say_json, warn
from app.jobs.batch import Journal, groups
from app.jobs.batch_drawing import DONE, FAILED, Place, drawn, told_of
from app.jobs.batch_lines import read_lines
from app.outputs import check_writable
from app.settings import read_settings
from blipdiff.errors import ConfigError

_FAILED = 1  # exit code where lines failed
_MOST_LISTED = 20
_TOLD_EVERY = 5.0  # seconds between sentences on how far many machines are


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
    ray: str | None,
    workers: str | None,
) -> None:
    """Runs the command."""
    check_writable(output)
    shared = _shared(subject, category, settings)
    opening: dict[str, Any] = {
        "model": model if ray is None else absolute(model),
        "device": device,
        "dtype": dtype,
        "engine": engine,
        "download": download,
    }
    if ray is not None:
        _end(*_told(_over_ray(jobs, output, task, shared, together, opening, ray, workers), output, as_json))
        return
    check_workers(ray, workers)
    lines = read_lines(jobs, read_settings().library, task, shared)
    journal = Journal.read(output)
    left = [line for line in lines if not journal.has(line)]
    if len(left) < len(lines):
        warn(f"{len(lines) - len(left)} of {len(lines)} lines are done already.")

    def ends() -> Iterator[dict[str, Any]]:
        for line in left:
            if line.job is None:
                yield told_of(line, FAILED, error=line.trouble)
        waiting = list(groups(left, together=together))
        studio = drawing.opened(**opening) if waiting else None
        for number, group in enumerate(waiting, 1):
            assert studio is not None
            yield from drawn(studio, group, Place(output))
            warn(f"{number} of {len(waiting)}: line {group.lines[0].number}")

    def written() -> Iterator[dict[str, Any]]:
        for told in ends():
            journal.write(told)
            yield told

    _, failed = _told(written(), output, as_json)
    _end(len(lines), failed)


def _over_ray(
    jobs: Path,
    output: Path,
    task: str,
    shared: dict[str, Any],
    together: bool,
    opening: dict[str, Any],
    ray: str,
    workers: str | None,
) -> Iterator[dict[str, Any]]:
    """The ends of lines that are drawn by the workers of a Ray cluster; how far they are is said now and then."""
    from app.cluster.batch import Batch, draw_over_ray
    from app.cluster.connection import Workers

    settings = read_settings()
    asked = Batch(
        jobs.absolute(), output.absolute(), settings.library.absolute(), task, shared, together, opening,
        settings.converted,
    )  # fmt: skip
    said = time.monotonic()
    for done, told in enumerate(draw_over_ray(asked, ray, Workers.of(workers), warn), 1):
        if time.monotonic() - said > _TOLD_EVERY:
            warn(f"{done} lines, line {told['line']} last")
            said = time.monotonic()
        yield told


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


def _told(ends: Iterable[dict[str, Any]], output: Path, as_json: bool) -> tuple[int, "_Failed"]:
    """Says what became of each line; how many there were, and those that failed."""
    count, failed = 0, _Failed()
    for told in ends:
        count += 1
        if as_json:
            say_json(told)
        elif told["state"] == DONE:
            for name in told["files"]:
                say(output / name)
        if told["state"] == FAILED:
            failed.add(told)
    return count, failed


class _Failed:
    """How many lines failed, and the first of them."""

    def __init__(self) -> None:
        self.count = 0
        self.first = list[dict[str, Any]]()

    def add(self, told: dict[str, Any]) -> None:
        """Counts one."""
        self.count += 1
        if len(self.first) < _MOST_LISTED:
            self.first.append(told)


def _end(count: int, failed: _Failed) -> None:
    """Lists the lines that failed, and ends with their exit code."""
    if not failed.count:
        return
    warn(f"{failed.count} of {count} lines failed; the next call tries them again:")
    for one in failed.first:
        warn(f"  line {one['line']}: {one['error']}")
    if failed.count > _MOST_LISTED:
        warn(f"  and {failed.count - _MOST_LISTED} more, all in results.jsonl.")
    raise typer.Exit(_FAILED)
