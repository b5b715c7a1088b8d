"""The page and the server that shows it."""

import errno
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import gradio as gr

from app.settings import Settings, read_settings
from app.ui import markup
from app.ui.generate_tab import generate_tab
from app.ui.look import looks
from blipdiff.errors import ConfigError
from pipelines.studio import Studio

FIRST_PORT, PORTS_TRIED = 7860, 100

_LARGEST_UPLOAD = "100mb"
_A_DAY = 24 * 3600
_REASONS = {
    errno.EADDRINUSE: "is in use by another program",
    errno.EACCES: "needs administrator's rights",
    errno.EADDRNOTAVAIL: "is not to be had: this machine has no such address",
}


@dataclass(frozen=True, slots=True)
class RunningPage:
    """A page that is being served; leaving its `with` block ends it."""

    url: str
    blocks: Any

    def wait(self) -> None:
        """Returns when the person presses Ctrl-C."""
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return

    def close(self) -> None:
        """Ends the server."""
        self.blocks.close(verbose=False)

    def __enter__(self) -> "RunningPage":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def build_page(studio: Studio, settings: Settings) -> gr.Blocks:
    """The page with all its tabs, on one model; not yet served."""
    model = studio.model
    dtype = str(model.unet.dtype).removeprefix("torch.")
    with gr.Blocks(title="blipdiff", analytics_enabled=False, delete_cache=(_A_DAY, _A_DAY)) as page:
        gr.HTML(markup.heading(model.name, str(model.device), dtype))
        generate_tab(page, studio, settings)  # the only tab so far: it needs no bar of tabs
    page.queue(max_size=32, default_concurrency_limit=1)
    return page


def launch(
    studio: Studio,
    settings: Settings | None = None,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    open_browser: bool = False,
    tell: Callable[[str], None] = print,
) -> None:
    """Serves the page until Ctrl-C, and tells its address; what the command line calls. As `serve` for the rest."""
    with serve(studio, settings or read_settings(), host=host, port=port, open_browser=open_browser) as page:
        tell(f"The page is at {page.url} - press Ctrl-C to end it.")
        page.wait()


def serve(
    studio: Studio, settings: Settings, *, host: str = "127.0.0.1", port: int | None = None, open_browser: bool = False
) -> RunningPage:
    """Serves the page, from this machine only unless another `host` is given; never through anybody else's server.

    port: None takes the first free one from 7860

    Raises: ConfigError for a port or an address that cannot be had.
    """
    chosen = _port(host, port)
    page = build_page(studio, settings)
    try:
        _, url, _ = page.launch(
            server_name=host,
            server_port=chosen,
            share=False,
            inbrowser=open_browser,
            prevent_thread_lock=True,
            quiet=True,
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
    except OSError as error:  # taken in the meantime
        raise ConfigError(f"The page cannot be served at {host}:{chosen}: {error.strerror or error}.") from error
    return RunningPage(url, page)


def _port(host: str, port: int | None) -> int:
    if port is not None and not 1 <= port <= 65535:
        raise ConfigError(f"The port is {port}; it goes from 1 to 65535.")
    wanted = range(FIRST_PORT, FIRST_PORT + PORTS_TRIED) if port is None else [port]
    trouble = ""
    for number in wanted:
        trouble = _trouble(host, number)
        if not trouble:
            return number
    if port is None:
        raise ConfigError(f"No port from {wanted[0]} to {wanted[-1]} can be had at {host}: the last {trouble}.")
    raise ConfigError(f"The port {port} at {host} {trouble}; choose another one, or none to take the next free one.")


def _trouble(host: str, port: int) -> str:
    """Why nothing can be served there, or an empty text."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except socket.gaierror:
        return f"is not to be had: no machine is known by the name '{host}'"
    except OSError as error:
        return _REASONS.get(error.errno or 0, f"is not to be had: {error.strerror or error}")
    return ""
