"""The library of subject cards is read and changed."""

import sys
from pathlib import Path

import typer

from app.cli.runs.drawing import opened
from app.cli.runs.files import read_reference
from app.cli.terminal import say, say_json
from app.outputs import check_writable
from app.plain import plain
from app.settings import read_settings
from blipdiff.errors import ConfigError
from pipelines.subject_library import Entry, SubjectLibrary, checked_name


def list_subjects(search: str, folder: Path | None, as_json: bool) -> None:
    """List the subjects, all or those that a search finds."""
    _list(_library(folder).entries(search), as_json)


def add_subject(
    photos: list[Path],
    category: str,
    name: str | None,
    fit: str,
    model: str,
    device: str,
    dtype: str,
    download: bool,
    folder: Path | None,
    as_json: bool,
) -> None:
    """Encode photos of a subject and keep it."""
    library = _library(folder)
    if name is not None:
        checked_name(name)
    references = [read_reference(path, category) for path in photos]
    check_writable(library.folder)
    studio = opened(model, device=device, dtype=dtype, download=download, quiet=as_json)
    _say(library.save(studio.subject(references, fit=fit), name), as_json)


def rename_subject(name: str, new_name: str, folder: Path | None, as_json: bool) -> None:
    """Call a subject something else."""
    _say(_library(folder).rename(name, new_name), as_json)


def delete_subject(name: str, yes: bool, folder: Path | None) -> None:
    """Put a subject into the library's bin, from which `restore` takes it again."""
    library = _library(folder)
    library.check_there(name)
    ask(f"Delete {name}? It stays in the bin until that is emptied.", yes)
    library.delete(name)


def list_deleted(folder: Path | None, as_json: bool) -> None:
    """List what lies in the bin, the latest first."""
    _list(_library(folder).deleted(), as_json)


def restore_subject(name: str, new_name: str | None, folder: Path | None, as_json: bool) -> None:
    """Take a subject out of the bin, the one that was deleted last under its name."""
    _say(_library(folder).restore(name, new_name), as_json)


def empty_bin(yes: bool, folder: Path | None) -> None:
    """Remove for good what was deleted."""
    library = _library(folder)
    count = len(library.deleted())
    ask(f"Remove {count} deleted {'subject' if count == 1 else 'subjects'} for good?", yes)
    say(f"{library.empty_bin()} removed.")


def import_subject(card: Path, name: str | None, folder: Path | None, as_json: bool) -> None:
    """Copy a card into the library."""
    _say(_library(folder).bring_in(card, name), as_json)


def export_subject(name: str, to: Path, folder: Path | None) -> None:
    """Copy a subject's card out of the library."""
    say(_library(folder).send_out(name, to))


def _library(folder: Path | None) -> SubjectLibrary:
    return SubjectLibrary(folder or read_settings().library)


def _list(entries: list[Entry], as_json: bool) -> None:
    if as_json:
        say_json([_told(entry) for entry in entries])
        return
    for entry in entries:
        say(f"{entry.name}: {entry.category}" if entry.trouble is None else f"{entry.name}: {entry.trouble}")


def ask(question: str, yes: bool) -> None:
    """Goes on when the person at the terminal says so. Raises: ConfigError where nobody can answer."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigError(f"{question} Nobody is here to answer; add --yes.")
    if not typer.confirm(plain(question)):
        raise typer.Exit(1)


def _say(entry: Entry, as_json: bool) -> None:
    if as_json:
        say_json(_told(entry))
    else:
        say(entry.path)


def _told(entry: Entry) -> dict[str, str | None]:
    return {
        "name": entry.name,
        "category": entry.category,
        "path": str(entry.path),
        "model": entry.fingerprint,
        "trouble": entry.trouble,
    }
