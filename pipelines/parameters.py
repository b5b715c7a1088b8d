"""What can be asked for: every parameter with its range, step, help and group, declared once.

Command-line options, controls of the page and fields of a job are made from these declarations.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from blipdiff.conditioning.prompt import checked_category, checked_text
from blipdiff.errors import ConfigError, PromptError

LONGEST_CATEGORY = 100  # letters

# Groups in which parameters are shown, by the command line and the page alike; a task may have others of its own.
SUBJECT, WORDS, PICTURES, STRUCTURES, SAMPLING = "Subject", "Words", "Pictures", "Structures", "Sampling"
DETAILS = "Details"

_Request = TypeVar("_Request")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a request as people see it."""

    label: str
    help: str
    low: float | None = None
    high: float | None = None
    step: float | None = None
    choices: tuple[str, ...] = ()
    group: str = ""  # where it is shown; the task's own group if empty
    flag: str = ""  # its option's name without the dashes, where that is not the field's
    is_category: bool = False  # whether it says what a thing is, in a word or two
    aliases: tuple[str, ...] = ()  # names that it had, which are still taken
    old_choices: tuple[tuple[str, str], ...] = ()  # the same of its choices: old, new


def parameter(default: Any, label: str, help_text: str, **limits: Any) -> Any:
    """A dataclass field that carries its `Parameter`."""
    return field(default=default, metadata={"parameter": Parameter(label, help_text, **limits)})


def fraction(default: float | None, label: str, help_text: str, **limits: Any) -> Any:
    """A parameter from 0 to 1."""
    return parameter(default, label, help_text, **({"low": 0.0, "high": 1.0, "step": 0.05} | limits))


def parameters(kind: type) -> dict[str, Parameter]:
    """The declared parameters of a request's class, by name."""
    return {item.name: item.metadata["parameter"] for item in fields(kind) if "parameter" in item.metadata}


def check(request: Any) -> None:
    """Every declared parameter within its range and choices, of its kind, finite, and a text that can be read.

    Raises: ConfigError naming the parameter, its value and what is allowed; PromptError for what should be text.
    """
    _check_values(type(request), {item.name: getattr(request, item.name) for item in fields(request)})


def checked_values(kind: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Some of a request's values, under their names of today, each as `check` wants it and as a request holds it.

    Raises: ConfigError for a key that this version does not know, and as `check`.
    """
    found = _read_values(kind, values)
    _check_values(kind, found)
    return found


def _check_values(kind: type, values: Mapping[str, Any]) -> None:
    hints = get_type_hints(kind)
    for item in fields(kind):
        declared = item.metadata.get("parameter")
        if declared is None or item.name not in values:
            continue
        value = values[item.name]
        if value is not None or item.default is not None:
            _check_value(declared, value, hints[item.name])


def _check_value(declared: Parameter, value: Any, hint: Any) -> None:
    _check_kind(declared, value, hint)
    if declared.is_category:
        check_category(value)
    elif isinstance(value, str) and not declared.choices:
        checked_text(value, declared.label[:1].lower() + declared.label[1:])
    for one in value if isinstance(value, tuple) else (value,):
        if declared.choices and one not in declared.choices:
            raise ConfigError(f"{declared.label} is '{one!s:.60}'; choose one of: {', '.join(declared.choices)}.")
    if declared.low is None or declared.high is None:
        return
    whole = is_whole(declared)
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        raise ConfigError(f"{declared.label} must be a {'whole ' if whole else ''}number, not {value!r:.60}.")
    if not declared.low <= value <= declared.high:  # not-a-number lies in no range
        raise ConfigError(f"{declared.label} is {value!s:.60}; it goes from {declared.low:g} to {declared.high:g}.")


def is_whole(declared: Parameter) -> bool:
    """Whether a number is a whole one."""
    return isinstance(declared.step, int)


def check_category(category: str) -> None:
    """Raises: PromptError for a category that is empty, has control characters, or is no word or two."""
    length = len(checked_category(category))
    if length > LONGEST_CATEGORY:
        raise PromptError(
            f"The category has {length} letters, more than {LONGEST_CATEGORY}; "
            "say in a word or two what the subject is."
        )


def _check_kind(declared: Parameter, value: Any, hint: Any) -> None:
    """Numbers are checked with their range; here what else a JSON value can be taken for."""
    allowed = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    if str in allowed and not declared.choices and not isinstance(value, str):
        raise PromptError(f"{declared.label} must be text, not {value!r:.60}.")
    if bool in allowed and not isinstance(value, bool):
        raise ConfigError(f"{declared.label} must be true or false, not {value!r:.60}.")
    if get_origin(hint) is tuple and not isinstance(value, tuple):
        raise ConfigError(f"{declared.label} must be a list, not {value!r:.60}.")


def plain(value: Any) -> Any:
    """A request, or a value of one, as JSON can hold it; `request_from` reads it."""
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: plain(getattr(value, item.name)) for item in fields(value) if item.init}
    if isinstance(value, Mapping):
        return {key: plain(one) for key, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list | tuple) else value


def request_from(kind: type[_Request], values: Mapping[str, Any]) -> _Request:
    """A request of this kind from what `plain` made of one; keys that this version does not know are refused.

    Raises: ConfigError for an unknown key or a value out of range.
    """
    try:
        return kind(**_read_values(kind, values))
    except TypeError as error:  # a value is missing, or of a kind that nobody expects there
        raise ConfigError(f"The request is damaged, or of a newer version: {error}.") from error


def _read_values(kind: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Values under their names of today, lists and mappings as the values that they were."""
    hints = get_type_hints(kind)
    known = {item.name for item in fields(kind) if item.init}
    renamed = {old: name for name, one in parameters(kind).items() for old in one.aliases}
    values = {renamed.get(name, name): value for name, value in values.items()}
    for name, one in parameters(kind).items():
        if name in values and isinstance(values[name], str):
            values[name] = dict(one.old_choices).get(values[name], values[name])
    unknown = sorted(set(map(str, values)) - known)
    if unknown:
        raise ConfigError(f"The request has keys that this version does not know: {', '.join(unknown)}.")
    try:
        return {name: _typed(name, value, hints[name]) for name, value in values.items()}
    except TypeError as error:
        raise ConfigError(f"The request is damaged, or of a newer version: {error}.") from error


def _typed(name: str, value: Any, hint: Any) -> Any:
    """Lists as the tuples that a request holds, and mappings in them as the values that they were."""
    if get_origin(hint) is not tuple:
        return value
    if not isinstance(value, list | tuple):
        raise ConfigError(f"The request is damaged: {name} must be a list, not {value!r:.60}.")
    kind = get_args(hint)[0]
    if not is_dataclass(kind):
        return tuple(value)
    if not all(isinstance(one, Mapping) for one in value):
        raise ConfigError(f"The request is damaged: {value!r:.60} is no list of settings.")
    return tuple(request_from(kind, one) for one in value)  # type: ignore[arg-type]
