"""How well control nets follow structures from outside the training data: drawn silhouettes, and photographs.

    python benchmarks/structure.py [--photos FOLDER] [--controls mini-canny,mini-depth] [--strengths 1,1.6]
        [--sheet sheet.png]

Ten silhouettes are drawn here, as polygons and curves; `--photos` adds ten pictures from a folder, or of its folders
the first of each, spread evenly. Each structure is drawn in the looks of four bundled subjects. The figure is F1 of
the edges, as `blipdiff evaluate-structure` has it: for edges against the structure picture, for depth against the
silhouette that the map shows. The look is right where the colours inside a silhouette are most like its subject's
among the four; chance is 25 %.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from blipdiff.control.drawn import Pixels, silhouette
from blipdiff.data.records import Pair
from blipdiff.evaluation.statistics import Figure, mean, share
from blipdiff.evaluation.structure import StructureTrial, chosen_by_colour, edge_agreement
from blipdiff.images import fitted, open_picture
from pipelines.evaluate.requests import StructureRequest
from pipelines.evaluate.structure import Way, drawn_trials
from pipelines.sheets import labelled_grid
from pipelines.studio import Studio

SIDE = 128
LOOKS = ("umbrella", "coffee", "croissant", "tractor")
_FINE = 8  # silhouettes are drawn so many times larger
_INK, _PAPER = 70, 235
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True, eq=False)
class Structure:
    """A picture to follow, and the word for what is drawn; `mask` is a silhouette's, None of a photograph."""

    word: str
    picture: Pixels
    mask: Pixels | None


class Brush:
    """Draws in hundredths of the side."""

    def __init__(self) -> None:
        self.canvas = np.zeros((SIDE * _FINE, SIDE * _FINE), np.uint8)

    def _at(self, points: Points) -> np.ndarray:
        return (np.array(points) / 100 * SIDE * _FINE).astype(np.int32)

    def polygon(self, *points: tuple[float, float], ink: int = 255) -> None:
        """Filled."""
        cv2.fillPoly(self.canvas, [self._at(points)], ink)

    def line(self, *points: tuple[float, float], wide: float = 4.0) -> None:
        """Thick, with round ends."""
        cv2.polylines(self.canvas, [self._at(points)], False, 255, round(wide / 100 * SIDE * _FINE))
        for point in points:
            self.ellipse(*point, wide / 2, wide / 2)

    def ellipse(self, x: float, y: float, wide: float, tall: float, turn: float = 0.0, ink: int = 255) -> None:
        """Filled, of these radii."""
        centre, axes = (self._at([pair])[0].tolist() for pair in ((x, y), (wide, tall)))
        cv2.ellipse(self.canvas, centre, axes, turn, 0, 360, ink, -1)

    def ring(self, x: float, y: float, radius: float, wide: float) -> None:
        """A circle's line."""
        self.ellipse(x, y, radius, radius)
        self.ellipse(x, y, radius - wide, radius - wide, ink=0)


def horse(b: Brush) -> None:
    b.ellipse(48, 48, 24, 13)
    b.polygon((58, 46), (72, 20), (80, 16), (84, 22), (72, 52))
    b.polygon((72, 22), (78, 12), (82, 18), (94, 30), (90, 36), (78, 32))
    for hip, knee, foot in ((30, 28, 32), (37, 40, 36), (60, 58, 62), (67, 72, 68)):
        b.line((hip, 52), (knee, 70), (foot, 90), wide=5)
    b.line((26, 44), (16, 52), (14, 70), wide=5)


def chair(b: Brush) -> None:
    b.polygon((28, 8), (36, 8), (38, 92), (30, 92))
    b.polygon((28, 50), (76, 50), (76, 58), (28, 58))
    b.polygon((68, 54), (75, 54), (77, 92), (70, 92))
    b.polygon((34, 12), (44, 12), (46, 50), (34, 50))


def bicycle(b: Brush) -> None:
    b.ring(26, 64, 20, 3.5)
    b.ring(74, 64, 20, 3.5)
    b.line((26, 64), (40, 38), (64, 38), (48, 64), (26, 64), wide=3)
    b.line((48, 64), (37, 32), wide=3)
    b.line((74, 64), (62, 28), (70, 26), wide=3)
    b.line((31, 31), (43, 31), wide=4)


def fish(b: Brush) -> None:
    b.ellipse(44, 50, 34, 19)
    b.polygon((70, 50), (94, 28), (88, 50), (94, 72))
    b.polygon((36, 34), (50, 18), (58, 36))


def house(b: Brush) -> None:
    b.polygon((22, 46), (78, 46), (78, 88), (22, 88))
    b.polygon((12, 48), (50, 12), (88, 48))
    b.polygon((66, 14), (74, 14), (74, 40), (66, 34))
    b.polygon((44, 62), (56, 62), (56, 88), (44, 88), ink=0)


def guitar(b: Brush) -> None:
    b.ellipse(34, 70, 20, 18, -45)
    b.ellipse(48, 54, 14, 13, -45)
    b.line((48, 54), (80, 20), wide=5)
    b.line((80, 20), (88, 12), wide=9)
    b.ellipse(42, 61, 5, 5, ink=0)


def cactus(b: Brush) -> None:
    b.line((50, 18), (50, 84), wide=15)
    b.line((50, 60), (26, 60), (26, 38), wide=9)
    b.line((50, 50), (74, 50), (74, 26), wide=9)
    b.polygon((30, 80), (70, 80), (64, 94), (36, 94))


