"""`blipdiff personalize` and `export`: a subject learned by a minute of tuning, and its file for others."""

from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.options import AsJson, Device, Download, Dtype, Model, addition_options, options_of, run_by, takes
from app.cli.panels import OUTPUT
from pipelines.personalize.request import PersonalizeRequest


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("personalize")(personalize)
    app.command("export")(export)


@run_by("app.cli.runs.personalize")
@takes(*options_of(PersonalizeRequest), *addition_options())
def personalize(
    photos: Annotated[
        list[Path],
        typer.Argument(help="Photos of one subject, a folder of them, or a folder of folders: one for each subject."),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            help="The card; CATEGORY.safetensors if absent. Of several, their folder.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(
            "--run", help="The folder of its states, by which it goes on; OUTPUT.run if absent.", rich_help_panel=OUTPUT
        ),
    ] = None,
    samples: Annotated[
        Path | None,
        typer.Option("--samples", help="A folder for pictures drawn while it learns.", rich_help_panel=OUTPUT),
    ] = None,
    model: Model = "mini",
    device: Device = "auto",
    dtype: Dtype = "auto",
    download: Download = False,
    as_json: AsJson = False,
    **asked: Any,
) -> None:
    """Learn one subject from its photos; stopped at any moment, the same command goes on.

    Ctrl-C keeps the best state so far. The card is taken wherever a subject's card is.

    blipdiff personalize rex1.png rex2.png rex3.png --category dog --output rex.safetensors
    """


@run_by("app.cli.runs.personalize")
def export(
    card: Annotated[Path, typer.Argument(help="The card of a subject that was learned with a LoRA.")],
    format: Annotated[
        str, typer.Option("--format", help="diffusers, or kohya: for A1111, ComfyUI and others.")
    ] = "diffusers",
    output: Annotated[
        Path | None,
        typer.Option("--output", help="CARD-FORMAT.safetensors if absent.", rich_help_panel=OUTPUT),
    ] = None,
) -> None:
    """Write a learned subject's LoRA as a file that other programs load."""
