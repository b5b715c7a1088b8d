"""How every task is run from the command line: its model is opened, its pictures are saved, and where is said."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import typer

from app.cli.progress import told, waiting
from app.cli.runs.asked import job_like, new_job
from app.cli.runs.given import Asked
from app.cli.terminal import say, say_json, warn
from app.jobs.own_files import OwnFiles
from app.outputs import check_writable, save_result, save_sheet
from app.settings import read_settings
from blipdiff.checkpoints.additions import Additions
from blipdiff.checkpoints.additions import told as told_of
from blipdiff.checkpoints.inventory import shortage
from blipdiff.devices import placement
from blipdiff.errors import ConfigError
from blipdiff.ranges import TORCH
from pipelines.added import LORA
from pipelines.evaluate.requests import EvaluationProgress
from pipelines.job import Job, run
from pipelines.metadata import engine_of, read_metadata
from pipelines.studio import Studio, purpose
from pipelines.task import Notice, Progress, Result, Sheet, Task

Event = TypeVar("Event")


def draw(
    task: Task, context: typer.Context, values: Mapping[str, Any], place: Mapping[str, Any], like: Path | None
) -> None:
    """Runs a task's command.

    place: the model, and where it runs; like: the picture that is drawn again
    """
    asked, notices, folders = Asked.of(task, context, values), list[str](), list[Path]()
    if like is None:
        job = new_job(asked, notices)
    else:
        metadata = read_metadata(like)
        job = job_like(asked, metadata, like)
        place = {**place, "additions": with_own_files(place.get("additions") or {}, job)}
        place = {**place, **{name: _made_at(metadata, name, place[name]) for name in ("device", "dtype", "engine")}}
        folders = [*map(Path, values.get("control_control") or ()), like.absolute().parent]
    check_writable(values["output"])
    for text in notices:
        if not values["as_json"]:
            warn(text)
    studio = opened(**place, folders=folders, quiet=values["as_json"])
    save(run(studio, job), values["output"], notices, metadata=values["metadata"], as_json=values["as_json"])


def with_own_files(given: Mapping[str, Any], job: Job) -> Mapping[str, Any]:
    """The additions of a command, with those that a picture was drawn with, where the folders of files hold them."""
    if not job.added or any(name in given for name in ("loras", "embeddings")):
        return given
    files, found = OwnFiles(read_settings().file_folders), dict[str, list[str]]()
    for one in job.added:
        with suppress(ConfigError):  # drawing says what is lacking
            [placed] = files.placed(replace(job, added=(one,))).added
            name, sign = ("loras", f":{one.weight:.12g}") if one.kind == LORA else ("embeddings", f"={one.name}")
            found.setdefault(name, []).append(f"{placed.place}{sign}")
    return {**given, **found}


def opened(
    model: str,
    *,
    device: str,
    dtype: str,
    engine: str = TORCH,
    download: bool = False,
    folders: Iterable[Path] = (),
    additions: Mapping[str, Any] | None = None,
    quiet: bool = False,
) -> Studio:
    """A studio with the model that a command was given; says what it is for, and where loading takes a while.

    engine: that computes its networks, torch's where nobody asks; additions: what goes on the model, by the names that
    `Additions.of` takes
    """
    added = Additions.of(**(additions or {}))
    if not quiet and (warning := shortage(model, placement(device, dtype))) is not None:
        warn(warning)
    with waiting(f"Loading {model}", quiet=quiet or download):  # what is fetched tells of itself
        studio = Studio.open(
            model,
            device=device,
            dtype=dtype,
            download=download,
            folders=[*folders],
            additions=added,
            engine=engine,
            converted=read_settings().converted,
        )
    sentence = purpose(studio.model)
    for text in [] if quiet else [*([] if sentence is None else [sentence]), *told_of(studio.model)]:
        warn(text)
    return studio


def save(events: Iterable[Any], output: Path, notices: list[str], *, metadata: bool, as_json: bool) -> None:
    """Shows the progress, saves each picture as it is done with what lies beside it, and tells where.

    As JSON: "pictures", each with its path and seed, the paths of what lies beside it, and what the task says of it;
    the paths of each kind of sheet, such as "grid" and "film"; "notices".
    """
    pictures, sheets = list[dict[str, Any]](), dict[str, list[str]]()
    for event in followed(events, notices, quiet=as_json):
        if isinstance(event, Result):
            paths = save_result(event, output, metadata=metadata)
            named = {name: str(path) for name, path in paths.items()}
            pictures.append({**named, "seed": event.picture.seed, **event.facts})
        elif isinstance(event, Sheet):
            paths = {event.kind: save_sheet(event, output)}
            sheets.setdefault(event.kind, []).append(str(paths[event.kind]))
        else:
            continue
        if not as_json:
            for path in paths.values():
                say(path)
    if as_json:
        say_json({"pictures": pictures, **sheets, "notices": notices})


def followed(events: Iterable[Event | Progress | Notice], notices: list[str], *, quiet: bool) -> Iterator[Event]:
    """The events that are results; progress is shown, and notices go to `notices` and to the standard error."""
    with told("steps", quiet=quiet) as shown:
        for event in events:
            if isinstance(event, Progress):
                shown.show(event.step, event.steps)
            elif isinstance(event, Notice):
                notices.append(event.text)
                shown.say(event.text)
            else:
                yield event


def staged(events: Iterable[Event | EvaluationProgress]) -> Iterator[Event]:
    """The events of an evaluation that are results; progress is shown with the name of its stage."""
    with told() as shown:
        for event in events:
            if isinstance(event, EvaluationProgress):
                shown.show(event.done, event.total, event.stage)
            else:
                shown.clear()
                yield event


def _made_at(metadata: Mapping[str, Any], name: str, asked: str) -> str:
    """Where the picture was made, so that it comes out bit for bit, unless the caller asks for another place."""
    if asked != "auto":
        return asked
    if name == "engine":
        return (engine_of(metadata) or TORCH).partition(" ")[0]
    place = metadata.get("place")
    made = place.get(name) if isinstance(place, dict) else None
    return made if isinstance(made, str) else asked
