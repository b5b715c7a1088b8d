"""`blipdiff schedule`: steps fitted to a model, which it keeps beside its noise schedule."""

from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.options import AsJson, Device, Download, Dtype, options_of, run_by, takes
from app.cli.panels import OUTPUT
from pipelines.fit_request import FitRequest


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("schedule")(schedule)


@run_by("app.cli.runs.schedule")
@takes(*options_of(FitRequest))
def schedule(
    model: Annotated[str, typer.Argument(help="A model's folder; or a name or hub id, with --output.")],
    subjects: Annotated[
        Path | None,
        typer.Option("--subjects", help="A folder of photos named by category: dog.png. The bundled ones if absent."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            help="A copy of the model to write them into; the model's own folder if absent.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    download: Download = False,
    as_json: AsJson = False,
    **asked: Any,
) -> None:
    """Fit steps to a model: where its U-Net is called, and how its predictions are put together.

    One half of the subjects fits them, the other half measures them. They are written to scheduler/steps.json, and
    are what --speed exact, balanced and fast stand for with this model.

    blipdiff schedule my_model
    """
