"""`blipdiff doctor`: what is installed, where it runs, and what is accelerated."""

from typing import Annotated

import typer

from app.cli.options import AsJson, Device, Dtype, Model, run_by


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("doctor")(doctor)


@run_by("app.cli.runs.doctor")
def doctor(
    speed: Annotated[
        bool, typer.Option("--speed", help="Measure what a picture takes here at each speed, and say which to choose.")
    ] = False,
    model: Model = "mini",
    device: Device = "auto",
    dtype: Dtype = "auto",
    as_json: AsJson = False,
) -> None:
    """Say what is installed, where it comes from, and what makes it fast here; for you and for bug reports."""
