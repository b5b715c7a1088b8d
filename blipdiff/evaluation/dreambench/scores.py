"""What encoders say of a run's pictures, and the figures made of it."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from blipdiff.errors import ConfigError
from blipdiff.evaluation.dreambench.references import VARIANTS
from blipdiff.evaluation.report import Line
from blipdiff.evaluation.statistics import Figure, mean, paired
from blipdiff.evaluation.views import Floats

DINO_SCORE, CLIP_I, CLIP_T = "DINO", "CLIP-I", "CLIP-T"
LIKENESS, FOLLOWING, REAL = "likeness to the references", "likeness to the caption", "real photos to each other"
ALL, OTHERS, GIVEN = "all references", "without the photo that was given", "the photo that was given"
JUDGED = "marks of the judge, as shares of the best one"


@dataclass(frozen=True, slots=True)
class Scored:
    """What was found in one picture.

    name: its file's; given: the places of the photos that the model was given; cosines: by metric and variant, one for
    each reference, None where it has no such variant; caption: CLIP-T; marks: of a judge, from 0 to 1
    """

    name: str
    subject: str
    prompt: int
    given: tuple[int, ...]
    cosines: Mapping[str, Mapping[str, tuple[float | None, ...]]]
    caption: float
    marks: Mapping[str, float] = field(default_factory=dict)

    def likeness(self, metric: str, variant: str, references: str = ALL) -> float:
        """The mean cosine with the references of this name; not-a-number where there is none."""
        wanted = {ALL: (True, False), OTHERS: (False,), GIVEN: (True,)}[references]
        cosines = self.cosines.get(metric, {}).get(variant, ())
        kept = [one for place, one in enumerate(cosines) if (place in self.given) in wanted and one is not None]
        return float(np.mean(kept)) if kept else math.nan

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, told: Any) -> "Scored":
        """What `as_json` made. Raises: ConfigError for damaged values."""
        try:
            cosines = {
                str(metric): {
                    str(variant): tuple(None if one is None else float(one) for one in row)
                    for variant, row in rows.items()
                }
                for metric, rows in told["cosines"].items()
            }
            return cls(
                str(told["name"]),
                str(told["subject"]),
                int(told["prompt"]),
                tuple(int(place) for place in told["given"]),
                cosines,
                float(told["caption"]),
                {str(name): float(mark) for name, mark in told.get("marks", {}).items()},
            )
        except (AttributeError, KeyError, TypeError, ValueError) as reason:
            raise ConfigError(
                "The scores of a run are damaged; delete its folder 'scores' to make them again."
            ) from reason


def cosines_with(picture: Floats, references: Sequence[Floats | None]) -> tuple[float | None, ...]:
    """The cosine of a picture's features with those of each reference, both of length 1."""
    return tuple(None if one is None else float(picture @ one) for one in references)


def figures_of(scored: Sequence[Scored]) -> Iterator[Line]:
    """Every figure of a run: its mean over all pictures, with an interval over whole subjects."""
    groups = _groups(scored)
    for references in (ALL, OTHERS, GIVEN):
        for metric in (DINO_SCORE, CLIP_I):
            for variant in VARIANTS:
                values = [one.likeness(metric, variant, references) for one in scored]
                yield Line(LIKENESS, metric, variant, references, _mean(values, groups), in_percent=False)
    values = [one.caption for one in scored]
    yield Line(FOLLOWING, CLIP_T, "pictures", "all", _mean(values, groups), in_percent=False)
    for name in dict.fromkeys(name for one in scored for name in one.marks):
        marks = [one.marks.get(name, math.nan) for one in scored]
        yield Line(JUDGED, name, "pictures", "all", _mean(marks, groups), in_percent=False)


def real_figures(likenesses: Mapping[str, Mapping[str, Sequence[float]]]) -> Iterator[Line]:
    """How alike photos of one subject are, by metric: the mean over all pairs. likenesses: by metric and subject"""
    for metric, by_subject in likenesses.items():
        values = [one for row in by_subject.values() for one in row]
        groups = [place for place, row in enumerate(by_subject.values()) for _ in row]
        yield Line(REAL, metric, "raw", "pairs of photos", mean(values, groups=groups), in_percent=False)


@dataclass(frozen=True, slots=True)
class Compared:
    """One metric of two runs on the pictures that both have: theirs, ours, and the difference."""

    metric: str
    ours: Figure
    theirs: Figure
    difference: Figure
    chance: float  # of a difference of the other sign, two-sided


def compared(ours: Sequence[Scored], theirs: Sequence[Scored]) -> list[Compared]:
    """Both runs picture by picture: same subject, prompt and place; by a paired bootstrap over subjects.

    Raises: ConfigError where they have no picture in common.
    """
    other = {one.name: one for one in theirs}
    both = [(one, other[one.name]) for one in ours if one.name in other]
    if not both:
        raise ConfigError("The two runs have no picture in common: other subjects, or other prompts.")
    found = []
    for metric in (DINO_SCORE, CLIP_I, CLIP_T):
        pairs = [(_main(one, metric), _main(two, metric), one) for one, two in both]
        kept = [pair for pair in pairs if not math.isnan(pair[0] + pair[1])]
        groups = _groups([pair[2] for pair in kept])
        left, right = [pair[0] for pair in kept], [pair[1] for pair in kept]
        difference, chance = paired(left, right, groups=groups)
        found.append(Compared(metric, mean(left, groups=groups), mean(right, groups=groups), difference, chance))
    return found


def by_subject(scored: Sequence[Scored]) -> dict[str, dict[str, Figure]]:
    """Each subject's means, by metric, with an interval over its prompts."""
    return {
        subject: {
            metric: _mean(
                [_main(one, metric) for one in scored if one.subject == subject],
                [one.prompt for one in scored if one.subject == subject],
            )
            for metric in (DINO_SCORE, CLIP_I, CLIP_T)
        }
        for subject in dict.fromkeys(one.subject for one in scored)
    }


def _main(one: Scored, metric: str) -> float:
    return one.caption if metric == CLIP_T else one.likeness(metric, VARIANTS[0])


def _mean(values: Sequence[float], groups: Sequence[int]) -> Figure:
    kept = [(value, group) for value, group in zip(values, groups, strict=True) if not math.isnan(value)]
    return mean([value for value, _ in kept], groups=[group for _, group in kept])


def _groups(scored: Sequence[Scored]) -> list[int]:
    numbers = {name: place for place, name in enumerate(dict.fromkeys(one.subject for one in scored))}
    return [numbers[one.subject] for one in scored]
