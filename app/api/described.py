"""Tasks as programs see them: JSON schemas of their requests, made from the declared parameters."""

from dataclasses import MISSING, asdict, fields, is_dataclass
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from pipelines.parameters import is_whole, parameters, plain
from pipelines.task import InputKind, Task, tasks

_JSON = {str: "string", bool: "boolean", int: "integer", float: "number"}


def described() -> list[dict[str, Any]]:
    """All tasks."""
    return [described_task(task) for task in tasks().values()]


def described_task(task: Task) -> dict[str, Any]:
    """A task's name, what it takes, and the schema of its request."""
    return {
        "name": task.name,
        "summary": task.summary,
        "request": schema(task.request),
        "inputs": {name: _input(kind) for name, kind in task.inputs.items()},
    }


def schema(kind: type) -> dict[str, Any]:
    """The JSON schema of what `pipelines.parameters.request_from` takes for this kind of request."""
    hints, declared = get_type_hints(kind), parameters(kind)
    properties: dict[str, Any] = {}
    for item in fields(kind):
        if not item.init:
            continue
        found = _of_hint(hints[item.name])
        if item.name in declared:
            found = _limited(found, declared[item.name])
        if item.default is not MISSING:
            found["default"] = plain(item.default)
        properties[item.name] = found
    required = [item.name for item in fields(kind) if item.init and _is_required(item)]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _is_required(item: Any) -> bool:
    return item.default is MISSING and item.default_factory is MISSING


def _of_hint(hint: Any) -> dict[str, Any]:
    if get_origin(hint) in (Union, UnionType):
        kinds = [_of_hint(one) for one in get_args(hint) if one is not type(None)]
        found: dict[str, Any] = kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
        if type(None) in get_args(hint) and "type" in found:
            found["type"] = [found["type"], "null"]
        return found
    if get_origin(hint) is tuple:
        return {"type": "array", "items": _of_hint(get_args(hint)[0])}
    if is_dataclass(hint) and isinstance(hint, type):
        return schema(hint)
    return {"type": _JSON.get(hint, "object")}


def _limited(found: dict[str, Any], one: Any) -> dict[str, Any]:
    found |= {"title": one.label, "description": one.help}
    numbers = found
    if one.low is not None:
        numbers["minimum"] = one.low
    if one.high is not None:
        numbers["maximum"] = one.high
    if one.step is not None and not is_whole(one):
        numbers["x-step"] = one.step
    if one.choices:
        (found["items"] if found.get("type") == "array" else found)["enum"] = list(one.choices)
    if one.group:
        found["x-group"] = one.group
    return found


def _input(kind: InputKind) -> dict[str, Any]:
    return {name: value for name, value in asdict(kind).items() if name != "missing"}
