"""Pictures of the history in one zip, as other programs open it."""

import zipfile
from collections.abc import Sequence
from pathlib import Path

from app.jobs.entries import Entry
from app.jobs.history import History
from blipdiff.errors import OutputError
from blipdiff.outputs import written_file

MOST_BYTES = 2 * 10**9  # of one zip


def zipped(path: Path, history: History, entries: Sequence[Entry]) -> Path:
    """Writes the pictures with their metadata into a zip, in a folder for each day; whole or not at all.

    Raises: OutputError for too many bytes, and when it cannot be written; ConfigError for a picture that is gone.
    """
    check_size(entries)
    with written_file(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as made:
        for entry in entries:
            file = history.file(entry)
            made.write(file, f"{path.stem}/{entry.day}/{file.name}")
    return path


def check_size(entries: Sequence[Entry]) -> None:
    """Passes for pictures that one file may hold. Raises: OutputError for more."""
    size = sum(entry.bytes for entry in entries)
    if size > MOST_BYTES:
        raise OutputError(
            f"{len(entries)} pictures are {size / 1e9:.1f} GB; one file holds {MOST_BYTES / 1e9:g} GB at most. "
            "Choose fewer of them."
        )
