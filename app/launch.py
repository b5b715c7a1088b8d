"""Opening the page: a model, its workshop, the page, and both on one port."""

import socket
import webbrowser
from collections.abc import Callable

from app.doors.access import Access
from app.doors.listening import listen
from app.jobs.workshop import Machine, Workshop
from app.server import serve
from app.settings import Settings, read_settings
from app.ui.mounted import behind_door
from app.ui.orders import Orders
from app.ui.page import build_page
from pipelines.studio import Studio

_SECONDS_FOR_A_STEP = 120


def launch(
    studio: Studio,
    settings: Settings | None = None,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    access: Access | None = None,
    listening: socket.socket | None = None,
    open_browser: bool = False,
    speaks_mcp: bool = False,
    tell: Callable[[str], None] = print,
) -> None:
    """Serves the page and the interfaces until Ctrl-C, and tells the page's address: what the command line calls.

    port: None takes the first free one from 7860; access: who may come in besides this machine; listening: a socket
    that listens already, instead of `host` and `port`

    Raises: ConfigError for a port or an address that cannot be had, and for one that everybody could reach.
    """
    access, settings, orders = access or Access(), settings or read_settings(), Orders()
    listening = listening or listen(host, port)
    name = studio.model.name
    workshop = Workshop(settings.history, Machine([name], lambda _name, _device: studio), library=settings.library)
    page = behind_door(build_page(studio, settings, orders), access)
    with serve(workshop, access=access, listening=listening, page=page, speaks_mcp=speaks_mcp) as running:
        tell(f"The page is at {running.page} - press Ctrl-C to end it.")
        if open_browser:
            webbrowser.open(running.page)
        running.wait()
        orders.close(_SECONDS_FOR_A_STEP)
