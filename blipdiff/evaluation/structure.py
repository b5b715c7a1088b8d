"""Whether a picture follows another's structure, and whose colours it has: measures that know no model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from blipdiff.control.drawn import canny
from blipdiff.data.pairs import PairLibrary, Split
from blipdiff.data.records import Pair, Pixels
from blipdiff.errors import ConfigError

TOLERANCE = 2  # pixels
_BINS = (8, 12, 12)  # of lightness and of the two colour axes
_BLUR = 1.0  # of the histograms, in bins: neighbouring colours are alike


@dataclass(frozen=True, slots=True, eq=False)
class StructureTrial:
    """One look in another subject's picture; `candidates` are subjects of different concepts, `right` the look's place.

    `structure.target` gives the structure, `structure.mask` the shape whose colours are measured. `alike` are as many
    subjects whose colours are those that are most easily taken for the look's, which stands at the same place.
    """

    look: Pixels  # the photo (side, side, 3), the subject on white or plain ground
    category: str
    structure: Pair
    candidates: tuple[int, ...]
    right: int
    alike: tuple[int, ...] = ()


def draw_structure_trials(
    library: PairLibrary, split: Split = "held_out", *, count: int = 50, choices: int = 10, seed: int = 0
) -> list[StructureTrial]:
    """`count` trials, looks of as many different concepts as there are; the same arguments give the same trials.

    Raises: ConfigError where the split has too few concepts.
    """
    rng = np.random.default_rng((seed, 77))
    by_concept: dict[str, list[int]] = {}
    for member in library.members[split]:
        by_concept.setdefault(library.records[int(member)].concept, []).append(int(member))
    concepts = sorted(by_concept)
    if len(concepts) < choices + 1:
        raise ConfigError(f"A choice among {choices} takes {choices + 1} concepts; '{split}' has {len(concepts)}.")
    order = [concepts[i] for i in rng.permutation(len(concepts))]
    trials = [_trial(library, by_concept, order[i % len(order)], choices, rng) for i in range(count)]
    colours = {
        member: _colours_of(np.asarray(library.subjects[member])) for part in by_concept.values() for member in part
    }
    return [replace(one, alike=_most_alike(library, one, colours)) for one in trials]


def edge_agreement(structure: Pixels, picture: Pixels, low: float = 100.0, high: float = 200.0) -> float:
    """F1 of the Canny maps of two pictures of one size: edges that have one of the other's within 2 pixels count."""
    one, other = canny(structure, low, high) > 0, canny(picture, low, high) > 0
    if not one.any() or not other.any():
        return 0.0
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * TOLERANCE + 1, 2 * TOLERANCE + 1))
    near_one, near_other = (cv2.dilate(edges.astype(np.uint8), kernel) > 0 for edges in (one, other))
    precision, recall = near_one[other].mean(), near_other[one].mean()
    return float(2 * precision * recall / max(precision + recall, 1e-9))


def chosen_by_colour(picture: Pixels, mask: Pixels, candidates: Sequence[Pixels]) -> int:
    """Which candidate's colours are most like those of `picture` inside `mask`: its place.

    candidates: (H, W, 4) RGBA cut-outs
    """
    inside = _colours(picture, mask)
    return int(np.argmax([_alikeness(inside, _colours_of(one)) for one in candidates]))


def _trial(
    library: PairLibrary, by_concept: dict[str, list[int]], concept: str, choices: int, rng: Generator
) -> StructureTrial:
    def one_of(name: str) -> int:
        return by_concept[name][int(rng.integers(len(by_concept[name])))]

    others = [name for name in sorted(by_concept) if name != concept]
    picked = [others[i] for i in rng.permutation(len(others))[:choices]]
    look = one_of(concept)
    right = int(rng.integers(choices))
    candidates = [one_of(name) for name in picked[1:]]
    candidates.insert(right, look)
    photo = library.draw_subject(look, rng).photo
    structure = library.draw_subject(one_of(picked[0]), rng)
    return StructureTrial(photo, library.records[look].category, structure, tuple(candidates), right)


def _most_alike(
    library: PairLibrary, trial: StructureTrial, colours: Mapping[int, NDArray[np.float32]]
) -> tuple[int, ...]:
    """The look among those of other concepts whose colours are most like its own."""
    look = trial.candidates[trial.right]
    concept = library.records[look].concept
    others = [member for member in colours if library.records[member].concept != concept]
    others.sort(key=lambda member: -_alikeness(colours[look], colours[member]))
    alike = others[: len(trial.candidates) - 1]
    return (*alike[: trial.right], look, *alike[trial.right :])


def _alikeness(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    return float(np.sqrt(one * other).sum())  # Bhattacharyya's coefficient


def _colours_of(layers: Pixels) -> NDArray[np.float32]:
    return _colours(layers[..., :3], layers[..., 3])


def _colours(picture: Pixels, mask: Pixels) -> NDArray[np.float32]:
    """A smooth histogram of the colours under a mask, summing to 1."""
    lab = cv2.cvtColor(picture, cv2.COLOR_RGB2LAB)
    inside = lab[mask > 200].astype(np.float32)
    ranges = ((0, 256), (40, 216), (40, 216))
    counts, _ = np.histogramdd(inside, bins=_BINS, range=ranges)
    for axis in range(3):
        counts = _blurred(counts, axis)
    return np.asarray(counts / max(counts.sum(), 1e-9), np.float32)


def _blurred(counts: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    moved = np.moveaxis(counts, axis, 0)
    flat = np.ascontiguousarray(moved.reshape(moved.shape[0], -1))
    smooth = cv2.GaussianBlur(flat, (1, 5), sigmaX=0.1, sigmaY=_BLUR, borderType=cv2.BORDER_REPLICATE)
    return np.moveaxis(np.asarray(smooth, np.float64).reshape(moved.shape), 0, axis)
