"""`blipdiff ui`: the page."""

from typing import Annotated

import typer

from app.cli.options import Device, Download, Dtype, Model


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("ui")(ui)


def ui(
    model: Model = "mini",
    device: Device = "auto",
    dtype: Dtype = "auto",
    download: Download = False,
    host: Annotated[
        str, typer.Option("--host", help="The address to listen on; this machine only by default.")
    ] = "127.0.0.1",
    port: Annotated[int | None, typer.Option("--port", help="The port; a free one from 7860 on if absent.")] = None,
) -> None:
    """Open the page in a browser: upload a photo, describe a scene, watch it being drawn."""
    from app.ui.page import launch
    from pipelines.studio import Studio

    studio = Studio.open(model, device=device, dtype=dtype, download=download)
    launch(studio, host=host, port=port)
