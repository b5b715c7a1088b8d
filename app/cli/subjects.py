"""`blipdiff subjects`: the library of subject cards."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.options import AsJson, Device, Download, Dtype, Model, default, option, run_by

_RUNS = "app.cli.runs.subjects"

subjects = typer.Typer(
    name="subjects",
    help="Keep subjects as cards in a library: wherever a --subject is asked for, @NAME takes one from it.",
    no_args_is_help=True,
)
Folder = Annotated[Path | None, typer.Option("--library", help="The library's folder; BLIPDIFF_LIBRARY if absent.")]
Name = Annotated[str, typer.Argument(help="The subject's name in the library.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask first.")]


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    app.add_typer(subjects)


@subjects.command("list")
@run_by(_RUNS)
def list_subjects(
    search: Annotated[str, typer.Argument(help="Words of the name or the category.")] = "",
    folder: Folder = None,
    as_json: AsJson = False,
) -> None:
    """List the subjects, all or those that a search finds."""


@subjects.command("add")
@run_by(_RUNS)
def add_subject(
    photos: Annotated[list[Path], typer.Argument(help="Photos of one subject.")],
    category: Annotated[str, option("category")] = default("category"),
    name: Annotated[str | None, typer.Option("--name", help="Its name; the category if absent.")] = None,
    fit: Annotated[str, option("fit")] = default("fit"),
    model: Model = "mini",
    device: Device = "auto",
    dtype: Dtype = "auto",
    download: Download = False,
    folder: Folder = None,
    as_json: AsJson = False,
) -> None:
    """Encode photos of a subject and keep it.

    blipdiff subjects add my_dog.png --category dog --name Rex
    """


@subjects.command("rename")
@run_by(_RUNS)
def rename_subject(
    name: Name,
    new_name: Annotated[str, typer.Argument(help="What it shall be called.")],
    folder: Folder = None,
    as_json: AsJson = False,
) -> None:
    """Call a subject something else."""


@subjects.command("delete")
@run_by(_RUNS)
def delete_subject(name: Name, yes: Yes = False, folder: Folder = None) -> None:
    """Put a subject into the library's bin, from which `restore` takes it again."""


@subjects.command("deleted")
@run_by(_RUNS)
def list_deleted(folder: Folder = None, as_json: AsJson = False) -> None:
    """List what lies in the bin, the latest first."""


@subjects.command("restore")
@run_by(_RUNS)
def restore_subject(
    name: Annotated[str, typer.Argument(help="The name of a deleted subject; see `blipdiff subjects deleted`.")],
    new_name: Annotated[
        str | None, typer.Option("--name", help="What it shall be called; as before if absent.")
    ] = None,
    folder: Folder = None,
    as_json: AsJson = False,
) -> None:
    """Take a subject out of the bin, the one that was deleted last under its name."""


@subjects.command("empty-bin")
@run_by(_RUNS)
def empty_bin(yes: Yes = False, folder: Folder = None) -> None:
    """Remove for good what was deleted."""


@subjects.command("import")
@run_by(_RUNS)
def import_subject(
    card: Annotated[Path, typer.Argument(help="A subject card.")],
    name: Annotated[str | None, typer.Option("--name", help="Its name; the file's if absent.")] = None,
    folder: Folder = None,
    as_json: AsJson = False,
) -> None:
    """Copy a card into the library."""


@subjects.command("export")
@run_by(_RUNS)
def export_subject(
    name: Name,
    to: Annotated[Path, typer.Argument(help="A file that ends in .safetensors, or a folder.")],
    folder: Folder = None,
) -> None:
    """Copy a subject's card out of the library."""
