"""The form of the page <-> requests: what was typed becomes a request, a request or saved values fill the form."""

import secrets
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from typing import Any

from blipdiff.errors import BlipdiffError, ConfigError
from pipelines.requests import GenerateRequest, from_mapping, parameters

NAMES = tuple(parameters(GenerateRequest))

_DEFAULTS: dict[str, Any] = {item.name: item.default for item in fields(GenerateRequest) if item.name in NAMES}
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


def restored_values(saved: Any) -> dict[str, Any]:
    """Those of the values kept by the browser that a form of this version can still hold."""
    if not isinstance(saved, Mapping):
        return {}
    return {name: saved[name] for name in NAMES if name in saved and _fits(name, saved[name])}


def differences() -> str:
    """One line: which starting values differ from those of the method's authors."""
    declared = parameters(GenerateRequest)
    found = [
        f"{declared[name].label.lower()} {_DEFAULTS[name]} (theirs: {theirs})"
        for name, theirs in _AUTHORS.items()
        if _DEFAULTS[name] != theirs
    ]
    return f"These starting values differ from the authors' code: {', '.join(found)}."


def _shown(name: str, value: Any) -> Any:
    if name == "seed":
        return str(value)  # as text: a browser's numbers are not exact above 2**53
    return "" if value is None and name == "target" else value


def _asked(name: str, value: Any) -> Any:
    if name == "seed":
        return _whole_seed(value)
    if name == "target":
        return (value or "").strip() or None
    if value is None and _DEFAULTS[name] is not None:
        raise ConfigError(f"{parameters(GenerateRequest)[name].label} is empty; give a value.")
    return value


def _whole_seed(value: Any) -> int:
    text = str(value).strip()
    if not (text.isascii() and text.isdigit()) or len(text) > 30:
        raise ConfigError(f"The seed is '{text[:30]}'; give a whole number of 0 or more, or tick 'Random seed'.")
    return int(text)


def _fits(name: str, value: Any) -> bool:
    if not isinstance(value, str | int | float | None):
        return False
    if isinstance(_DEFAULTS[name], str) or name == "target":
        return isinstance(value, str) and (name not in ("scheduler", "fit") or _accepted(name, value))
    return _accepted(name, value)


def _accepted(name: str, value: Any) -> bool:
    try:
        replace(GenerateRequest(category="subject"), **{name: _asked(name, value)})
    except BlipdiffError:
        return False
    return True
