"""Draws the pictures of docs/editing.md with the bundled model: python docs/figures/editing.py [--steps 20]"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image
from pipelines.attend import Attended, run_attend
from pipelines.attention_maps import map_sheet
from pipelines.edit_request import EditRequest
from pipelines.edit_run import Edited, SourcePhoto, run_edit
from pipelines.requests import GenerateRequest

import blipdiff
from blipdiff.conditioning.subject import SubjectPhoto
from blipdiff.data.composites import composite
from blipdiff.data.drawn.scenes import SCENES, paint_scene
from blipdiff.evaluation.sheets import contact_sheet, save_sheet
from blipdiff.evaluation.views import SubjectView
from blipdiff.images import open_picture
from pipelines.studio import Studio

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
        source = SourcePhoto(drawn(old, scene, number))
        asked = {"source": old, "target": new, "prompt": prompt, "steps": steps, "guidance": guidance}
        found = [edited(studio, EditRequest(**asked, strength=strength), new, [source]) for strength in STRENGTHS]
        kept = edited(studio, EditRequest(**asked, keep_background=True), new, [source])
        after = [one.pictures.after for one in found]
        mask = kept.pictures.mask or Image.new("L", source.image.size)
        rows.append([source.image, photo(new), *after, kept.pictures.after, mask])
    headings = ["before", "the subject", *(f"strength {one}" for one in STRENGTHS), "background kept", "mask"]
    names = [f"{old} to {new}" for old, new, *_ in SWAPS]
    save_sheet(contact_sheet(rows, headings, names), OUTPUT / "swaps.png")
    save_sheet(generated(studio, steps, guidance), OUTPUT / "generated.png")
    request = GenerateRequest(category="balloon", prompt="on a grass field", count=1, steps=steps, guidance=guidance)
    subject = studio.subject([SubjectPhoto(photo("balloon"), "balloon")])
    *_, attended = (one for one in run_attend(studio, request, subject) if isinstance(one, Attended))
    save_sheet(map_sheet(attended.picture.image, attended.maps), OUTPUT / "attention.png")


def generated(studio: Studio, steps: int, guidance: float) -> Image.Image:
    """Pictures that the model drew itself, before and after."""
    rows, names = [], []
    for old, new, _, prompt in SWAPS[:4]:
        request = EditRequest(source=old, target=new, prompt=prompt, steps=steps, guidance=guidance, seed=1)
        found = edited(studio, request, new, [])
        mask = found.pictures.mask or Image.new("L", found.pictures.after.size)
        rows.append([found.pictures.before, photo(new), found.pictures.after, mask])
        names.append(f"{old} to {new}")
    return contact_sheet(rows, ["before", "the subject", "after", "mask"], names)


def edited(studio: Studio, request: EditRequest, subject: str, sources: list[SourcePhoto]) -> Edited:
    """One edit, run."""
    embedding = studio.subject([SubjectPhoto(photo(subject), subject)])
    *_, last = (one for one in run_edit(studio, request, embedding, sources) if isinstance(one, Edited))
    return last


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
