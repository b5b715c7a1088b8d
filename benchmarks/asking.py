"""What a describer can tell when it is asked, on an artist whose drawings were not trained on.

    python benchmarks/asking.py --data LIBRARY [--describer mini-describe] [--subjects 300] [--fit]

Of each subject a photo and a scene are drawn; it is asked of what is true and of what is not: the category, the main
colour, the scene; which of two categories; which colour. Then scenes of two things side by side: how much of the
matcher's relevance lies on the thing that was asked about. --fit prints the logistic regressions of
`blipdiff/language/verdicts.py`, of subjects that are not among those measured.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.random import Generator
from PIL import Image
from torch import Tensor

from blipdiff.checkpoints.describer import load_describer
from blipdiff.data import PairLibrary
from blipdiff.data.captions import main_colour
from blipdiff.language import verdicts
from blipdiff.language.captioners import DescriberCaptions
from blipdiff.language.mini import DescriberEngine
from blipdiff.language.questions import COLOURS, with_article
from blipdiff.models.describer import Describer

FITTED_SEED, FITTED, MEASURED_SEED = 11, 350, 77
_THING_SIDE, _SCENE_SIDE = 60, 128  # pixels of a thing among two, and of their scene


def main() -> None:
    """Prints the shares that are right."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--describer", default="mini-describe")
    arguments.add_argument("--subjects", type=int, default=300)
    arguments.add_argument("--fit", action="store_true")
    asked = arguments.parse_args()
    describer, library = load_describer(asked.describer), PairLibrary(asked.data)
    if asked.fit:
        print_fits(describer, library)
    for kind, right in told_right(DescriberEngine(describer), library, asked.subjects).items():
        print(f"{kind}: {np.mean(right):.1%} of {len(right)}")
    own, other = relevance_shares(describer, library, asked.subjects // 5)
    print(f"relevance on what was asked about {np.mean(own):.1%}, on the other thing {np.mean(other):.1%}, ", end="")
    print(f"more on the right one in {np.mean(own > other):.1%} of {len(own)}")


def subjects_of(library: PairLibrary, *, fitted: bool, count: int) -> list[int]:
    """Subjects of the held-out artist: those that regressions are fitted on, or others."""
    members = library.members["source"]
    known = [int(one) for one in np.random.default_rng(FITTED_SEED).permutation(members)[:FITTED]]
    if fitted:
        return known[:count]
    order = np.random.default_rng(MEASURED_SEED).permutation(members)
    return [int(one) for one in order if int(one) not in set(known)][:count]


def told_right(engine: DescriberEngine, library: PairLibrary, count: int) -> dict[str, list[bool]]:
    """By kind of question, which answers are right; the true one and a wrong one are asked for alike."""
    found: dict[str, list[bool]] = {kind: [] for kind in ("category", "which", "colour", "which colour", "scene")}
    for case in cases(library, subjects_of(library, fitted=False, count=count)):
        name, other = with_article(case.category), with_article(case.other)
        found["category"] += yes_and_no(engine, case.photo, f"is it {name}?", f"is it {other}?")
        found["which"].append(engine.answer(case.photo, f"is it {name} or {other}?").text == case.category)
        if case.colour is not None:
            found["colour"] += yes_and_no(engine, case.photo, f"is it {case.colour}?", f"is it {case.wrong_colour}?")
            found["which colour"].append(engine.answer(case.photo, "what colour is it?").text == case.colour)
        patches = engine.describer.patches([case.scene])
        first = engine.describer.ranked(patches)[0][0][0]
        for place, is_true in ((case.place, True), (case.wrong_place, False)):
            found["scene"].append((verdicts.place_chance(engine.describer, patches, first, place) > 0.5) is is_true)
    return found


def yes_and_no(engine: DescriberEngine, photo: Image.Image, true: str, wrong: str) -> list[bool]:
    """Whether the one is affirmed, the other denied."""
    return [engine.answer(photo, true).text == "yes", engine.answer(photo, wrong).text == "no"]


class Case:
    """A subject with what is true of it, and what is not."""

    def __init__(self, library: PairLibrary, subject: int, others: list[str], rng: Generator) -> None:
        cut_out = library.cut_out(subject, rng)
        self.category = library.records[subject].category
        self.other = next(one for one in rng.permutation(others) if one != self.category)
        self.colour = main_colour(cut_out)
        self.wrong_colour = str(rng.choice([one for one in COLOURS if one != self.colour]))
        self.photo = Image.fromarray(library._photo(cut_out, rng))
        pair = wrong = library.draw_subject(subject, rng)
        while wrong.scene == pair.scene:
            wrong = library.draw_subject(subject, rng)
        self.scene, self.place, self.wrong_place = Image.fromarray(pair.target), pair.prompt, wrong.prompt


def cases(library: PairLibrary, subjects: list[int]) -> Iterator[Case]:
    """One of each subject."""
    rng, names = np.random.default_rng(MEASURED_SEED), [library.records[one].category for one in subjects]
    return (Case(library, subject, names, rng) for subject in subjects)


def relevance_shares(describer: Describer, library: PairLibrary, scenes: int) -> tuple[np.ndarray, np.ndarray]:
    """Of scenes of two training subjects: shares of the matcher's relevance on the right thing, and on the other."""
    rng, captions = np.random.default_rng(2), DescriberCaptions(describer)
    found = []
    for _ in range(scenes):
        pair = [int(one) for one in rng.choice(library.members["train"], 2, replace=False)]
        scene, masks = two_things(library, pair, rng)
        for place, subject in enumerate(pair):
            shares = captions.relevance(scene, with_article(library.records[subject].category))
            found.append([float(shares[masks[place]].sum()), float(shares[masks[1 - place]].sum())])
    own, other = np.array(found).T
    return own, other


def two_things(library: PairLibrary, pair: list[int], rng: Generator) -> tuple[Image.Image, list[Tensor]]:
    """Two subjects side by side on white, and the patches that each touches."""
    picture, masks = np.full((_SCENE_SIDE, _SCENE_SIDE, 3), 255.0), []
    for place, subject in enumerate(pair):
        size = (_THING_SIDE, _THING_SIDE)
        small = cv2.resize(library.cut_out(subject, rng), size, interpolation=cv2.INTER_AREA).astype(float)
        alpha, top, left = small[..., 3:] / 255, (_SCENE_SIDE - _THING_SIDE) // 2, 2 + place * _SCENE_SIDE // 2
        window = picture[top : top + _THING_SIDE, left : left + _THING_SIDE]
        window[:] = small[..., :3] + window * (1 - alpha)
        covered = np.zeros((_SCENE_SIDE, _SCENE_SIDE))
        covered[top : top + _THING_SIDE, left : left + _THING_SIDE] = alpha[..., 0]
        masks.append(torch.tensor(covered.reshape(8, 16, 8, 16).mean(axis=(1, 3)) > 0.05))
    return Image.fromarray(picture.astype(np.uint8)), masks


def print_fits(describer: Describer, library: PairLibrary) -> None:
    """The weights of the evidence for a thing, a colour and a place, and their constants."""
    rows: dict[str, list[tuple[list[float], bool]]] = {"thing": [], "colour": [], "place": []}
    for case in cases(library, subjects_of(library, fitted=True, count=FITTED)):
        patches = describer.patches([case.photo])
        for name, is_true in ((case.category, True), (case.other, False)):
            rows["thing"].append((verdicts.thing_evidence(describer, patches, name), is_true))
        if case.colour is not None:
            for colour, is_true in ((case.colour, True), (case.wrong_colour, False)):
                rows["colour"].append((verdicts.colour_evidence(describer, patches, case.category, colour), is_true))
        scene = describer.patches([case.scene])
        first = describer.ranked(scene)[0][0][0]
        for place, is_true in ((case.place, True), (case.wrong_place, False)):
            rows["place"].append((verdicts.place_evidence(describer, scene, first, place), is_true))
    for kind, told in rows.items():
        weights, constant = logistic([evidence for evidence, _ in told], [is_true for _, is_true in told])
        print(f"{kind}: weights {[round(one, 3) for one in weights]}, constant {constant:.3f}, of {len(told)}")


def logistic(evidence: list[list[float]], true: list[bool]) -> tuple[list[float], float]:
    """Weights and constant of the regression that makes the true most likely."""
    rows, wanted = torch.tensor(evidence, dtype=torch.float64), torch.tensor(true, dtype=torch.float64)
    mean, std = rows.mean(dim=0), rows.std(dim=0)
    weights = torch.zeros(rows.shape[1], dtype=torch.float64, requires_grad=True)
    constant = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights, constant], max_iter=200)

    def loss() -> Tensor:
        optimizer.zero_grad()
        logits = (rows - mean) / std @ weights + constant
        found = torch.nn.functional.binary_cross_entropy_with_logits(logits, wanted) + 1e-3 * (weights**2).sum()
        found.backward()
        return found

    optimizer.step(loss)
    scaled = (weights / std).detach()
    return scaled.tolist(), float(constant.detach() - (scaled * mean).sum())


if __name__ == "__main__":
    main()
