"""Options of control branches, made from what their settings declare."""

import inspect
from collections.abc import Iterator
from dataclasses import fields
from typing import Any, get_type_hints

from app.cli.options import keyword
from pipelines.controls.settings import ControlSettings
from pipelines.parameters import STRUCTURES, parameters

CONTROL = "control_"  # before the names of settings, so that a request may have parameters of the same names
_AMBIGUOUS = ("strength", "start", "stop")  # of the whole picture, where a control is not asked for
_FLAGS = {"map_settings": "map"}
_MAP_HELP = "Settings of the preprocessor: low=50,high=120. See `blipdiff preprocess --list`."


def control_flags(*, prefixed: bool) -> dict[str, str]:
    """The option of each setting, by its name; `prefixed` where a command has others of the same names."""
    names = [*parameters(ControlSettings)]
    names.insert(names.index("preprocessor") + 1, "map_settings")
    flags = {name: _FLAGS.get(name, name.replace("_", "-")) for name in names}
    return {
        name: f"--control-{flag}" if prefixed and name in _AMBIGUOUS else f"--{flag}" for name, flag in flags.items()
    }


def control_options(*, prefixed: bool) -> Iterator[inspect.Parameter]:
    """An option for each setting, given once for all structures or once each; guess mode holds for all."""
    declared, hints = parameters(ControlSettings), get_type_hints(ControlSettings)
    own = {item.name: item.default for item in fields(ControlSettings)}
    for name, flag in control_flags(prefixed=prefixed).items():
        if name == "map_settings":
            yield keyword(CONTROL + name, list[str] | None, flag, _MAP_HELP, STRUCTURES)
            continue
        one, shown = declared[name], True if own[name] is None else str(own[name])
        limits = "" if one.low is None or one.high is None else f" From {one.low:g} to {one.high:g}."
        if hints[name] is bool:
            text, switch = one.help, f"{flag}/--no-{flag.removeprefix('--')}"
            yield keyword(CONTROL + name, bool, switch, text, STRUCTURES, own[name])
            continue
        listed = f" One of: {', '.join(one.choices)}." if one.choices else ""
        kind: Any = list[float] if hints[name] is float else list[str]
        yield keyword(CONTROL + name, kind | None, flag, one.help + limits + listed, STRUCTURES, shown=shown)
