"""Draws the pictures of docs/editing.md with the bundled model: python docs/figures/editing.py [--steps 20]"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

import blipdiff
from blipdiff.conditioning.subject import SubjectPhoto
from blipdiff.data.composites import composite
from blipdiff.data.drawn.scenes import SCENES, paint_scene
from blipdiff.evaluation.sheets import contact_sheet, save_sheet
from blipdiff.evaluation.views import SubjectView
from blipdiff.images import open_picture
from pipelines.edit.composite import EditPictures
from pipelines.edit.request import EditRequest
from pipelines.generate.request import AttendRequest
from pipelines.job import Job, run
from pipelines.studio import Studio
from pipelines.task import Result

SUBJECTS = Path(blipdiff.__file__).parent / "assets" / "subjects"
OUTPUT = Path(__file__).parents[1] / "editing"
SWAPS = (
    ("popcorn", "padlock", "beach", "on a beach"),
    ("balloon", "eggplant", "grass field", "on a grass field"),
    ("coffee", "croissant", "wooden table", "on a wooden table"),
    ("padlock", "tractor", "snow", "in the snow"),
    ("umbrella", "balloon", "brick wall", "in front of a brick wall"),
    ("eggplant", "popcorn", "moon", "on the moon"),
)
STRENGTHS = (0.25, 0.5, 0.75)


def main() -> None:
    """Writes swaps.png, generated.png and attention.png."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20)
    steps = parser.parse_args().steps
    studio = Studio.open("mini")
    guidance = studio.model.guidance
    rows = []
    for number, (old, new, scene, prompt) in enumerate(SWAPS):
        source = drawn(old, scene, number)
        asked = {"source": old, "target": new, "prompt": prompt, "steps": steps, "guidance": guidance}
        free = {**asked, "keep_background": False}
        found = [edited(studio, EditRequest(**free, strength=strength), new, [source]) for strength in STRENGTHS]
        kept = edited(studio, EditRequest(**asked, keep_background=True), new, [source])
        mask = kept.mask or Image.new("L", source.size)
        rows.append([source, photo(new), *(one.after for one in found), kept.after, mask])
    headings = ["before", "the subject", *(f"strength {one}" for one in STRENGTHS), "background kept", "mask"]
    names = [f"{old} to {new}" for old, new, *_ in SWAPS]
    save_sheet(contact_sheet(rows, headings, names), OUTPUT / "swaps.png")
    save_sheet(generated(studio, steps, guidance), OUTPUT / "generated.png")
    request = AttendRequest(category="balloon", prompt="on a grass field", steps=steps, guidance=guidance)
    (attended,) = results(studio, Job.of(request, subject=photo("balloon")))
    save_sheet(attended.beside["maps"].image, OUTPUT / "attention.png")


def generated(studio: Studio, steps: int, guidance: float) -> Image.Image:
    """Pictures that the model drew itself, before and after."""
    rows, names = [], []
    for old, new, _, prompt in SWAPS[:4]:
        request = EditRequest(
            source=old, target=new, prompt=prompt, from_prompt=True, steps=steps, guidance=guidance, seed=1
        )
        found = edited(studio, request, new, [])
        rows.append([found.before, photo(new), found.after, found.mask or Image.new("L", found.after.size)])
        names.append(f"{old} to {new}")
    return contact_sheet(rows, ["before", "the subject", "after", "mask"], names)


def edited(studio: Studio, request: EditRequest, subject: str, sources: list[Image.Image]) -> EditPictures:
    """One edit, run."""
    job = Job.of(request, subject=SubjectPhoto(photo(subject), subject), source=sources)
    (result,) = results(studio, job)
    assert isinstance(result.detail, EditPictures)
    return result.detail


def results(studio: Studio, job: Job) -> list[Result]:
    """What a job draws."""
    return [event for event in run(studio, job) if isinstance(event, Result)]


def photo(name: str) -> Image.Image:
    """A bundled photo."""
    return open_picture(SUBJECTS / f"{name}.png")


def drawn(name: str, scene: str, seed: int) -> Image.Image:
    """A bundled subject standing in a drawn scene."""
    kind = next(one for one in SCENES if one.name == scene)
    ground, _ = paint_scene(kind, np.random.default_rng(seed), 128)
    return Image.fromarray(composite(SubjectView.of_photo(np.asarray(photo(name))).placed(0.8), ground))


if __name__ == "__main__":
    main()
