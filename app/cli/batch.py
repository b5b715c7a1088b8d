"""`blipdiff batch`: a file of jobs, drawn into a folder."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.options import Device, Download, Dtype, Model, run_by
from app.cli.panels import OUTPUT


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("batch")(batch)


@run_by("app.cli.runs.batch")
def batch(
    jobs: Annotated[Path, typer.Argument(help="A .jsonl file with a job in each line, or a .csv with a column each.")],
    output: Annotated[
        Path, typer.Option("--output", help="The folder of pictures, and of results.jsonl.", rich_help_panel=OUTPUT)
    ],
    task: Annotated[str, typer.Option("--task", help="What is done in lines that name no task.")] = "generate",
    together: Annotated[
        bool,
        typer.Option(
            "--together",
            help="Draw several lines of one size, steps and scheduler in one batch; faster, may round otherwise.",
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print each line's result as a JSON object.", rich_help_panel=OUTPUT)
    ] = False,
    model: Model = "mini",
    device: Device = "auto",
    dtype: Dtype = "auto",
    download: Download = False,
) -> None:
    """Draw a file of jobs into a folder; what is done is not done again when it is called once more."""
