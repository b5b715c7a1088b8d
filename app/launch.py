"""Opening the page: a workshop, its page, and both on one port."""

import socket
import webbrowser
from collections.abc import Callable

from app.doors.access import Access
from app.doors.listening import listen
from app.jobs.workshop import Machine, Workshop
from app.server import serve
from app.settings import Settings, read_settings
from app.ui.mounted import behind_door
from app.ui.page import build_page
from app.ui.visits import SOURCE

_GB = 1_000_000_000
_MOST_TICKETS = 100_000


def launch(
    machine: Machine,
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

    The page is there before the model: `Machine(["mini"], opener(), is_warmed=True)` opens that meanwhile.

    port: None takes the first free one from 7860; access: who may come in besides this machine; listening: a socket
    that listens already, instead of `host` and `port`

    Raises: ConfigError for a port or an address that cannot be had, and for one that everybody could reach;
    OutputError for a history that cannot be written, or that another program draws in.
    """
    access, settings = access or Access(), settings or read_settings()
    listening = listening or listen(host, port)
    space = None if settings.space is None else round(settings.space * _GB)
    workshop = Workshop(
        settings.history,
        machine,
        library=settings.library,
        space=space,
        database=settings.database,
        results=settings.results,
    )
    for ticket in workshop.queue.tickets(source=SOURCE, states=("waiting", "drawing"), most=_MOST_TICKETS):
        workshop.offer(ticket.model)  # it was chosen on the page, and could be when it was asked for
    page = behind_door(build_page(workshop, settings), access)
    with serve(workshop, access=access, listening=listening, page=page, speaks_mcp=speaks_mcp) as running:
        tell(f"The page is at {running.page} - press Ctrl-C to end it.")
        tell(f"Pictures, and what waits to be drawn, are kept in {settings.history}.")
        if open_browser:
            webbrowser.open(running.page)
        running.wait()
