"""`blipdiff subjects`: the library of subject cards."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.options import AsJson, Device, Download, Dtype, Model, default, option
from app.cli.terminal import say, say_json
from app.plain import plain
from blipdiff.errors import ConfigError

if TYPE_CHECKING:
    from pipelines.subject_library import Entry, SubjectLibrary

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
def list_subjects(
    search: Annotated[str, typer.Argument(help="Words of the name or the category.")] = "",
    folder: Folder = None,
    as_json: AsJson = False,
) -> None:
    """List the subjects, all or those that a search finds."""
    _list(_library(folder).entries(search), as_json)


@subjects.command("add")
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
    from app.cli.drawing import opened
    from app.cli.files import check_writable, read_reference
    from pipelines.subject_library import checked_name

    library = _library(folder)
    if name is not None:
        checked_name(name)
    references = [read_reference(path, category) for path in photos]
    check_writable(library.folder)
    studio = opened(model, device=device, dtype=dtype, download=download, quiet=as_json)
    _say(library.save(studio.subject(references, fit=fit), name), as_json)


@subjects.command("rename")
def rename_subject(
    name: Name,
    new_name: Annotated[str, typer.Argument(help="What it shall be called.")],
    folder: Folder = None,
    as_json: AsJson = False,
) -> None:
    """Call a subject something else."""
    _say(_library(folder).rename(name, new_name), as_json)


@subjects.command("delete")
def delete_subject(name: Name, yes: Yes = False, folder: Folder = None) -> None:
    """Put a subject into the library's bin, from which `restore` takes it again."""
    library = _library(folder)
    library.check_there(name)
    _ask(f"Delete {name}? It stays in the bin until that is emptied.", yes)
    library.delete(name)


@subjects.command("deleted")
def list_deleted(folder: Folder = None, as_json: AsJson = False) -> None:
    """List what lies in the bin, the latest first."""
    _list(_library(folder).deleted(), as_json)


@subjects.command("restore")
def restore_subject(
    name: Annotated[str, typer.Argument(help="The name of a deleted subject; see `blipdiff subjects deleted`.")],
    new_name: Annotated[
        str | None, typer.Option("--name", help="What it shall be called; as before if absent.")
    ] = None,
    folder: Folder = None,
    as_json: AsJson = False,
) -> None:
    """Take a subject out of the bin, the one that was deleted last under its name."""
    _say(_library(folder).restore(name, new_name), as_json)


@subjects.command("empty-bin")
def empty_bin(yes: Yes = False, folder: Folder = None) -> None:
    """Remove for good what was deleted."""
    library = _library(folder)
    count = len(library.deleted())
    _ask(f"Remove {count} deleted {'subject' if count == 1 else 'subjects'} for good?", yes)
    say(f"{library.empty_bin()} removed.")


@subjects.command("import")
def import_subject(
    card: Annotated[Path, typer.Argument(help="A subject card.")],
    name: Annotated[str | None, typer.Option("--name", help="Its name; the file's if absent.")] = None,
    folder: Folder = None,
    as_json: AsJson = False,
) -> None:
    """Copy a card into the library."""
    _say(_library(folder).bring_in(card, name), as_json)


@subjects.command("export")
def export_subject(
    name: Name,
    to: Annotated[Path, typer.Argument(help="A file that ends in .safetensors, or a folder.")],
    folder: Folder = None,
) -> None:
    """Copy a subject's card out of the library."""
    say(_library(folder).send_out(name, to))


def _library(folder: Path | None) -> "SubjectLibrary":
    from app.settings import read_settings
    from pipelines.subject_library import SubjectLibrary

    return SubjectLibrary(folder or read_settings().library)


def _list(entries: "list[Entry]", as_json: bool) -> None:
    if as_json:
        say_json([_told(entry) for entry in entries])
        return
    for entry in entries:
        say(f"{entry.name}: {entry.category}" if entry.trouble is None else f"{entry.name}: {entry.trouble}")


def _ask(question: str, yes: bool) -> None:
    """Goes on when the person at the terminal says so. Raises: ConfigError where nobody can answer."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigError(f"{question} Nobody is here to answer; add --yes.")
    if not typer.confirm(plain(question)):
        raise typer.Exit(1)


def _say(entry: "Entry", as_json: bool) -> None:
    if as_json:
        say_json(_told(entry))
    else:
        say(entry.path)


def _told(entry: "Entry") -> dict[str, str | None]:
    return {
        "name": entry.name,
        "category": entry.category,
        "path": str(entry.path),
        "model": entry.fingerprint,
        "trouble": entry.trouble,
    }
