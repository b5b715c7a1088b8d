"""Figures about blends: whether a path leads from one subject to the other, and each region shows its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from blipdiff.data.composites import composite
from blipdiff.data.pairs import PairLibrary
from blipdiff.data.records import Pixels
from blipdiff.errors import ConfigError, ShapeError
from blipdiff.evaluation.protocols import Trial, draw_trials
from blipdiff.evaluation.views import SubjectView

SCENES = (
    "on a grass field",
    "on a beach",
    "in the snow",
    "on a wooden table",
    "under a night sky",
    "on a blue background",
)


@dataclass(frozen=True, slots=True, eq=False)
class SubjectPair:
    """Two unseen subjects of different categories, and among whom each must be found again.

    `candidates` are numbers of the library's subjects, all of different concepts; both of the pair are among them.
    """

    photos: tuple[Pixels, Pixels]
    categories: tuple[str, str]
    candidates: tuple[int, ...]
    rights: tuple[int, int]  # the pair's places among the candidates
    scene: str
    seed: int


def draw_subject_pairs(library: PairLibrary, *, pairs: int = 30, choices: int = 10, seed: int = 0) -> list[SubjectPair]:
    """The same arguments give the same pairs.

    Raises: ConfigError where the library has too few unseen concepts of different categories.
    """
    trials: list[Trial] = []
    for trial in draw_trials(library, subjects=2 * pairs, pictures=1, choices=2, seed=seed):
        names = [library.records[number].category.lower() for number in (trial.pair.subject, trial.wrong)]
        if names[0] != names[1] and len(trials) < pairs:
            trials.append(trial)
    everyone = list(dict.fromkeys(number for trial in trials for number in (trial.pair.subject, trial.wrong)))
    found: list[SubjectPair] = []
    for trial in trials:
        first, second = trial.pair.category, library.records[trial.wrong].category
        others = _others(library, everyone, (trial.pair.subject, trial.wrong), choices - 2, seed + len(found))
        places = [int(place) for place in np.random.default_rng((seed, 7, len(found))).permutation(2 + len(others))]
        pool = [trial.pair.subject, trial.wrong, *others]
        found.append(
            SubjectPair(
                (trial.pair.photo, trial.wrong_photo),
                (first, second),
                tuple(pool[place] for place in places),
                (places.index(0), places.index(1)),
                SCENES[len(found) % len(SCENES)],
                trial.seed % 2**31,
            )
        )
    if len(found) < pairs or any(len(pair.candidates) < choices for pair in found):
        raise ConfigError(
            f"The library has {len(found)} pairs of unseen subjects; {pairs} were asked for, each among {choices}."
        )
    return found


def _others(library: PairLibrary, pool: Sequence[int], pair: tuple[int, int], count: int, seed: int) -> list[int]:
    """Subjects of the other pairs, of as many different concepts: metrics meet few subjects, and learn them once."""
    taken = {library.records[number].concept for number in pair}
    others: list[int] = []
    for number in np.random.default_rng((seed, 8)).permutation(np.array(pool)):
        concept = library.records[int(number)].concept
        if concept not in taken and len(others) < count:
            others.append(int(number))
            taken.add(concept)
    return others


def true_scene(views: Sequence[SubjectView], ground: Pixels) -> Pixels:
    """The subjects side by side on a ground, each in a square of its own: what a perfect model might draw."""
    side = ground.shape[0]
    squares = []
    for view in views:
        placed = cv2.resize(view.placed(0.8), (side, side), interpolation=cv2.INTER_AREA)
        squares.append(composite(placed, ground))
    joined: Pixels = np.concatenate(squares, axis=1)
    return joined


def is_monotone(values: Sequence[float], *, slack: float = 0.0) -> bool:
    """Whether the values never fall by more than `slack`, a fraction of their range."""
    allowed = slack * (max(values) - min(values))
    return all(after >= before - allowed for before, after in pairwise(values))


def spearman(values: Sequence[float]) -> float:
    """The rank correlation of a sequence with its own order: 1 when it rises throughout; 0 for equal values.

    Equal values share their mean rank (Spearman 1904, Am. J. Psychol. 15:72-101).

    Raises: ShapeError for fewer than two values.
    """
    if len(values) < 2:
        raise ShapeError("A rank correlation takes at least two values.")
    ranks, order = _ranks(np.asarray(values, np.float64)), np.arange(len(values), dtype=np.float64)
    if float(ranks.std()) == 0.0:
        return 0.0
    return float(np.corrcoef(ranks, order)[0, 1])


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    mean_ranks: NDArray[np.float64] = (ends - (counts + 1) / 2)[place]
    return mean_ranks
