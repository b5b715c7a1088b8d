"""Serving a page: Gradio's application behind the page's own door, on an own listening socket."""

import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import gradio as gr
import uvicorn
from fastapi import FastAPI
from gradio.utils import get_upload_folder

from app.ui.doors.access import Access, Limits
from app.ui.doors.connections import patient
from app.ui.doors.door import Door
from app.ui.doors.listening import listen
from app.ui.doors.space import Space
from app.ui.look import looks
from app.ui.orders import Orders

_SECONDS_TO_END = 2  # for connections that the browser keeps open
_SECONDS_FOR_A_STEP = 120
_SECONDS_KEPT_OPEN = 5  # a connection, for the next request
_LONGEST_HEAD = 32_768  # bytes


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


def serve(
    page: gr.Blocks,
    orders: Orders,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    access: Access | None = None,
    listening: socket.socket | None = None,
) -> RunningPage:
    """Serves a page whose runs are in `orders`: from this machine only unless another `host` is given.

    Never through anybody else's server, and not with Gradio's own `launch`: that asks itself for the page through
    whatever proxy is set, gives up where the machine is busy, and then says that a public link is needed.

    port: None takes the first free one from 7860; access: who may come in, and how much they may ask for;
    listening: a socket that listens already, instead of `host` and `port`

    Raises: ConfigError for a port or an address that cannot be had, and for one that everybody could reach.
    """
    access = access or Access()
    access.check(host if listening is None else str(listening.getsockname()[0]))
    listening = listening or listen(host, port)
    address, number = listening.getsockname()[:2]
    server = uvicorn.Server(_configured(_application(page, access), access.limits))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="page", daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    shown = f"[{address}]" if ":" in address else address
    return RunningPage(f"http://{shown}:{number}/", orders, server, thread)


def _configured(app: Any, limits: Limits) -> uvicorn.Config:
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


def _application(page: gr.Blocks, access: Access) -> Door:
    """Gradio's application behind the door."""
    limits = access.limits
    page.state_session_capacity = limits.sessions
    space = Space(Path(get_upload_folder()), limits.space, limits.free)
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
        max_file_size=limits.file,
        **looks(),
    )
    page.has_launched = True  # else Gradio lets the browser name any file on this machine as an upload
    page._queue.pending_messages_per_session.max_size = limits.sessions
    return Door(app, page, space, access)
