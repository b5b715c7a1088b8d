"""`blipdiff serve`: the queue, its worker and its history over HTTP."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.cluster import ClusterCommand, Ray, Replicas
from app.cli.options import Download, Dtype, Engine, Mcp, Results, SharedDatabase, run_by
from app.cli.panels import MACHINE

_WHO = "Who may come in"


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("serve", cls=ClusterCommand)(serve)


@run_by("app.cli.runs.serve")
def serve(
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            help="A model that may be asked for; again for several. The first draws by default.",
            rich_help_panel=MACHINE,
        ),
    ] = None,
    device: Annotated[
        list[str] | None,
        typer.Option(
            "--device", help="auto, cpu, cuda, cuda:1 or mps; again for several workers.", rich_help_panel=MACHINE
        ),
    ] = None,
    dtype: Dtype = "auto",
    engine: Engine = "auto",
    download: Download = False,
    ray: Ray = None,
    replicas: Replicas = None,
    folder: Annotated[
        Path | None, typer.Option("--folder", help="Of queue and history; BLIPDIFF_HISTORY, or ./history if absent.")
    ] = None,
    memory: Annotated[
        float | None,
        typer.Option(
            "--memory", help="GB of weights that each device keeps; no limit if absent.", rich_help_panel=MACHINE
        ),
    ] = None,
    space: Annotated[
        float | None,
        typer.Option("--space", help="GB of pictures that are kept, with --results here; no limit if absent."),
    ] = None,
    host: Annotated[
        str,
        typer.Option("--host", help="The address to listen on; this machine only by default.", rich_help_panel=_WHO),
    ] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option("--port", help="The port; a free one from 7860 on if absent.", rich_help_panel=_WHO)
    ] = None,
    token: Annotated[
        str | None,
        typer.Option("--token", help="A token to ask everybody for, or @FILE that holds it.", rich_help_panel=_WHO),
    ] = None,
    tokens: Annotated[
        Path | None,
        typer.Option("--tokens", help="A JSON file of tokens with their scopes and limits.", rich_help_panel=_WHO),
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Let everybody in who can reach --host.", rich_help_panel=_WHO)
    ] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option("--allow-host", help="One more name that the server answers to.", rich_help_panel=_WHO),
    ] = None,
    webhook: Annotated[
        list[str] | None, typer.Option("--webhook", help="An address that jobs may be told to when they are over.")
    ] = None,
    mcp: Mcp = False,
    results: Results = None,
    database: SharedDatabase = None,
) -> None:
    """Serve the queue to programs: our own interface, OpenAI's for pictures, A1111's."""
