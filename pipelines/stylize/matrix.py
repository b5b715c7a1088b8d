"""Matrix: every look in every structure, a picture each, and the sheet that shows them together."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from blipdiff.conditioning.subject import SubjectEmbedding
from blipdiff.errors import ConfigError, ImageError
from blipdiff.images import open_picture
from blipdiff.latents import latent_size
from blipdiff.outputs import written_file
from pipelines.job import Job, run
from pipelines.metadata import read_metadata, without_places
from pipelines.pictures import save_picture
from pipelines.sheets import labelled_grid
from pipelines.studio import Reference, Studio
from pipelines.stylize.plan import structure_size
from pipelines.stylize.request import StylizeRequest
from pipelines.stylize.run import ready_style
from pipelines.task import Notice, Progress, Result

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
    studio: Studio,
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
    request = studio.resolved(request)
    subjects = [studio.subject([one], fit=request.fit) for one in references]
    maps = [_maps(studio, request, one) for one in structures]
    jobs = {
        (row, column): _job(request, subject, one, maps[column])
        for row, subject in enumerate(subjects)
        for column, one in enumerate(structures)
    }
    kept = {cell: ready_style(studio, job).kept for cell, job in jobs.items()}  # what cannot be done is said first
    paths = {cell: folder / _name(*cell, job.request) for cell, job in jobs.items()}
    for done, (cell, job) in enumerate(jobs.items()):
        if _is_there(paths[cell], replace(kept[cell], index=0), studio):
            yield Cell(*cell, paths[cell], was_there=True)
            continue
        for event in run(studio, job):
            if isinstance(event, Progress):
                yield replace(event, step=done * event.steps + event.step, steps=event.steps * len(jobs))
            elif isinstance(event, Result):
                yield Cell(*cell, save_picture(event.picture, paths[cell]), was_there=False)
            elif isinstance(event, Notice):
                yield event
    lines = [[paths[row, column] for column in range(len(structures))] for row in range(len(subjects))]
    with written_file(folder / SHEET) as part:
        sheet(subjects, structures, lines).save(part, format="PNG")


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


def _maps(studio: Studio, request: StylizeRequest, structure: Structure) -> tuple[Image.Image, ...]:
    """The map of each control, at the size of the pictures that follow the structure."""
    width, height = structure_size(studio.model, request, structure.picture)
    latent_size(studio.model.vae, height, width)
    return studio.nets.maps(request.controls, [structure.picture], (width, height))


def _job(request: StylizeRequest, subject: SubjectEmbedding, structure: Structure, maps: Sequence[Image.Image]) -> Job:
    width, height = maps[0].size
    target = structure.target or request.target
    asked = replace(request, category=subject.category, target=target, count=1, batch=1, width=width, height=height)
    return Job.of(asked, subject=subject, map=list(maps)).opened()


def _name(row: int, column: int, request: StylizeRequest) -> str:
    words = f"{request.category}-{request.target or request.category}"
    return f"{row + 1}-{column + 1}-{re.sub(r'[^a-z0-9]+', '-', words.lower()).strip('-')[:60]}.png"


def _is_there(path: Path, wanted: Job, studio: Studio) -> bool:
    """Whether a picture that this job and this model made lies there already, whole; else it is drawn anew."""
    try:
        found, size = read_metadata(path), open_picture(path).size
        studio.check_maker(found["model"])
    except (ImageError, ConfigError):
        return False
    return (found.get("job"), found["size"]) == (without_places(wanted.as_mapping()), list(size))
