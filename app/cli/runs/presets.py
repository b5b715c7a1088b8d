"""Presets are listed, shown and kept."""

from dataclasses import replace
from pathlib import Path

from app.cli.terminal import say, say_json
from app.settings import read_settings
from blipdiff.errors import ConfigError
from pipelines.metadata import repeat
from pipelines.parameters import plain
from pipelines.presets.preset import SUFFIX, Preset
from pipelines.presets.store import Presets
from pipelines.task import task_named


def list_presets(task: str | None, folder: Path | None, as_json: bool) -> None:
    """List the presets with what they are for."""
    if task is not None:
        task_named(task)
    found = _presets(folder).all(task).values()
    if as_json:
        say_json(
            [
                {"name": one.name, "task": one.task, "description": one.description, "values": plain(dict(one.values))}
                for one in found
            ]
        )
        return
    for one in found:
        say(f"{one.name}  ({one.task})  {one.description}")


def show_preset(name: str, folder: Path | None) -> None:
    """Show a preset as its file holds it."""
    for line in _presets(folder).get(name).to_json().splitlines():
        say(line)


def save_preset(source: Path, name: str | None, description: str | None, words: bool, folder: Path | None) -> None:
    """Keep a picture's settings, or a preset that somebody gave."""
    if source.suffix.lower() == SUFFIX:
        preset = Preset.read(source)
        changes = {"name": name, "description": description}
        preset = replace(preset, **{key: value for key, value in changes.items() if value is not None})  # type: ignore[arg-type]
    elif name is None:
        raise ConfigError("Say what the preset shall be called: --name 'my look'.")
    else:
        preset = Preset.of_job(repeat(source), name, description or "", words=words)
    say(_presets(folder).save(preset))


def _presets(folder: Path | None) -> Presets:
    return Presets(read_settings().presets if folder is None else folder)
