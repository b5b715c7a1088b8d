"""`blipdiff cut-out`: a photo -> its subject without the ground, and how it was found."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.options import AsJson, Device, Download, run_by
from app.cli.panels import OUTPUT


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("cut-out")(cut_out_photo)


@run_by("app.cli.runs.cut_out")
def cut_out_photo(
    photo: Annotated[Path, typer.Argument(help="The photo.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", help="The PNG; PHOTO-cut-out.png here if absent.", rich_help_panel=OUTPUT),
    ] = None,
    category: Annotated[str, typer.Option("--category", help="What the subject is, for a segmenter.")] = "",
    segmenter: Annotated[
        str | None,
        typer.Option("--segmenter", help="CLIPSeg for photos on uneven ground: a folder or hub id."),
    ] = None,
    device: Device = "auto",
    download: Download = False,
    as_json: AsJson = False,
) -> None:
    """Cut the subject out of a photo: by its transparency, its plain ground, a segmenter, or its colours.

    blipdiff cut-out my_dog.png --output dog.png
    """
