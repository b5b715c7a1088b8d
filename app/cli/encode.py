"""`blipdiff encode`: photos of a subject -> its subject card."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.options import AsJson, Device, Download, Dtype, Model, default, option, run_by
from app.cli.panels import OUTPUT


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("encode")(encode)


@run_by("app.cli.runs.encode")
def encode(
    photos: Annotated[list[Path], typer.Argument(help="Photos of one subject.")],
    category: Annotated[str, option("category")] = default("category"),
    weight: Annotated[
        list[float] | None,
        typer.Option("--weight", help="The weight of each photo, in their order; 1 each if absent."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", help="The card; CATEGORY.safetensors if absent.", rich_help_panel=OUTPUT)
    ] = None,
    fit: Annotated[str, option("fit")] = default("fit"),
    cut_out: Annotated[
        list[Path] | None,
        typer.Option(
            "--cut-out",
            help="The mask of each photo, in their order: white where the subject is; found by itself if absent.",
        ),
    ] = None,
    no_photo: Annotated[
        bool, typer.Option("--no-photo", help="Leave out the subject's cut-out, which details are read from.")
    ] = False,
    model: Model = "mini",
    device: Device = "auto",
    dtype: Dtype = "auto",
    download: Download = False,
    as_json: AsJson = False,
) -> None:
    """Make a subject card: one small file that stands for the photos wherever a subject is asked for.

    blipdiff encode my_dog.png --category dog --output dog.safetensors
    """
