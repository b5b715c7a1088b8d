"""`blipdiff describe`: a photo -> a caption, its likeliest categories, and how well a text fits."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.options import AsJson, Device, Download, Dtype, run_by
from app.cli.panels import MACHINE


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("describe")(describe_photo)


@run_by("app.cli.runs.describe")
def describe_photo(
    photo: Annotated[Path, typer.Argument(help="The photo.")],
    text: Annotated[str | None, typer.Option("--text", help="A text to be matched with the photo.")] = None,
    count: Annotated[int, typer.Option("--count", help="How many categories are named; 1 to 100.")] = 5,
    fit: Annotated[str, typer.Option("--fit", help="How a photo becomes square: crop, pad or squash.")] = "pad",
    engine: Annotated[
        str, typer.Option("--engine", help="mini-describe, or for photographs blip, blip-2 or instructblip.")
    ] = "mini-describe",
    describer: Annotated[
        str, typer.Option("--describer", help="mini-describe, or a folder that 'blipdiff train describe' wrote.")
    ] = "mini-describe",
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights",
            help="The network of blip-2 or instructblip: a folder or hub id; the published one if absent.",
            rich_help_panel=MACHINE,
        ),
    ] = None,
    captioner: Annotated[
        str | None, typer.Option("--captioner", help="Of blip: a folder or hub id.", rich_help_panel=MACHINE)
    ] = None,
    matcher: Annotated[
        str | None, typer.Option("--matcher", help="Of blip: a folder or hub id.", rich_help_panel=MACHINE)
    ] = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    download: Download = False,
    as_json: AsJson = False,
) -> None:
    """Say what a picture shows: a caption, ranked categories with their chances, and a match from 0 to 1.

    The bundled describer knows drawn things on plain ground, and is seldom sure of photographs; --engine names others.

    blipdiff describe my_dog.png --text "a brown dog"
    """
