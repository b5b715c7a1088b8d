"""The page in the language of its visitor: which one that is, the page as it is served, and what its events answer.

Gradio's own `I18n` tells whole labels in the browser's language alone: no text within HTML or with values in it, and
nothing that somebody could switch. Here the server tells all of it; `I18n` is left to Gradio's own words, which follow.
"""

import gzip
import json
from collections.abc import Callable, Mapping
from typing import Any

import gradio as gr
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.settings import LANGUAGE_COOKIE
from app.ui.texts import ENGLISH, OTHERS, language, retold, script_texts, speaking, told_html, told_marked

_LABELS = ("label", "info", "placeholder")
_WORDS = ("html", "markdown", "button", "downloadbutton", "uploadbutton")  # components whose value is a text of ours
_HEAD = b"<head>"


def language_of(headers: Mapping[str, str], usual: str = "auto") -> str:
    """The language of a request: as chosen in its browser, else the program's, else the browser's first one."""
    known = (ENGLISH, *OTHERS)
    cookies = dict(one.strip().partition("=")[::2] for one in headers.get("cookie", "").split(";"))
    for chosen in (cookies.get(LANGUAGE_COOKIE), usual):
        if chosen in known:
            return str(chosen)
    wanted = [one.strip().partition(";q=") for one in headers.get("accept-language", "").split(",")]
    wanted.sort(key=lambda one: -_weight(one[2]))
    return next((name for one in wanted if (name := one[0].partition("-")[0].lower()) in known), ENGLISH)


def _weight(text: str) -> float:
    try:
        return float(text or 1)
    except ValueError:
        return 0.0


def told_by(tell: Callable[[str], str], config: Mapping[str, Any]) -> dict[str, Any]:
    """A page as Gradio tells it to browsers, each of its texts as `tell` has it."""
    return {**config, "components": [_component(one, tell) for one in config["components"]]}


def _component(one: dict[str, Any], tell: Callable[[str], str]) -> dict[str, Any]:
    props = dict(one["props"])
    for name in _LABELS:
        if isinstance(props.get(name), str):
            props[name] = tell(props[name])
    if one["type"] in _WORDS and isinstance(props.get("value"), str):
        tell_value = told_html if one["type"] == "html" else told_marked
        props["value"] = tell_value(props["value"], tell)
    if isinstance(props.get("choices"), list):
        props["choices"] = [(tell(str(name)), value) for name, value in props["choices"]]
    return {**one, "props": props}


async def _process_api(self: Any, *given: Any, **more: Any) -> Any:
    """An event, answered in the language of the browser that asks."""
    request = more.get("request")
    with speaking(language_of(request.headers, self.usual) if isinstance(request, gr.Request) else ENGLISH):
        return await gr.Blocks.process_api(self, *given, **more)


def _config(self: Any) -> Any:
    """What the page is, in the language of whoever asks for it."""
    spoken = language()
    if spoken == ENGLISH:
        return self.plain
    if spoken not in self.told:
        self.told[spoken] = told_by(retold, self.plain)
    return self.told[spoken]


def _set_config(self: Any, config: Any) -> None:
    self.plain, self.told = config, {}


# Gradio's page, made without its metaclass, which writes a stub beside Gradio's source
Page: Any = type.__new__(
    type(gr.Blocks),
    "Page",
    (gr.Blocks,),
    {"__module__": __name__, "process_api": _process_api, "config": property(_config, _set_config), "usual": "auto"},
)


class Spoken:
    """The application `inside`, which knows the language of each request; its page begins in it."""

    def __init__(self, inside: ASGIApp, usual: str = "auto") -> None:
        self._inside, self._usual = inside, usual

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application."""
        if scope["type"] != "http":
            await self._inside(scope, receive, send)
            return
        headers = Headers(scope=scope)
        with speaking(language_of(headers, self._usual)):
            if scope["path"] != "/" or scope["method"] != "GET":
                await self._inside(scope, receive, send)
                return
            rest = [(name, value) for name, value in scope["headers"] if name != b"accept-encoding"]
            page = _Beginning(send, is_packed="gzip" in headers.get("accept-encoding", ""))
            await self._inside({**scope, "headers": rest}, receive, page.send)


class _Beginning:
    """Puts what all scripts of the page need first before them: the language, and what they say in it.

    Gradio puts the scripts that it is given behind its own, which have asked the browser for its language by then.
    """

    def __init__(self, send: Send, *, is_packed: bool) -> None:
        self._send, self._is_packed = send, is_packed
        self._start: Message = {}
        self._body = b""

    async def send(self, message: Message) -> None:
        """Takes what the application answers."""
        if message["type"] == "http.response.start":
            self._start = message
            return
        self._body += message.get("body", b"")
        if message.get("more_body"):
            return
        headers = MutableHeaders(raw=list(self._start["headers"]))
        body = self._body.replace(_HEAD, _HEAD + _introduction(language()).encode(), 1)
        if self._is_packed:
            body = gzip.compress(body, 4)
            headers["content-encoding"] = "gzip"
        headers["content-length"] = str(len(body))
        headers["vary"] = "Accept-Encoding, Accept-Language, Cookie"
        await self._send({**self._start, "headers": headers.raw})
        await self._send({"type": "http.response.body", "body": body})


def _introduction(language: str) -> str:
    name = OTHERS.get(language, language)
    known = json.dumps({"language": language, "texts": script_texts(language)}).replace("<", "\\u003c")
    return (
        f"<script>window.blipdiff = {known}; document.documentElement.lang = {json.dumps(name)}; "
        f'Object.defineProperty(navigator, "language", {{ get: () => {json.dumps(name)} }});</script>'
    )
