"""Answers that the doors give themselves, and what they add to every other one."""

from collections.abc import Callable
from typing import Any, TypeAlias

from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

Headers: TypeAlias = dict[str, str]

# Gradio's page starts inline scripts and compiles the ones of its events; what it shows never does: attributes of
# elements run nothing, and nothing comes from or goes to another site.
_PAGE_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
        "script-src-attr 'none'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "media-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self' data: blob:",
        "worker-src 'self' blob:",
        "manifest-src 'self'",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
_FILE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'"  # a file never runs
_EVERY = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
}
_OURS_ALONE = tuple(  # Gradio lets other sites read what it answers, where it thinks the host public
    f"access-control-{name}" for name in ("allow-origin", "allow-credentials", "allow-methods", "allow-headers")
)


class Refusal(Exception):
    """A request that is not served: its status, and a sentence for whoever asked."""

    def __init__(self, status: int, sentence: str, headers: Headers | None = None) -> None:
        super().__init__(sentence)
        self.status, self.sentence, self.headers = status, sentence, headers or {}

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Tells it, and ends the connection: the rest of a body is not read."""
        headers = {"Connection": "close", **self.headers} if scope["method"] not in ("GET", "HEAD") else self.headers
        await PlainTextResponse(self.sentence, self.status, headers)(scope, receive, send)


def guarded(send: Send, *, is_file: bool = False, own: Headers | None = None) -> tuple[Send, Callable[[], bool]]:
    """`send` with the headers that every answer carries, and whether an answer has begun."""
    has_begun = False

    async def with_headers(message: Message) -> None:
        nonlocal has_begun
        if message["type"] == "http.response.start":
            has_begun = True
            _change(message, is_file=is_file, own=own or {})
        await send(message)

    return with_headers, lambda: has_begun


def _change(message: Any, *, is_file: bool, own: Headers) -> None:
    headers = MutableHeaders(raw=list(message.get("headers", [])))
    for name in _OURS_ALONE:
        del headers[name]
    headers.update(_EVERY)
    headers["Content-Security-Policy"] = _FILE_POLICY if is_file else _PAGE_POLICY
    if is_file or headers.get("content-type", "").startswith(("text/html", "application/json")):
        headers["Cache-Control"] = "private, no-cache" if is_file else "no-store"
    for name, value in own.items():
        headers[name] = value
    message["headers"] = headers.raw
