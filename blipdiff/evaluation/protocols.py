"""What is asked of a model, apart from any model: trials on unseen subjects, and the figures made of the answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from blipdiff.data.pairs import PairLibrary, Split
from blipdiff.data.records import Pair, Pixels
from blipdiff.errors import ConfigError
from blipdiff.evaluation.contexts import NO_STYLE, names_scene
from blipdiff.evaluation.similarity import Metric
from blipdiff.evaluation.statistics import Figure, mean, share
from blipdiff.evaluation.views import Floats, SubjectView, lab
from blipdiff.ranges import LARGEST_SEED

_DRAWS = 500  # before a wish for a scene is given up


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """One subject in one context: what the model is given, and among whom its subject must be found again.

    `pair.target` is the true composite: what a perfect model might have made. `candidates` are numbers of the
    library's subjects, all of different concepts, the right one at the place `right`. `wrong`, whose photo is
    `wrong_photo`, is none of them: given that photo, a model that heeds it hits the right one by chance alone.
    """

    pair: Pair
    candidates: tuple[int, ...]
    right: int
    wrong: int
    wrong_photo: Pixels
    seed: int


def draw_trials(
    library: PairLibrary,
    split: Split = "held_out",
    *,
    subjects: int = 50,
    pictures: int = 4,
    choices: int = 10,
    scenes: Sequence[str] | None = None,
    seed: int = 0,
) -> list[Trial]:
    """`pictures` trials with each of `subjects` subjects, of as many different concepts as there are.

    Contexts come as training draws them, or from `scenes` alone. The same arguments give the same trials.

    Raises: ConfigError where the split has too few concepts, or a scene does not exist.
    """
    members = library.members[split]
    concepts = {library.records[int(i)].concept for i in members}
    if len(concepts) < choices + 1:
        raise ConfigError(
            f"A choice among {choices} takes {choices + 1} unseen concepts; the split '{split}' has {len(concepts)}."
        )
    unknown = sorted(set(scenes or ()) - {record.scene for record in library.scene_records} - {"plain white"})
    if unknown:
        raise ConfigError(f"The library has no scene named {', '.join(unknown)}.")
    rng = np.random.default_rng((seed, 0))
    chosen = _spread(library, members, subjects, rng)
    trials = []
    for number, subject in enumerate(chosen * pictures):
        own = np.random.default_rng((seed, 1, number))
        concept = library.records[subject].concept
        several = _spread(library, members, choices + 1, own)  # all of different concepts
        *others, wrong = [other for other in several if library.records[other].concept != concept][:choices]
        right = int(own.integers(choices))
        candidates = (*others[:right], subject, *others[right:])
        pair = _pair(library, subject, own, scenes)
        wrong_photo = library.draw_subject(wrong, own).photo
        trials.append(
            Trial(pair, candidates, right, wrong, wrong_photo, (seed * 1_000_003 + number) % (LARGEST_SEED + 1))
        )
    return trials


def subject_views(library: PairLibrary, subjects: Sequence[int]) -> list[SubjectView]:
    """The subjects as metrics see them, with their exact masks."""
    return [
        SubjectView.of_cut_out(np.array(library.subjects[subject]), library.records[subject].name)
        for subject in subjects
    ]


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer of a metric: `hit` is 1 when the right subject was chosen, a tie's share of it, or 0.

    `alike` is the right subject's number; `margin` what it leads the best other one by, negative when it lost.
    """

    hit: float
    alike: float
    margin: float


def choose(metric: Metric, picture: Pixels, views: Sequence[SubjectView], right: int) -> Choice:
    """Which of the subjects the picture shows, according to the metric."""
    return choice_of(metric.compare(picture, views), right)


def choice_of(scores: Floats, right: int) -> Choice:
    """The choice that a metric's numbers come to; equal best ones share the hit."""
    best = float(scores.max())
    tied = int((scores == best).sum())
    others = np.delete(scores, right)
    hit = 1 / tied if scores[right] == best else 0.0
    return Choice(hit, float(scores[right]), float(scores[right] - others.max()))


def forced_choice(choices: Sequence[Choice]) -> Figure:
    """The share of pictures that were traced to the right subject."""
    return share([choice.hit for choice in choices])


def likeness(choices: Sequence[Choice], trials: Sequence[Trial]) -> Figure:
    """The mean number that a metric gave the right subject; the interval draws whole subjects again."""
    return mean([choice.alike for choice in choices], groups=[trial.pair.subject for trial in trials])


def context_figures(named: Sequence[tuple[str, str]], trials: Sequence[Trial]) -> Mapping[str, Figure]:
    """How often the scene and the style that were asked for were seen: scenes without and under a style, styles.

    Scenes that a caption does not tell (a plain colour under a style without colours) are left out.
    """
    pairs = [trial.pair for trial in trials]
    scene_hits = [scene == pair.scene for (scene, _), pair in zip(named, pairs, strict=True)]
    style_hits = [style == (pair.style or NO_STYLE) for (_, style), pair in zip(named, pairs, strict=True)]
    plain = [hit for hit, pair in zip(scene_hits, pairs, strict=True) if pair.style is None]
    styled = [
        hit for hit, pair in zip(scene_hits, pairs, strict=True) if pair.style and names_scene(pair.scene, pair.style)
    ]
    return {
        "scene": share(plain),
        "scene under a style": share(styled),
        "style": share([hit for hit, pair in zip(style_hits, pairs, strict=True) if pair.style]),
        "no style where none was asked": share(
            [hit for hit, pair in zip(style_hits, pairs, strict=True) if not pair.style]
        ),
    }


def diversity(groups: Sequence[Sequence[Pixels]]) -> Figure:
    """How much pictures of one request differ: the mean distance of all pairs in each group, in Lab at 32 px.

    0 for equal pictures; 1 would be black against white.
    """
    distances: list[float] = []
    labels: list[int] = []
    for number, pictures in enumerate(groups):
        small = [_small(picture) for picture in pictures]
        distances += [float(np.sqrt(np.square(a - b).sum(2)).mean()) / 100 for a, b in combinations(small, 2)]
        labels += [number] * (len(distances) - len(labels))
    return mean(distances, groups=labels)


def _small(picture: Pixels) -> NDArray[np.float32]:
    side = max(picture.shape[0] // 32, 1)
    rows, columns = (size // side * side for size in picture.shape[:2])
    colours = lab(picture)[:rows, :columns]
    cells: NDArray[np.float32] = colours.reshape(rows // side, side, columns // side, side, 3).mean((1, 3))
    return cells


def _spread(library: PairLibrary, members: NDArray[np.int64], count: int, rng: Generator) -> list[int]:
    """`count` subjects in random order, each concept once before any comes twice."""
    waiting: dict[str, list[int]] = {}
    for subject in rng.permutation(members):
        waiting.setdefault(library.records[int(subject)].concept, []).append(int(subject))
    chosen: list[int] = []
    while len(chosen) < min(count, len(members)):
        chosen += [queue.pop() for queue in waiting.values() if queue]
    return chosen[:count]


def _pair(library: PairLibrary, subject: int, rng: Generator, scenes: Sequence[str] | None) -> Pair:
    for _ in range(_DRAWS):
        pair = library.draw_subject(subject, rng)
        if scenes is None or pair.scene in scenes:
            return pair
    raise ConfigError(f"In {_DRAWS} draws no picture of {', '.join(scenes or ())} came up; name more scenes.")
