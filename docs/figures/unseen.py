"""Draws docs/mini-grid.png and the picture of docs/details.md: subjects of a library that mini has never seen.

python docs/figures/unseen.py LIBRARY
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from blipdiff.conditioning.subject import SubjectPhoto
from blipdiff.data.pairs import PairLibrary
from blipdiff.evaluation.sheets import contact_sheet
from pipelines.generate.request import GenerateRequest
from pipelines.job import Job, run
from pipelines.studio import Studio
from pipelines.task import Result

DOCS = Path(__file__).parents[1]
GRID = (
    "fluent: popcorn", "fluent: crutch", "openclipart: casa_plurifamigliare_arc_01", "fluent: clutch bag",
    "twemoji: large orange diamond", "openclipart: balloon-yellow-aj", "fluent: ballet shoes", "fluent: compass",
    "fluent: woman office worker", "fluent: fire extinguisher", "openclipart: knot_figure_eight", "fluent: croissant",
)  # fmt: skip
PROMPTS = (
    "on a blue background", "on a grass field", "under a night sky", "on a wooden table",
    "on a beach, as a watercolor painting",
)  # fmt: skip
TOLD = (
    "noto: volleyball", "noto: headstone", "openclipart: pinkhome", "noto: raccoon", "noto: pretzel", "noto: mouse face"
)  # fmt: skip
SCENES = ("on a beach", "on a blue background")


def main(folder: Path) -> None:
    """Writes mini-grid.png and tasks/details.png."""
    studio, library = Studio.open("mini"), PairLibrary(folder)
    photos = {name: photo_of(library, name) for name in (*GRID, *TOLD)}
    rows = [[photos[name].image, *(draw(studio, photos[name], prompt) for prompt in PROMPTS)] for name in GRID]
    names = [photos[name].category for name in GRID]
    contact_sheet(rows, ["photo", *PROMPTS], names).save(DOCS / "mini-grid.png", optimize=True)
    rows = [
        [photos[name].image, *(draw(studio, photos[name], scene, detail) for scene in SCENES for detail in (0.0, None))]
        for name in TOLD
    ]
    headings = ["photo", *("without", "with details") * len(SCENES)]
    names = [photos[name].category for name in TOLD]
    contact_sheet(rows, headings, names).save(DOCS / "tasks" / "details.png", optimize=True)


def photo_of(library: PairLibrary, told: str) -> SubjectPhoto:
    """A subject, by its source and name, as the library shows it to a model. Raises: ValueError for one it has not."""
    source, name = told.split(": ")
    found = next((i for i, one in enumerate(library.records) if (one.source, one.name) == (source, name)), None)
    if found is None:
        raise ValueError(f"The library has no subject {name!r} of {source!r}.")
    pair = library.draw_subject(found, np.random.default_rng(found))
    return SubjectPhoto(Image.fromarray(pair.photo), library.records[found].category)


def draw(studio: Studio, photo: SubjectPhoto, prompt: str, detail: float | None = None) -> Image.Image:
    """The first picture of seed 7."""
    request = GenerateRequest(category=photo.category, prompt=prompt, count=1, seed=7, detail=detail, fit="pad")
    return next(
        event.picture.image for event in run(studio, Job.of(request, subject=photo)) if isinstance(event, Result)
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
