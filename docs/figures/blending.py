"""Draws the pictures of docs/blending.md with the bundled model: python docs/figures/blending.py [--steps 20]"""

import argparse
from pathlib import Path

from PIL import Image
from pipelines.blend_request import BlendRequest
from pipelines.results import Picture
from pipelines.scene_request import SceneRequest

import blipdiff
from blipdiff.conditioning.subject import SubjectPhoto
from blipdiff.evaluation.sheets import save_sheet
from blipdiff.images import open_picture
from pipelines.blend import Blended, blend
from pipelines.scene import Placed, draw_scene
from pipelines.sheets import labelled_grid, save_animation
from pipelines.studio import Studio

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

    def blended(names: tuple[str, ...], **values: object) -> Blended:
        asked = BlendRequest(steps=steps, guidance=guidance, **values)  # type: ignore[arg-type]
        photos = [subject(name) for name in names]
        return [event for event in blend(studio, asked, photos) if isinstance(event, Blended)][-1]

    path = blended(("eggplant", "balloon"), prompt="on a grass field", frames=9)
    save_sheet(sheet(path), OUTPUT / "path.png")
    save_animation([frame.picture.image for frame in path.frames], OUTPUT / "path.webp", per_second=8)
    even = blended(("eggplant", "balloon"), prompt="on a grass field", frames=9, spacing="even")
    rows = [[(frame.picture.image, frame.label) for frame in found.frames] for found in (even, path)]
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
        placed = [Placed(first, subject(first), LEFT), Placed(second, subject(second), RIGHT)]
        drawn = [event.image for event in draw_scene(studio, request, placed) if isinstance(event, Picture)]
        scenes.append((drawn[0], request.parsed.text))
    save_sheet(labelled_grid([scenes]), OUTPUT / "scenes.png")


def subject(name: str) -> SubjectPhoto:
    """A bundled photo."""
    return SubjectPhoto(open_picture(SUBJECTS / f"{name}.png"), name)


def sheet(found: Blended) -> Image.Image:
    """A blend's labelled grid."""
    return labelled_grid([[(frame.picture.image, frame.label) for frame in row] for row in found.rows])


if __name__ == "__main__":
    main()
