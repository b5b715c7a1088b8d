"""`blipdiff presets`: settings under names."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.options import AsJson, run_by

_RUNS = "app.cli.runs.presets"

presets = typer.Typer(
    name="presets",
    help="Settings under names, for --preset: those that come with blipdiff, and your own.",
    no_args_is_help=True,
)
Folder = Annotated[
    Path | None, typer.Option("--folder", help="The folder of your own presets; BLIPDIFF_PRESETS if absent.")
]
Name = Annotated[str, typer.Argument(help="The preset's name, or its file.")]


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    app.add_typer(presets)


@presets.command("list")
@run_by(_RUNS)
def list_presets(
    task: Annotated[str | None, typer.Argument(help="Those of one task: generate, stylize ...")] = None,
    folder: Folder = None,
    as_json: AsJson = False,
) -> None:
    """List the presets with what they are for."""


@presets.command("show")
@run_by(_RUNS)
def show_preset(name: Name, folder: Folder = None) -> None:
    """Show a preset as its file holds it."""


@presets.command("save")
@run_by(_RUNS)
def save_preset(
    source: Annotated[Path, typer.Argument(help="A picture of ours, whose settings are kept, or a preset's file.")],
    name: Annotated[str | None, typer.Option("--name", help="Its name; a file's own if absent.")] = None,
    description: Annotated[str | None, typer.Option("--description", help="What it is for, in a sentence.")] = None,
    words: Annotated[bool, typer.Option("--words/--no-words", help="Keep a picture's prompts too.")] = False,
    folder: Folder = None,
) -> None:
    """Keep a picture's settings, or a preset that somebody gave you.

    blipdiff presets save outputs/dog-7.png --name "my look" --description "Soft light, many steps."
    """
