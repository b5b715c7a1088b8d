"""Serving a workshop, and its page where there is one, on one port."""

import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from app.api.application import application
from app.api.tokens import Tokens
from app.doors.access import Access, Limits
from app.doors.connections import patient
from app.doors.listening import is_loopback, listen
from app.jobs.workshop import Workshop
from blipdiff.errors import ConfigError

_SECONDS_TO_END = 2  # for connections that a browser keeps open
_SECONDS_KEPT_OPEN = 5  # a connection, for the next request
_LONGEST_HEAD = 32_768  # bytes


@dataclass(frozen=True, slots=True)
class Running:
    """A workshop that is being served; leaving its `with` block ends it."""

    url: str
    workshop: Workshop
    server: uvicorn.Server
    thread: threading.Thread

    @property
    def page(self) -> str:
        """The address of the page."""
        return f"{self.url}/"

    def wait(self) -> None:
        """Returns when the person presses Ctrl-C, or the server has ended by itself."""
        try:
            while self.thread.is_alive():
                self.thread.join(1)
        except KeyboardInterrupt:
            return

    def close(self) -> None:
        """Ends the server, and the workers after their step; what they drew waits for the next start."""
        self.server.should_exit = True
        self.thread.join(2 * _SECONDS_TO_END)
        self.workshop.close()

    def __enter__(self) -> "Running":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def serve(
    workshop: Workshop,
    *,
    access: Access | None = None,
    tokens: Tokens | None = None,
    listening: socket.socket | None = None,
    webhooks: Sequence[str] = (),
    page: ASGIApp | None = None,
    speaks_mcp: bool = False,
) -> Running:
    """Serves a workshop, which begins to draw: to this machine alone unless `listening` is elsewhere.

    page: what answers at all places that are not the interfaces'; speaks_mcp: whether programs find tools at /mcp

    Raises: ConfigError for an address that everybody could reach.
    """
    access = access or Access()
    tokens = tokens or Tokens.of(access.credentials.token)
    listening = listening or listen("127.0.0.1")
    address, number = listening.getsockname()[:2]
    if page is None:
        check_reach(str(address), tokens, access)
    else:
        access.check(str(address))
    app = application(workshop, access, tokens, webhooks=webhooks, page=page, speaks_mcp=speaks_mcp)
    server = uvicorn.Server(_configured(app, access.limits))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="server", daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    workshop.start()
    if page is None:
        workshop.wake()
    shown = f"[{address}]" if ":" in address else address
    return Running(f"http://{shown}:{number}", workshop, server, thread)


def check_reach(host: str, tokens: Tokens, access: Access) -> None:
    """Passes when nobody comes in unasked from another machine. Raises: ConfigError when anybody could."""
    is_asked = tokens.are_asked_for or access.credentials.are_asked_for
    if not (is_asked or access.is_insecure or is_loopback(host)):
        raise ConfigError(
            f"At {host} other machines reach the server. Ask them for a token (--token TOKEN, or --tokens FILE), or "
            "say --insecure to let everybody in."
        )


def _configured(app: Any, limits: Limits) -> uvicorn.Config:
    """uvicorn's settings: no headers of proxies believed, no connection held open without asking."""
    return uvicorn.Config(
        app,
        http=patient(limits.seconds, limits.connections),
        ws="none",
        log_level="warning",
        proxy_headers=False,  # whoever asks could claim to be anybody
        server_header=False,
        backlog=limits.connections,
        timeout_keep_alive=_SECONDS_KEPT_OPEN,
        timeout_graceful_shutdown=_SECONDS_TO_END,
        h11_max_incomplete_event_size=_LONGEST_HEAD,
    )
