"""Steps are fitted to a model, told as they are measured, and written where the model keeps them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from app.cli.progress import Progress
from app.cli.runs.asked import request_values
from app.cli.runs.drawing import opened
from app.cli.terminal import say, say_json
from app.outputs import check_writable
from blipdiff.checkpoints import save_model
from blipdiff.checkpoints.step_tables import STEPS_FILE, write_step_tables
from blipdiff.errors import ConfigError, OutputError
from blipdiff.models.step_tables import StepTable, StepTables
from blipdiff.outputs import written_file
from pipelines.fit_request import FitRequest
from pipelines.fit_steps import FitProgress, bundled_subjects, fit_steps, subjects_in


def schedule(
    model: str,
    subjects: Path | None,
    output: Path | None,
    device: str,
    dtype: str,
    download: bool,
    as_json: bool,
    **asked: Any,
) -> None:
    """Runs the command."""
    request = FitRequest(**request_values(FitRequest, asked, []))
    own = Path(model)
    if output is None and not (own / "model_index.json").is_file():
        raise ConfigError(f"{model} is no folder of a model that steps can be written into; give --output.")
    check_writable(own if output is None else output.parent)
    if output is not None:
        _check_free(output)
    photos = bundled_subjects() if subjects is None else subjects_in(subjects)
    studio = opened(model, device=device, dtype=dtype, download=download)
    found = _fitted(fit_steps(studio.model, photos, request), quiet=as_json)
    if output is None:
        with written_file(own / STEPS_FILE) as path:
            write_step_tables(found, path)
    else:
        save_model(replace(studio.model, step_tables=found), output)
    if as_json:
        say_json({"file": str((output or own) / STEPS_FILE), "dial": dict(found.dial)})
        return
    say(", ".join(f"{speed}: {calls} calls" for speed, calls in found.dial.items()))
    say((output or own) / STEPS_FILE)


def _check_free(output: Path) -> None:
    """Passes where a model can be written, asked before the long work. Raises: OutputError where other things are."""
    if output.is_dir():
        holds_other = any(output.iterdir()) and not (output / "model_index.json").is_file()
    else:
        holds_other = output.exists()
    if holds_other:
        raise OutputError(f"{output} is there, and is no model's folder; give a new or an empty folder.")


def _fitted(events: Any, *, quiet: bool) -> StepTables:
    """The tables; each is told as soon as it is measured."""
    progress, found = Progress("call", quiet=quiet), None
    for event in events:
        if isinstance(event, FitProgress):
            progress.show(event.done, event.total)
        elif isinstance(event, StepTable) and event.decibels is not None:
            median, least = event.decibels
            progress.say(f"{len(event.timesteps)} calls: {median:g} dB, at least {least:g} dB")
        elif isinstance(event, StepTables):
            found = event
    progress.clear()
    if found is None:
        raise ConfigError("No steps were fitted.")
    return found
