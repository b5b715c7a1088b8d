"""What a run leaves on the disk, whoever asked for it: pictures with what belongs beside them, and sheets."""

import tempfile
from pathlib import Path

from blipdiff.errors import OutputError
from blipdiff.outputs import write_new, writing
from pipelines.pictures import save_new_picture
from pipelines.task import Result, Sheet

PICTURE = "path"  # what a result's own file is called among those beside it


def check_writable(folder: Path) -> None:
    """Passes when files can be written to `folder`, which is made; asked before any long work.

    Raises: OutputError when they cannot.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass


def check_file(path: Path) -> None:
    """Passes when a file can be written at `path`, whose folder is made; asked before any long work.

    Raises: OutputError when it cannot.
    """
    check_writable(path.absolute().parent)
    if path.is_dir():
        raise OutputError(f"{path} cannot be written: a folder of that name is in the way.")


def save_result(result: Result, folder: Path, *, metadata: bool = True) -> dict[str, Path]:
    """Writes the picture, "path", and what stands beside it under its name, each by what it is: "before", "mask".

    Raises: OutputError when a file cannot be written.
    """
    path = save_new_picture(result.picture, folder, result.name, metadata=metadata)
    return {PICTURE: path} | {
        part: save_new_picture(picture, folder, f"{path.stem}-{part}", metadata=metadata)
        for part, picture in result.beside.items()
    }


def save_sheet(sheet: Sheet, folder: Path) -> Path:
    """Writes a grid or a film under the first name that nothing has. Raises: OutputError when it cannot be written."""
    return write_new(folder, sheet.name, sheet.suffix, sheet.write)
