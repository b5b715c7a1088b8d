"""`blipdiff serve`: the queue, its worker and its history over HTTP."""

import signal
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from app.cli.options import Download, Dtype
from app.cli.terminal import say, warn

_GB = 1_000_000_000


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("serve")(serve)


def serve(
    models: Annotated[
        list[str] | None,
        typer.Option("--model", help="A model that may be asked for; again for several. The first draws by default."),
    ] = None,
    device: Annotated[
        list[str] | None, typer.Option("--device", help="auto, cpu, cuda, cuda:1 or mps; again for several workers.")
    ] = None,
    dtype: Dtype = "auto",
    download: Download = False,
    folder: Annotated[
        Path | None, typer.Option("--folder", help="Of queue and history; BLIPDIFF_HISTORY, or ./history if absent.")
    ] = None,
    memory: Annotated[
        float | None, typer.Option("--memory", help="GB of weights that each device keeps; no limit if absent.")
    ] = None,
    space: Annotated[
        float | None, typer.Option("--space", help="GB of pictures that are kept; no limit if absent.")
    ] = None,
    host: Annotated[
        str, typer.Option("--host", help="The address to listen on; this machine only by default.")
    ] = "127.0.0.1",
    port: Annotated[int | None, typer.Option("--port", help="The port; a free one from 7860 on if absent.")] = None,
    token: Annotated[
        str | None, typer.Option("--token", help="A token to ask everybody for, or @FILE that holds it.")
    ] = None,
    tokens: Annotated[
        Path | None, typer.Option("--tokens", help="A JSON file of tokens with their scopes and limits.")
    ] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Let everybody in who can reach --host.")] = False,
    allow_host: Annotated[
        list[str] | None, typer.Option("--allow-host", help="One more name that the server answers to.")
    ] = None,
    webhook: Annotated[
        list[str] | None, typer.Option("--webhook", help="An address that jobs may be told to when they are over.")
    ] = None,
) -> None:
    """Serve the queue to programs: our own interface, OpenAI's for pictures, A1111's."""
    from app.api.serving import check_reach
    from app.api.tokens import Tokens
    from app.api.webhooks import checked_addresses
    from app.settings import read_settings
    from app.ui.doors.access import access_of
    from app.ui.doors.listening import listen

    settings = read_settings()
    given = access_of(
        host, token=token or settings.token, is_insecure=insecure or tokens is not None, names=allow_host or ()
    )
    access, known = replace(given, is_insecure=insecure), Tokens.of(given.credentials.token, tokens)
    check_reach(host, known, access)
    addresses = checked_addresses(webhook or ())
    listening = listen(host, port)  # before anything slow
    if insecure and not known.are_asked_for:
        warn(f"Everybody who reaches {host} can draw here, and see all pictures: --insecure.")

    from app.api.serving import serve as served
    from app.jobs.workshop import Machine, Workshop, opener

    machine = Machine(
        models or [settings.model],
        opener(dtype=dtype, download=download or settings.download),
        device or ["auto"],
        None if memory is None else round(memory * _GB),
        is_warmed=True,
    )
    workshop = Workshop(
        folder or settings.history,
        machine,
        library=settings.library,
        space=None if space is None else round(space * _GB),
    )
    signal.signal(signal.SIGTERM, _stopped)
    with served(workshop, access=access, tokens=known, listening=listening, webhooks=addresses) as running:
        say(f"{running.url}/api/v1/tasks")
        running.wait()


def _stopped(_number: int, _frame: object) -> None:
    """Ends as Ctrl-C does."""
    raise KeyboardInterrupt
