"""`blipdiff doctor`: what is installed, where it runs, and what is accelerated."""

import typer

from app.cli.options import AsJson, run_by


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("doctor")(doctor)


@run_by("app.cli.runs.doctor")
def doctor(as_json: AsJson = False) -> None:
    """Say what is installed, where it comes from, and what makes it fast here; for you and for bug reports."""
