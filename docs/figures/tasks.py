"""Draws the pictures of docs/generate.md with the bundled model: python docs/figures/tasks.py"""

from pathlib import Path

from PIL import Image

import blipdiff
from blipdiff.evaluation.sheets import contact_sheet
from pipelines.generate.request import GenerateRequest
from pipelines.job import Job, run
from pipelines.studio import Studio
from pipelines.task import Result

SUBJECTS = Path(blipdiff.__file__).parent / "assets" / "subjects"
OUTPUT = Path(__file__).parents[1] / "tasks"
NAMES = ("balloon", "umbrella", "popcorn")
PROMPTS = ("on a beach", "under a night sky", "in the snow", "on a wooden table", "in front of a brick wall")


def main() -> None:
    """Writes scenes.png."""
    studio = Studio.open("mini")
    OUTPUT.mkdir(exist_ok=True)
    scenes = [[photo(name), *(draw(studio, name, prompt) for prompt in PROMPTS)] for name in NAMES]
    save(scenes, ["photo", *PROMPTS], list(NAMES), "scenes.png")


def photo(name: str) -> Image.Image:
    """A bundled subject on white."""
    picture = Image.open(SUBJECTS / f"{name}.png").convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)


def draw(studio: Studio, name: str, prompt: str) -> Image.Image:
    """The first picture of seed 7."""
    request = GenerateRequest(category=name, prompt=prompt, count=1, seed=7)
    job = Job.of(request, subject=SUBJECTS / f"{name}.png")
    return next(event.picture.image for event in run(studio, job) if isinstance(event, Result))


def save(rows: list[list[Image.Image]], headings: list[str], names: list[str], file: str) -> None:
    """A sheet."""
    contact_sheet(rows, headings, names).save(OUTPUT / file, optimize=True)


if __name__ == "__main__":
    main()
