"""A task's options as they were given, with a preset's values where none was."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import typer

from app.cli.draw import GIVEN
from app.cli.options import OLD, was_given
from app.settings import read_settings
from pipelines.parameters import parameters
from pipelines.presets.preset import Preset
from pipelines.presets.store import Presets
from pipelines.task import Task


@dataclass(frozen=True, slots=True)
class Asked:
    """A task's options as they were given, by their parameters' names."""

    task: Task
    context: typer.Context
    values: Mapping[str, Any]
    preset: Preset | None = None

    @classmethod
    def of(cls, task: Task, context: typer.Context, values: Mapping[str, Any]) -> "Asked":
        """The options with a preset's values where none was given. Raises: ConfigError for a preset that is none."""
        name = values.get("from_preset")
        if name is None:
            return cls(task, context, values)
        preset, found = Presets(read_settings().presets).get(name, task.name), dict(values)
        for key, value in preset.values.items():
            names = (key, *(OLD + old for old in parameters(task.request)[key].aliases)) if key in found else ()
            if names and not any(was_given(context, one) for one in names):
                found[key] = list(value) if isinstance(value, tuple) else value
        sides = [preset.values.get(side) for side in ("width", "height")]
        if any(sides) and not was_given(context, "size"):
            found["size"] = "x".join(str(side or sides[0] or sides[1]) for side in sides)
        return cls(task, context, found, preset)

    def inputs(self, name: str) -> list[Any]:
        """What was given of one input."""
        value = self.values.get(GIVEN + name)
        return list(value) if isinstance(value, list | tuple) else [] if value is None else [value]

    def flag(self, name: str) -> str:
        """The option of a parameter, as --help shows it."""
        return next(str(param.opts[0]) for param in self.context.command.params if param.name == name)
