"""`blipdiff batch`: a file of jobs or of prompts, drawn into a folder."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.cluster import ClusterCommand, Ray, Workers
from app.cli.options import Device, Download, Dtype, Engine, Model, run_by
from app.cli.panels import OUTPUT


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("batch", cls=ClusterCommand)(batch)


@run_by("app.cli.runs.batch")
def batch(
    jobs: Annotated[
        Path,
        typer.Argument(
            help="A .txt file with a prompt a line, a .jsonl with a job a line, or a .csv or .parquet with columns."
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", help="The folder of pictures, and of results.jsonl.", rich_help_panel=OUTPUT)
    ],
    task: Annotated[str, typer.Option("--task", help="What is done in lines that name no task.")] = "generate",
    subject: Annotated[
        list[str] | None,
        typer.Option("--subject", help="A photo, a card or @NAME, for lines that have no subject; repeatable."),
    ] = None,
    category: Annotated[
        str | None, typer.Option("--category", help="What the subject is, for lines that do not say it.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="NAME=VALUE for lines that do not say it: steps=30, count=1; repeatable."),
    ] = None,
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
    engine: Engine = "auto",
    download: Download = False,
    ray: Ray = None,
    workers: Workers = None,
) -> None:
    """Draw a file of jobs or prompts into a folder; what is done is not done again when it is called once more."""
