"""The form of the page <-> requests: what was typed becomes a request, and a request fills the form."""

import secrets
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from typing import Any

from app.ui.parts import is_number, is_typed_as_text
from blipdiff.errors import ConfigError
from blipdiff.ranges import USUAL_GUIDANCE
from pipelines.requests import GenerateRequest, from_mapping, parameters

_DECLARED = parameters(GenerateRequest)
NAMES = tuple(_DECLARED)
CHOICES = {name: declared.choices for name, declared in _DECLARED.items() if declared.choices}

_DEFAULTS: dict[str, Any] = {item.name: item.default for item in fields(GenerateRequest) if item.name in NAMES}
_DEFAULTS["guidance"] = USUAL_GUIDANCE  # the page shows a number; the tab puts the model's own in its place
_AUTHORS = {"scheduler": "pndm", "steps": 50, "fit": "crop", "repeats": 20}
_RANDOM_SEEDS = 2**32


def starting_value(name: str) -> Any:
    """A parameter's default, as its control shows it."""
    return _shown(name, _DEFAULTS[name])


def request_of(values: Mapping[str, Any], *, random_seed: bool) -> GenerateRequest:
    """The request that the form asks for, with a seed drawn where a random one is wanted.

    Raises: ConfigError for a number that is missing, malformed or out of range; PromptError for unreadable text.
    """
    asked = {name: _asked(name, values[name]) for name in NAMES if not (random_seed and name == "seed")}
    if random_seed:
        asked["seed"] = secrets.randbelow(_RANDOM_SEEDS)
    return GenerateRequest(**asked)


def values_of(request: GenerateRequest) -> dict[str, Any]:
    """What the controls show for a request."""
    return {name: _shown(name, value) for name, value in asdict(request).items() if name in NAMES}


def values_from_picture(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What the controls show to draw a picture again: its request, starting at the picture's own seed.

    Raises: ConfigError for settings that this version does not know.
    """
    request = from_mapping({name: value for name, value in metadata["request"].items() if name != "subject"})
    return values_of(replace(request, seed=metadata["seed"]))


def differences() -> str:
    """One line: which starting values differ from those of the method's authors."""
    found = [
        f"{_DECLARED[name].label.lower()} {_DEFAULTS[name]} (theirs: {theirs})"
        for name, theirs in _AUTHORS.items()
        if _DEFAULTS[name] != theirs
    ]
    return f"These starting values differ from the authors' code: {', '.join(found)}."


def _shown(name: str, value: Any) -> Any:
    if is_typed_as_text(_DECLARED[name], _DEFAULTS[name]) or not is_number(_DECLARED[name]):
        return "" if value is None else str(value)
    return value


def _asked(name: str, value: Any) -> Any:
    """A control's value as the request wants it; an empty text stands for a default of None."""
    if isinstance(value, str) and not value.strip() and _DEFAULTS[name] is None:
        return None
    if value is None and _DEFAULTS[name] is not None:
        raise ConfigError(f"{_DECLARED[name].label} is empty; give a value.")
    if is_typed_as_text(_DECLARED[name], _DEFAULTS[name]):
        return _whole(name, value)
    return value


def _whole(name: str, value: Any) -> int:
    text = str(value).strip()
    if not (text.isascii() and text.isdigit()) or len(text) > 30:
        raise ConfigError(f"{_DECLARED[name].label} is '{text[:30]}'; give a whole number of 0 or more.")
    return int(text)
