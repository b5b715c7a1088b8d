"""The picture of docs/stylize.md: each preprocessor that is drawn without weights, on two bundled subjects.

python benchmarks/map_sheet.py docs/preprocessors.png
"""

import sys
from importlib.resources import files
from pathlib import Path

from PIL import Image

from blipdiff.control.choices import DRAWN, MapChoice
from blipdiff.control.preprocessors import Preprocessors
from blipdiff.images import fitted, open_picture
from blipdiff.outputs import written_file
from pipelines.sheets import labelled_grid

SIDE = 160
SUBJECTS = ("tractor", "croissant")
VARIANTS = {"canny": {"low": 40, "high": 90}, "scribble": {"detail": 0.9}, "relief": {"floor": 0.7}}


def main(path: Path) -> None:
    """Writes the sheet."""
    folder = Path(str(files("blipdiff"))) / "assets" / "subjects"
    rows = []
    for name in SUBJECTS:
        picture = fitted(open_picture(folder / f"{name}.png"), (SIDE, SIDE), "pad")
        rows.append([(map_of(picture, MapChoice(one)), one) for one in DRAWN])
        rows.append([
            (map_of(picture, MapChoice(one, settings)), one + "".join(f", {k} {v:g}" for k, v in settings.items()))
            for one, settings in VARIANTS.items()
        ])  # fmt: skip
    with written_file(path) as part:
        labelled_grid(rows).save(part, format="PNG", optimize=True)


def map_of(picture: Image.Image, choice: MapChoice) -> Image.Image:
    """One map."""
    return Preprocessors().map_of(picture, choice)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
