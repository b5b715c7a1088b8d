"""Hard choices: the right subject among those that are most easily taken for it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from blipdiff.data.composites import composite, premultiplied
from blipdiff.data.pairs import PairLibrary, recoloured
from blipdiff.evaluation.ensemble import Ensemble
from blipdiff.evaluation.protocols import subject_views
from blipdiff.evaluation.views import FRAME, SubjectView

_TWINS = 2  # of the others: the subject itself in other colours
_SAME_CONCEPT = 3  # of the others at most: what other artists drew under the same name
_LOOKED_AT = 80  # other concepts' subjects among which the most alike are looked for
_GREY = 128


@dataclass(frozen=True, slots=True, eq=False)
class HardChoice:
    """Whom a picture may be taken for; the right subject stands at the place `right`."""

    views: tuple[SubjectView, ...]
    right: int


def hard_choice(
    library: PairLibrary, subject: int, ensemble: Ensemble, *, choices: int = 10, seed: int = 0
) -> HardChoice:
    """A subject of the library among `choices` - 1 others: twins in other colours, other artists' drawings of the same
    thing, and for the rest those of other unseen subjects that the metrics themselves find most alike.

    The same arguments give the same choice.
    """
    rng = np.random.default_rng((seed, 3, subject))
    (own,) = subject_views(library, [subject])
    others = [_twin(library, subject, rng) for _ in range(min(_TWINS, choices - 1))]
    same, rest = _pool(library, subject, rng)
    others += _most_alike(library, own, same, ensemble, min(_SAME_CONCEPT, choices - 1 - len(others)))
    others += _most_alike(library, own, rest, ensemble, choices - 1 - len(others))
    right = int(rng.integers(len(others) + 1))
    return HardChoice((*others[:right], own, *others[right:]), right)


def _twin(library: PairLibrary, subject: int, rng: np.random.Generator) -> SubjectView:
    turned = recoloured(premultiplied(np.array(library.subjects[subject])), rng)
    alpha = turned[..., 3:].astype(np.float32) / 255
    plain = np.where(alpha > 0, turned[..., :3] / np.maximum(alpha, 1 / 255), 0)
    straight = np.dstack([np.clip(plain + 0.5, 0, 255).astype(np.uint8), turned[..., 3]])
    return SubjectView.of_cut_out(straight, f"{library.records[subject].name} in other colours")


def _pool(library: PairLibrary, subject: int, rng: np.random.Generator) -> tuple[list[int], list[int]]:
    """Subjects of the same concept, and unseen ones of others."""
    concept = library.records[subject].concept
    same = [i for i, record in enumerate(library.records) if record.concept == concept and i != subject]
    unseen = np.concatenate([library.members["held_out"], library.members["source"]])
    rest = [int(i) for i in rng.permutation(unseen) if library.records[int(i)].concept != concept]
    return same, rest[:_LOOKED_AT]


def _most_alike(
    library: PairLibrary, own: SubjectView, subjects: Sequence[int], ensemble: Ensemble, count: int
) -> list[SubjectView]:
    """Those that the metrics see most in a picture of the subject on grey."""
    if not subjects or count < 1:
        return []
    views = subject_views(library, subjects)
    shown = composite(own.placed(0.75), np.full((FRAME, FRAME, 3), _GREY, np.uint8))
    return [views[place] for place in ensemble.ranked(shown, views)[:count]]