def crane(b: Brush) -> None:
    b.ellipse(44, 46, 22, 12, 15)
    b.line((62, 44), (68, 26), (78, 16), wide=5)
    b.ellipse(79, 15, 6, 5)
    b.polygon((82, 12), (97, 17), (82, 19))
    b.line((44, 56), (42, 92), wide=3)
    b.line((52, 56), (56, 92), wide=3)
    b.polygon((26, 40), (8, 54), (28, 56))


def key(b: Brush) -> None:
    b.ring(28, 40, 19, 8)
    b.line((42, 50), (86, 80), wide=7)
    b.line((72, 70), (66, 80), wide=6)
    b.line((82, 77), (76, 87), wide=6)


def lamp(b: Brush) -> None:
    b.polygon((36, 10), (64, 10), (82, 44), (18, 44))
    b.line((50, 44), (50, 84), wide=5)
    b.ellipse(50, 87, 22, 5)


DRAWN: tuple[Callable[[Brush], None], ...] = (horse, chair, bicycle, fish, house, guitar, cactus, crane, key, lamp)


def drawn_structures() -> list[Structure]:
    """The silhouettes, dark on light."""
    found = []
    for draw in DRAWN:
        brush = Brush()
        draw(brush)
        mask = cv2.resize(brush.canvas, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        picture = (_PAPER + (_INK - _PAPER) * (mask / 255.0)).astype(np.uint8)
        found.append(Structure(draw.__name__, cv2.merge([picture] * 3), mask))
    return found


def photographs(folder: Path, count: int = 10) -> list[Structure]:
    """Pictures of a folder, or the first of each of its folders, named after it."""
    folders = sorted(one for one in folder.iterdir() if one.is_dir())
    flat = [path for one in folders for path in sorted(one.glob("*.jpg"))[:1]] or sorted(folder.glob("*.jpg"))
    chosen = [flat[i] for i in np.linspace(0, len(flat) - 1, min(count, len(flat))).astype(int)]
    return [
        Structure(
            path.parent.name.rstrip("0123456789").replace("_", " ").split()[-1],
            np.asarray(fitted(open_picture(path).convert("RGB"), (SIDE, SIDE), "crop")),
            None,
        )
        for path in chosen
    ]


def trials_of(structures: Sequence[Structure]) -> list[StructureTrial]:
    """Each structure in each look; the colours are measured inside the silhouette."""
    folder = Path(str(files("blipdiff"))) / "assets" / "subjects"
    photos = [np.asarray(fitted(open_picture(folder / f"{name}.png"), (SIDE, SIDE), "pad")) for name in LOOKS]
    found = []
    for one in structures:
        mask = silhouette(one.picture) if one.mask is None else one.mask
        scene = "" if one.mask is None else "on a white background"
        pair = Pair(one.picture, one.picture, mask, one.word, scene, "", None, 0)
        found += [
            StructureTrial(photo, name, pair, tuple(range(len(LOOKS))), right)
            for right, (photo, name) in enumerate(zip(photos, LOOKS, strict=True))
        ]
    return found


def agreement(trial: StructureTrial, made: Pixels, control: str) -> float:
    """F1 of the edges that were asked for."""
    asked = cv2.merge([trial.structure.mask] * 3) if control.endswith("depth") else trial.structure.target
    return edge_agreement(asked, made)


def main() -> None:
    """Prints a row for each net and strength."""
    options = parsed()
    studio = Studio.open("mini")
    folder = Path(str(files("blipdiff"))) / "assets" / "subjects"
    cut_outs = [cut_out(folder / f"{name}.png") for name in LOOKS]
    structures = drawn_structures() + ([] if options.photos is None else photographs(options.photos))
    trials = trials_of(structures)
    print("| control | strength | drawn, F1 | photographs, F1 | right look of 4 |\n|---|---|---|---|---|")
    rows = [[(Image.fromarray(one.structure.target), one.structure.category) for one in trials]]
    for control in options.controls.split(","):
        for strength in map(float, options.strengths.split(",")):
            request = StructureRequest(strength=strength)
            made = [np.asarray(one) for one in pictures(studio, trials, request, control)]
            scores = [agreement(trial, one, control) for trial, one in zip(trials, made, strict=True)]
            drawn = len(DRAWN) * len(LOOKS)
            hits = [
                chosen_by_colour(one, trial.structure.mask, cut_outs) == trial.right
                for trial, one in zip(trials[:drawn], made, strict=False)
            ]
            figures = (mean(scores[:drawn]), mean(scores[drawn:]) if scores[drawn:] else None, share(hits))
            print(f"| {Path(control).name} | {strength:g} | {told(figures)} |", flush=True)
            rows.append(
                [(Image.fromarray(one), trial.structure.category) for one, trial in zip(made, trials, strict=True)]
            )
    if options.sheet:
        labelled_grid([row[:: len(LOOKS) + 1] for row in rows]).save(options.sheet)


def pictures(
    studio: Studio, trials: Sequence[StructureTrial], request: StructureRequest, control: str
) -> Iterator[Image.Image]:
    """The trials' pictures, in their order."""
    way = Way(control, control, map="relief" if control.endswith("depth") else None)
    for first in range(0, len(trials), request.batch):
        yield from drawn_trials(studio, trials[first : first + request.batch], request, way, first)


def cut_out(path: Path) -> Pixels:
    """A subject with its transparency, which the colours are compared under."""
    return np.asarray(Image.open(path).convert("RGBA"))


def told(figures: tuple[Figure, Figure | None, Figure]) -> str:
    """As cells of a table."""
    drawn, from_photos, looks = figures
    return f"{drawn.as_number()} | {from_photos.as_number() if from_photos else ''} | {looks.as_percent()}"


def parsed() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--controls", default="mini-canny,mini-depth")
    parser.add_argument("--strengths", default="1,1.6")
    parser.add_argument("--sheet", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
