"""Serving the workshop: uvicorn on a listening socket, in a thread of its own."""

import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import uvicorn

from app.api.application import application
from app.api.tokens import Tokens
from app.jobs.workshop import Workshop
from app.ui.doors.access import Access, Limits
from app.ui.doors.connections import patient
from app.ui.doors.listening import is_loopback, listen
from blipdiff.errors import ConfigError

_SECONDS_TO_END = 2
_SECONDS_KEPT_OPEN = 5
_LONGEST_HEAD = 32_768  # bytes


@dataclass(frozen=True, slots=True)
class RunningWorkshop:
    """A workshop that is being served; leaving its `with` block ends it."""

    url: str
    workshop: Workshop
    server: uvicorn.Server
    thread: threading.Thread

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

    def __enter__(self) -> "RunningWorkshop":
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
    page: Any = None,
) -> RunningWorkshop:
    """Serves a workshop, which begins to draw: to this machine alone unless `listening` is elsewhere.

    Raises: ConfigError for an address that everybody could reach.
    """
    access, tokens = access or Access(), tokens or Tokens()
    listening = listening or listen("127.0.0.1")
    address, number = listening.getsockname()[:2]
    check_reach(str(address), tokens, access)
    app = application(workshop, access, tokens, webhooks=webhooks, page=page)
    server = uvicorn.Server(configured(app, access.limits))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="server", daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    workshop.start()
    shown = f"[{address}]" if ":" in address else address
    return RunningWorkshop(f"http://{shown}:{number}", workshop, server, thread)


def check_reach(host: str, tokens: Tokens, access: Access) -> None:
    """Passes when nobody comes in unasked from another machine. Raises: ConfigError when anybody could."""
    if not (tokens.are_asked_for or access.is_insecure or is_loopback(host)):
        raise ConfigError(
            f"At {host} other machines reach the server. Ask them for a token (--token TOKEN, or --tokens FILE), or "
            "say --insecure to let everybody in."
        )


def configured(app: Any, limits: Limits) -> uvicorn.Config:
    """uvicorn's settings: no headers of proxies believed, no connection held open without asking."""
    return uvicorn.Config(
        app,
        http=patient(limits.seconds, limits.connections),
        ws="none",
        log_level="warning",
        proxy_headers=False,
        server_header=False,
        backlog=limits.connections,
        timeout_keep_alive=_SECONDS_KEPT_OPEN,
        timeout_graceful_shutdown=_SECONDS_TO_END,
        h11_max_incomplete_event_size=_LONGEST_HEAD,
    )
