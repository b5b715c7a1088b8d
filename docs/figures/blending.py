"""Draws the pictures of docs/blending.md with the bundled model: python docs/figures/blending.py [--steps 20]"""

import argparse
from pathlib import Path
from typing import Any

from PIL import Image

import blipdiff
from blipdiff.conditioning.subject import SubjectPhoto
from blipdiff.evaluation.sheets import save_sheet
from blipdiff.images import open_picture
from pipelines.blend.request import BlendRequest
from pipelines.inputs import Input
from pipelines.job import Job, run
from pipelines.scene.request import SceneRequest
from pipelines.sheets import labelled_grid, save_animation
from pipelines.studio import Studio
from pipelines.task import Result

SUBJECTS = Path(blipdiff.__file__).parent / "assets" / "subjects"
OUTPUT = Path(__file__).parents[1] / "blending"
LEFT, RIGHT = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)


def main() -> None:
    """Writes path.png, path.webp, spacing.png, map.png and scenes.png."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20)
    steps = parser.parse_args().steps
    studio = Studio.open("mini", dtype="float32")
    guidance = studio.model.guidance

    def blended(names: tuple[str, ...], **values: Any) -> list[Result]:
        asked = BlendRequest(steps=steps, guidance=guidance, **values)
        return results(studio, Job.of(asked, subject=[subject(name) for name in names]))

    path = blended(("eggplant", "balloon"), prompt="on a grass field", frames=9)
    save_sheet(sheet(path), OUTPUT / "path.png")
    save_animation([frame.picture.image for frame in path], OUTPUT / "path.webp", per_second=8)
    even = blended(("eggplant", "balloon"), prompt="on a grass field", frames=9, spacing="even")
    rows = [[(frame.picture.image, frame.label) for frame in found] for found in (even, path)]
    save_sheet(labelled_grid(rows), OUTPUT / "spacing.png")
    four = ("balloon", "croissant", "padlock", "eggplant")
    save_sheet(sheet(blended(four, prompt="on a beach", shape="map", side=5)), OUTPUT / "map.png")
    scenes = []
    for first, second, scene in (
        ("eggplant", "croissant", "on a grass field"),
        ("balloon", "padlock", "on a beach"),
        ("tractor", "coffee", "in the snow"),
    ):
        request = SceneRequest(
            prompt=f"a {{{first}}} and a {{{second}}} {scene}", width=256, height=128, steps=steps, guidance=guidance
        )
        placed = [Input(subject(first), first, box=LEFT), Input(subject(second), second, box=RIGHT)]
        (drawn,) = results(studio, Job.of(request, subject=placed))
        scenes.append((drawn.picture.image, request.parsed.text))
    save_sheet(labelled_grid([scenes]), OUTPUT / "scenes.png")


def subject(name: str) -> SubjectPhoto:
    """A bundled photo."""
    return SubjectPhoto(open_picture(SUBJECTS / f"{name}.png"), name)


def results(studio: Studio, job: Job) -> list[Result]:
    """What a job draws."""
    return [event for event in run(studio, job) if isinstance(event, Result)]


def sheet(found: list[Result]) -> Image.Image:
    """A blend's labelled grid."""
    rows: dict[int, list[tuple[Image.Image, str]]] = {}
    for one in found:
        rows.setdefault(one.detail.row, []).append((one.picture.image, one.label))
    return labelled_grid(list(rows.values()))


if __name__ == "__main__":
    main()
