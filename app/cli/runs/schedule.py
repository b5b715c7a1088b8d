"""Steps are fitted to a model, told as they are measured, and written where the model keeps them."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from app.cli.progress import told
from app.cli.runs.asked import request_values
from app.cli.runs.drawing import opened
from app.cli.terminal import say, say_json, warn
from app.outputs import check_file, check_writable
from blipdiff.checkpoints import load_model, save_model
from blipdiff.checkpoints.diffusers_layout import check_place
from blipdiff.checkpoints.step_tables import STEPS_FILE, write_step_tables
from blipdiff.devices import STORED
from blipdiff.errors import ConfigError, OutputError
from blipdiff.models.step_tables import StepTable, StepTables
from blipdiff.outputs import written_file
from pipelines.fit_request import FitRequest
from pipelines.fit_steps import FitProgress, fit_steps, shortfalls
from pipelines.trial_rows import bundled_subjects, subjects_in


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
    file = (own if output is None else output) / STEPS_FILE
    if output is not None:
        _check_free(output)
    elif (own / "model_index.json").is_file() and file.parent.is_dir():
        check_file(file)
    else:
        raise ConfigError(f"{model} is no folder of a model that steps can be written into; give --output.")
    photos = bundled_subjects() if subjects is None else subjects_in(subjects)
    studio = opened(model, device=device, dtype=dtype, download=download, quiet=as_json)
    if output is not None:
        check_place(studio.model, output)
    found = _fitted(fit_steps(studio.model, photos, request), quiet=as_json)
    if output is None:
        with written_file(file) as path:
            write_step_tables(found, path)
    else:
        del studio
        stored = load_model(model, dtype=STORED, download=download)  # not as it computed here
        save_model(replace(stored, step_tables=found), output)
    notices = shortfalls(found)
    if as_json:
        say_json({"file": str(file), "dial": dict(found.dial), "notices": notices})
        return
    for text in notices:
        warn(text)
    say(", ".join(f"{speed}: {_calls(calls)}" for speed, calls in found.dial.items()))
    say(file)


def _check_free(output: Path) -> None:
    """Passes where a model can be written, asked before the long work. Raises: OutputError where other things are."""
    check_writable(output.absolute().parent)
    if output.is_dir():
        holds_other = any(output.iterdir()) and not (output / "model_index.json").is_file()
    else:
        holds_other = output.exists()
    if holds_other:
        raise OutputError(f"{output} is there, and is no model's folder; give a new or an empty folder.")


def _fitted(events: Iterable[Any], *, quiet: bool) -> StepTables:
    """The tables; each is told as soon as it is measured."""
    found = None
    with told("calls", quiet=quiet) as progress:
        for event in events:
            if isinstance(event, FitProgress):
                progress.show(event.done, event.total)
            elif isinstance(event, StepTable) and event.decibels is not None:
                median, least = event.decibels
                progress.say(f"{_calls(len(event.timesteps))}: {median:g} dB, at least {least:g} dB")
            elif isinstance(event, StepTables):
                found = event
    if found is None:
        raise ConfigError("No steps were fitted.")
    return found


def _calls(count: int) -> str:
    return f"{count} call" if count == 1 else f"{count} calls"
