"""A grid is drawn from the command line: each picture is saved as it is done, and the sheet at the end."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from app.cli.grid import X, Y
from app.cli.runs.asked import new_job
from app.cli.runs.drawing import opened, save
from app.cli.runs.given import Asked
from app.cli.terminal import warn
from app.outputs import check_writable
from blipdiff.errors import ConfigError
from pipelines.grid.request import grid_of
from pipelines.job import Job, run
from pipelines.task import Task


def draw(
    task: Task, context: typer.Context, values: Mapping[str, Any], place: Mapping[str, Any], like: Path | None
) -> None:
    """Runs the command.

    Raises: ConfigError without --x, and with --like, which draws one picture again.
    """
    if like is not None:
        raise ConfigError(f"A grid's pictures are drawn again one by one: blipdiff {task.name} --like {like}")
    if not values[X].strip():
        raise ConfigError("A grid needs --x with a parameter and its values: --x steps=8,12,20.")
    notices = list[str]()
    job = Job.of(grid_of(new_job(Asked.of(task, context, values), notices), values[X], values[Y])).opened()
    check_writable(values["output"])
    for text in notices:
        if not values["as_json"]:
            warn(text)
    studio = opened(**place, quiet=values["as_json"])
    save(run(studio, job), values["output"], notices, metadata=values["metadata"], as_json=values["as_json"])
