"""Results as files: where they lie, and what their names tell of the job that they came of.

pictures/OWNER/DAY/JOB-NUMBER-name.png; what stands beside a picture: JOB-NUMBER-name.PART.png; sheets: in JOB.sheets.
What is in the bin lies at the same place below `bin`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from app.jobs.tickets import day_of, is_name, time_of
from blipdiff.filenames import file_stem, short_name
from blipdiff.outputs import written_file
from pipelines.pictures import save_picture
from pipelines.task import Result, Sheet

PICTURES, BIN = "pictures", "bin"
_NAME = re.compile(r"(?P<job>[0-9a-f]{21})-(?P<number>\d{3,})-(?P<name>.+)\.png", re.DOTALL)
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


@dataclass(frozen=True, slots=True)
class Place:
    """A picture's file, and what its path tells."""

    path: Path
    id: str  # JOB-NUMBER
    job: str
    number: int
    owner: str
    day: str
    is_binned: bool


def save(result: Result, folder: Path, job: str, number: int, owner: str) -> Path:
    """Writes what stands beside a result, and then the picture itself; gives its path.

    A picture is there only when all of it is. Raises: OutputError when a file cannot be written.
    """
    path = place_of(folder, job, number, owner, result.name)
    for part, picture in result.beside.items():
        save_picture(picture, path.with_suffix(f".{file_stem(part)}.png"))
    return save_picture(result.picture, path)


def save_sheet(sheet: Sheet, folder: Path, job: str, owner: str) -> Path:
    """Writes a grid or a film. Raises: OutputError when it cannot be written."""
    path = _sheets(folder, job, owner) / f"{file_stem(sheet.kind)}{sheet.suffix}"
    with written_file(path) as part:
        sheet.write(part)
    return path


def files_of(result: Result, path: Path) -> list[Path]:
    """The files that a result comes to, whose picture lies at this path."""
    return [*(path.with_suffix(f".{file_stem(part)}.png") for part in result.beside), path]


def place_of(folder: Path, job: str, number: int, owner: str, name: str) -> Path:
    """Where a result lies."""
    day = day_of(time_of(job))
    return folder / PICTURES / owner / day / f"{job}-{number:03d}-{short_name(name).replace('.', '_')}.png"


def place_like(folder: Path, name: str, owner: str) -> Path | None:
    """Where a picture of another history, or what stands beside it, lies in this one; None for other files' names."""
    start, _, part = name.removesuffix(".png").partition(".")
    found = _NAME.fullmatch(f"{start}.png")
    if found is None or not is_name(found["job"]) or (part and part != file_stem(part)):
        return None
    return folder / PICTURES / owner / day_of(time_of(found["job"])) / name


def place(folder: Path, path: Path) -> Place | None:
    """What the path of a picture tells; None for anything else."""
    try:
        root, owner, day, name = path.relative_to(folder).parts
    except ValueError:
        return None
    found = _NAME.fullmatch(name)
    if root not in (PICTURES, BIN) or found is None or not _DAY.fullmatch(day) or "." in found["name"]:
        return None
    if not is_name(found["job"]):
        return None
    number = int(found["number"])
    return Place(path, f"{found['job']}-{number:03d}", found["job"], number, owner, day, root == BIN)


def places(folder: Path) -> Iterator[Place]:
    """All pictures that lie in a folder, those in the bin too; a picture is no link."""
    for root in (PICTURES, BIN):
        for path in sorted((folder / root).glob("*/*/*.png")):
            found = place(folder, path)
            if found is not None and path.is_file() and not path.is_symlink():
                yield found


def beside(path: Path) -> dict[str, Path]:
    """What stands beside a picture, by what it is."""
    start = f"{path.stem}."
    found = {}
    if path.parent.is_dir():
        for other in path.parent.iterdir():
            if other != path and other.name.startswith(start) and other.suffix == ".png":
                found[other.name[len(start) : -len(".png")]] = other
    return dict(sorted(found.items()))


def sheets(folder: Path, job: str, owner: str) -> dict[str, Path]:
    """A job's grids and films, by kind and ending: "grid.png", "film.webp"."""
    place = _sheets(folder, job, owner)
    if not place.is_dir():
        return {}
    return {path.name: path for path in sorted(place.iterdir()) if path.is_file() and not path.name.startswith(".")}


def moved(folder: Path, path: Path, root: str) -> Path:
    """Moves a picture with what stands beside it into or out of the bin, the picture itself last."""
    target = folder / root / path.relative_to(folder).relative_to(path.relative_to(folder).parts[0])
    target.parent.mkdir(parents=True, exist_ok=True)
    for other in beside(path).values():
        other.replace(target.parent / other.name)
    path.replace(target)
    return target


def _sheets(folder: Path, job: str, owner: str) -> Path:
    return folder / PICTURES / owner / day_of(time_of(job)) / f"{job}.sheets"
