"""`blipdiff ui`: the page."""

from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.cluster import ClusterCommand, Ray, Replicas
from app.cli.options import (
    Device,
    Download,
    Dtype,
    Engine,
    Mcp,
    Model,
    Results,
    SharedDatabase,
    addition_options,
    run_by,
    takes,
)

Auth = Annotated[
    str | None,
    typer.Option("--auth", help="USER:PASSWORD to ask everybody for, or @FILE that holds it; BLIPDIFF_AUTH if absent."),
]
Token = Annotated[
    str | None,
    typer.Option("--token", help="A token to ask everybody for, or @FILE that holds it; BLIPDIFF_TOKEN if absent."),
]
Insecure = Annotated[
    bool, typer.Option("--insecure", help="Let everybody in who can reach --host, without password or token.")
]
AllowHost = Annotated[
    list[str] | None,
    typer.Option("--allow-host", help="One more name that the page answers to, like https://pictures.example.org."),
]


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("ui", cls=ClusterCommand)(ui)


@run_by("app.cli.runs.ui")
@takes(*addition_options())
def ui(
    *,
    model: Model = "mini",
    device: Device = "auto",
    dtype: Dtype = "auto",
    engine: Engine = "auto",
    download: Download = False,
    ray: Ray = None,
    replicas: Replicas = None,
    folder: Annotated[
        Path | None, typer.Option("--folder", help="Of queue and history; BLIPDIFF_HISTORY, or ./history if absent.")
    ] = None,
    host: Annotated[
        str, typer.Option("--host", help="The address to listen on; this machine only by default.")
    ] = "127.0.0.1",
    port: Annotated[int | None, typer.Option("--port", help="The port; a free one from 7860 on if absent.")] = None,
    auth: Auth = None,
    token: Token = None,
    insecure: Insecure = False,
    allow_host: AllowHost = None,
    mcp: Mcp = False,
    results: Results = None,
    database: SharedDatabase = None,
    **asked: Any,
) -> None:
    """Open the page in a browser: upload a photo, describe a scene, watch it being drawn."""
