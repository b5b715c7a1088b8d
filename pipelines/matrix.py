"""Matrix: every look in every structure, a picture each, and the sheet that shows them together."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from blipdiff.conditioning.subject import SubjectEmbedding
from blipdiff.errors import ConfigError, ImageError
from blipdiff.images import open_picture
from blipdiff.models.identity import ModelIdentity
from blipdiff.outputs import written_file
from pipelines.results import Picture, read_metadata, save_picture
from pipelines.sheets import labelled_grid
from pipelines.studio import Notice, Progress, Reference
from pipelines.stylize import Stylist
from pipelines.stylize_request import StylizeRequest

SHEET = "matrix.png"


@dataclass(frozen=True, slots=True, eq=False)
class Structure:
    """A picture to follow, and what is drawn in it: the subject's own category where `target` is None."""

    picture: Image.Image
    target: str | None = None


@dataclass(frozen=True, slots=True)
class Cell:
    """One finished picture; `was_there` says that an earlier run had drawn it."""

    row: int
    column: int
    path: Path
    was_there: bool


def matrix(
    stylist: Stylist,
    request: StylizeRequest,
    references: Sequence[Reference],
    structures: Sequence[Structure],
    folder: Path,
) -> Iterator[Progress | Notice | Cell]:
    """Draws every reference in every structure with the request's first seed, and the sheet at the end.

    Subjects and maps are made once each. A picture that lies in `folder` with exactly these settings is kept, so an
    interrupted run goes on where it was. The sheet is `matrix.png`: structures across, looks down.

    Raises: BlipdiffError for whatever the model cannot do, before anything is drawn.
    """
    if not references or not structures:
        raise ConfigError(f"A matrix of {len(references)} looks and {len(structures)} structures is empty.")
    subjects = [stylist.studio.subject([one], fit=request.drawing.fit) for one in references]
    maps = [stylist.maps(request, [one.picture]) for one in structures]
    cells = [(row, column) for row in range(len(subjects)) for column in range(len(structures))]
    asked = {cell: _asked(request, subjects[cell[0]], structures[cell[1]]) for cell in cells}
    for row, column in cells:
        stylist.encoded(asked[row, column], subjects[row], maps[column])  # what cannot be done is said first
    for done, (row, column) in enumerate(cells):
        wanted = asked[row, column]
        path = folder / _name(row, column, wanted)
        told = stylist.told(wanted, subjects[row], maps[column])
        if _is_there(path, told, stylist.studio.model.identity):
            yield Cell(row, column, path, was_there=True)
        else:
            for event in stylist.run(wanted, subjects[row], maps[column]):
                if isinstance(event, Progress):
                    yield replace(event, step=done * event.steps + event.step, steps=event.steps * len(cells))
                elif isinstance(event, Picture):
                    yield Cell(row, column, save_picture(event, path), was_there=False)
                else:
                    yield event
    with written_file(folder / SHEET) as part:
        sheet(subjects, structures, [[folder / _name(r, c, asked[r, c]) for c in range(len(structures))]
                                     for r in range(len(subjects))]).save(part, format="PNG")  # fmt: skip


def sheet(
    subjects: Sequence[SubjectEmbedding], structures: Sequence[Structure], paths: Sequence[Sequence[Path]]
) -> Image.Image:
    """Structures in the first row, each subject before its pictures."""
    blank = Image.new("RGB", structures[0].picture.size, "white")
    head = [(blank, ""), *((one.picture, one.target or "structure") for one in structures)]
    rows = [
        [
            (subject.thumbnail or blank, f"look: {subject.category}"),
            *((open_picture(path), f"{subject.category}, {one.target or subject.category}")
              for path, one in zip(line, structures, strict=True)),
        ]
        for subject, line in zip(subjects, paths, strict=True)
    ]  # fmt: skip
    return labelled_grid([head, *rows])


def _asked(request: StylizeRequest, subject: SubjectEmbedding, structure: Structure) -> StylizeRequest:
    drawing = replace(
        request.drawing, category=subject.category, target=structure.target or request.drawing.target, count=1, batch=1
    )
    return replace(request, drawing=drawing)


def _name(row: int, column: int, request: StylizeRequest) -> str:
    words = f"{request.drawing.category}-{request.drawing.target or request.drawing.category}"
    return f"{row + 1}-{column + 1}-{re.sub(r'[^a-z0-9]+', '-', words.lower()).strip('-')[:60]}.png"


def _is_there(path: Path, told: object, identity: ModelIdentity) -> bool:
    """Whether a picture that these settings and this model made lies there already, whole; else it is drawn anew."""
    try:
        found, size = read_metadata(path), open_picture(path).size
    except (ImageError, ConfigError):
        return False
    same = found["model"].get("fingerprint") == identity.subject and not identity.differing(found["model"])
    return same and (found["request"], found["size"]) == (told, list(size))
