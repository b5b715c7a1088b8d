"""Serving a page from this machine: an own listening socket, so that a port in use is known before anything starts."""

import errno
import socket
import threading
import time
from dataclasses import dataclass
from types import TracebackType

import gradio as gr
import uvicorn
from fastapi import FastAPI

from app.ui.look import looks
from app.ui.orders import Orders
from blipdiff.errors import ConfigError

FIRST_PORT, PORTS_TRIED = 7860, 100

_LARGEST_UPLOAD = "100mb"
_SECONDS_TO_END = 2  # for connections that the browser keeps open
_SECONDS_FOR_A_STEP = 120
_REASONS = {
    errno.EADDRINUSE: "is in use by another program",
    errno.EACCES: "needs administrator's rights",
    errno.EADDRNOTAVAIL: "is not to be had: this machine has no such address",
}


@dataclass(frozen=True, slots=True)
class RunningPage:
    """A page that is being served; leaving its `with` block ends it."""

    url: str
    orders: Orders
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
        """Stops what is being drawn at its current step, and ends the server."""
        self.orders.close(_SECONDS_FOR_A_STEP)
        self.server.should_exit = True
        self.thread.join(2 * _SECONDS_TO_END)

    def __enter__(self) -> "RunningPage":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def serve(page: gr.Blocks, orders: Orders, *, host: str = "127.0.0.1", port: int | None = None) -> RunningPage:
    """Serves a page whose runs are in `orders`: from this machine only unless another `host` is given.

    Never through anybody else's server, and not with Gradio's own `launch`: that asks itself for the page through
    whatever proxy is set, gives up where the machine is busy, and then says that a public link is needed.

    port: None takes the first free one from 7860

    Raises: ConfigError for a port or an address that cannot be had.
    """
    listening = _listening(host, port)
    app = gr.mount_gradio_app(
        FastAPI(docs_url=None, redoc_url=None, openapi_url=None),
        page,
        path="/",
        show_error=True,
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
        allowed_paths=[],
        max_file_size=_LARGEST_UPLOAD,
        **looks(),
    )
    page.has_launched = True  # else Gradio lets the browser name any file on this machine as an upload
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=_SECONDS_TO_END))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="page", daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    shown = f"[{host}]" if ":" in host else host
    return RunningPage(f"http://{shown}:{listening.getsockname()[1]}/", orders, server, thread)


def _listening(host: str, port: int | None) -> socket.socket:
    """A socket that listens at the port, or at the next free one."""
    if port is not None and not 1 <= port <= 65535:
        raise ConfigError(f"The port is {port}; it goes from 1 to 65535.")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0]
    except (socket.gaierror, UnicodeError) as error:
        raise ConfigError(
            f"There is no machine by the name '{host}'; the page needs an address of this one."
        ) from error
    wanted = range(FIRST_PORT, FIRST_PORT + PORTS_TRIED) if port is None else [port]
    trouble = ""
    for number in wanted:
        made = socket.socket(family, socket.SOCK_STREAM)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind((address[0], number, *address[2:]))
            made.listen()
            return made
        except OSError as error:
            made.close()
            trouble = _REASONS.get(error.errno or 0, f"is not to be had: {error.strerror or error}")
    if port is None:
        raise ConfigError(f"No port from {wanted[0]} to {wanted[-1]} can be had at {host}: the last {trouble}.")
    raise ConfigError(f"The port {port} at {host} {trouble}; choose another one, or none to take the next free one.")
