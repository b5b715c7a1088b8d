"""Gradio's routes that are open: those that the page itself uses. Whatever else there is, or comes, is not found."""

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal[
    "page", "static", "file", "upload", "upload progress", "canvas", "ask", "answers", "alive", "form"
]

_API = "/gradio_api"
_READ, _WRITE = frozenset({"GET", "HEAD"}), frozenset({"POST"})
_LONGEST_NAME, _LONGEST_PATH = 255, 2000  # bytes that every system takes
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class Route:
    """A route of the page, and what its requests are looked through for."""

    kind: Kind
    methods: frozenset[str]
    rest: str = ""  # of the path, behind the route's own part


_EXACT = {
    "/": Route("page", _READ),
    "/config": Route("static", _READ),
    "/theme.css": Route("static", _READ),
    "/favicon.ico": Route("static", _READ),
    "/manifest.json": Route("static", _READ),
    "/robots.txt": Route("static", _READ),
    f"{_API}/app_id": Route("static", _READ),
    f"{_API}/upload": Route("upload", _WRITE),
    f"{_API}/upload_progress": Route("upload progress", _READ),
    f"{_API}/component_server": Route("canvas", _WRITE),
    f"{_API}/queue/join": Route("ask", _WRITE),
    f"{_API}/queue/data": Route("answers", _READ),
    f"{_API}/cancel": Route("form", _WRITE),
    f"{_API}/reset": Route("form", _WRITE),
}
_BELOW = {
    "/assets/": Route("static", _READ),
    "/static/": Route("static", _READ),
    "/history/": Route("static", _READ),  # the page's own: pictures of the history
    f"{_API}/file=": Route("file", _READ),
    f"{_API}/heartbeat/": Route("alive", _READ),
}


def route_of(path: str) -> Route | None:
    """The open route at a path; None where there is none."""
    exact = _EXACT.get(path.rstrip("/") or "/")
    if exact is not None:
        return exact
    for start, route in _BELOW.items():
        if path.startswith(start) and (route.kind != "static" or _names_files(path)):
            return Route(route.kind, route.methods, path[len(start) :])
    return None


def is_id(text: object) -> bool:
    """Whether this can be the name of a session, an upload or an event: what the page's own are made of."""
    return isinstance(text, str) and _ID.fullmatch(text) is not None


def whole_number(text: object) -> int | None:
    """The number that a form's field is, in plain digits and not many; None for anything else."""
    is_one = isinstance(text, str) and text.isascii() and text.isdigit() and len(text) < 10
    return int(str(text)) if is_one else None


def _names_files(path: str) -> bool:
    lengths = [len(part.encode("utf-8", "replace")) for part in (path, *path.split("/"))]
    return "\0" not in path and lengths[0] <= _LONGEST_PATH and max(lengths[1:]) <= _LONGEST_NAME
