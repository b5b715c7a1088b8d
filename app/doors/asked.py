"""What a browser asks the page for, as JSON: checked and reduced to what the page's own script sends."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from app.doors.answers import Refusal
from app.doors.routes import is_id

MOST_LAYERS = 8  # of a canvas

_ASKED = ("data", "fn_index", "session_hash", "trigger_id", "event_data")
_FORM = ("session_hash", "fn_index", "event_id")
_FILE = ("path", "url", "layers")  # what tells a file from other values


def asked_of(body: bytes, blocks: Any, folder: Path) -> dict[str, Any]:
    """An event of the page with its values; files are those that the browser has put in `folder`.

    Raises: Refusal for an event that the page has not, values of another number, and files from elsewhere.
    """
    given = _mapping(body)
    event = {name: given[name] for name in _ASKED if name in given}
    number, values, trigger = event.get("fn_index"), event.get("data"), event.get("trigger_id")
    function = blocks.fns.get(number) if _is_whole(number) else None
    if function is None or function.fn is None:  # without a function it is for the browser alone
        raise Refusal(400, "The page has no such event; reload it.")
    if not is_id(event.get("session_hash")) or not (trigger is None or _is_whole(trigger)):
        raise Refusal(400, "The page has no such event; reload it.")
    if not isinstance(values, list) or len(values) != len(function.inputs):
        raise Refusal(400, "The event has other values than the page's; reload it.")
    for file in _files(values):
        _keep_own(file, folder)
    return event


def form_of(body: bytes) -> dict[str, Any]:
    """What calls an event off.

    Raises: Refusal for anything else.
    """
    given = _mapping(body)
    form = {name: given[name] for name in _FORM if name in given}
    if not all(_is_whole(value) if name == "fn_index" else is_id(value) for name, value in form.items()):
        raise Refusal(400, "This names no event of the page.")
    return form


def own_file(path: object, folder: Path) -> Path | None:
    """The file that a browser names, where it lies in the page's folder; None for any other."""
    if not isinstance(path, str) or not path or "\0" in path:
        return None
    try:
        found = Path(path).resolve()
        return found if found.is_file() and found.is_relative_to(folder.resolve()) else None
    except (OSError, RuntimeError, ValueError):  # too long, a loop of links
        return None


def _keep_own(file: dict[str, Any], folder: Path) -> None:
    """A file of the page's folder under its path alone: Gradio would fetch what an address names.

    What was pasted may be in the request itself.
    """
    if not str(file.get("url")).startswith("data:image/"):
        file.pop("url", None)
    file.pop("is_stream", None)
    layers = file.get("layers")
    if isinstance(layers, list) and len(layers) > MOST_LAYERS:
        raise Refusal(400, "The canvas has more layers than the page's.")
    path = file.get("path")
    if path is not None and own_file(path, folder) is None:
        raise Refusal(403, "The page does not have this file, or no longer; add it again.")


def _files(values: list[Any]) -> Iterator[dict[str, Any]]:
    """Every value that tells of a file, however deep; without recursion, which a hostile depth would end."""
    waiting: list[Any] = list(values)
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if any(name in value for name in _FILE):
                yield value
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)


def _mapping(body: bytes) -> dict[str, Any]:
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        raise Refusal(400, "The request is no JSON object.")
    return given


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31
