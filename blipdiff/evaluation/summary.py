"""From metrics' answers to the lines, notes and rows of a report."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from blipdiff.data.records import Pixels
from blipdiff.evaluation.page import Shown
from blipdiff.evaluation.protocols import (
    Choice,
    Trial,
    choice_of,
    context_figures,
    diversity,
    forced_choice,
    likeness,
)
from blipdiff.evaluation.report import Line
from blipdiff.evaluation.views import Floats

TRUE, RIGHT, WRONG, NO_SUBJECT = "true composite", "right subject", "wrong subject", "no subject"
COLUMNS = (TRUE, RIGHT, WRONG, NO_SUBJECT)

FORCED_CHOICE = "forced choice of the right subject"
GIVEN_PHOTO = "forced choice of the given photo, the right one not among them"
LIKENESS = "likeness to the right subject (standard deviations above chance)"
DIVERSITY = "diversity (mean distance in Lab)"
CONTEXTS = "contexts"

_CASES: Mapping[str, Callable[[Trial], bool]] = {
    "all": lambda trial: True,  # noqa: ARG005
    "no style": lambda trial: trial.pair.style is None,
    "under a style": lambda trial: trial.pair.style is not None,
}


@dataclass(slots=True, eq=False)
class Answers:
    """What the metrics said of every trial: collected while pictures are measured."""

    choices: dict[str, dict[str, list[Choice]]] = field(default_factory=dict)  # metric, column
    given: dict[str, list[Choice]] = field(default_factory=dict)  # metric; of the wrong subject's column
    contexts: dict[str, list[tuple[str, str]]] = field(default_factory=dict)  # column


def collect(answers: Answers, column: str, scores: Mapping[str, Floats], trial: Trial) -> None:
    """Adds every metric's choice of the right subject, and in the wrong subject's column that of the given photo.

    scores: by metric, of the candidates, then of the wrong subject
    """
    for metric, numbers in scores.items():
        choice = choice_of(numbers[:-1], trial.right)
        answers.choices.setdefault(metric, {}).setdefault(column, []).append(choice)
        if column == WRONG:
            replaced = numbers[:-1].copy()
            replaced[trial.right] = numbers[-1]
            answers.given.setdefault(metric, []).append(choice_of(replaced, trial.right))


def lines_of(answers: Answers, trials: Sequence[Trial], groups: Sequence[Sequence[Pixels]]) -> Iterator[Line]:
    """Every figure: forced choice and likeness by metric and column, contexts by column, diversity.

    groups: pictures of one request each, from several seeds
    """
    for metric, by_column in answers.choices.items():
        for cases, holds in _CASES.items():
            kept = [number for number, trial in enumerate(trials) if holds(trial)]
            for column, choices in by_column.items():
                figure = forced_choice([choices[number] for number in kept])
                yield Line(FORCED_CHOICE, metric, column, cases, figure)
            given = answers.given.get(metric, [])
            if given:
                yield Line(GIVEN_PHOTO, metric, WRONG, cases, forced_choice([given[number] for number in kept]))
    for metric, by_column in answers.choices.items():
        for column, choices in by_column.items():
            yield Line(LIKENESS, metric, column, "all", likeness(choices, trials), in_percent=False)
    for column, named in answers.contexts.items():
        for measure, figure in context_figures(named, trials).items():
            yield Line(measure, CONTEXTS, column, "all", figure)
    if groups:
        firsts = [group[0] for group in groups]
        yield Line(DIVERSITY, "Lab", "several seeds of one request", "all", diversity(groups), in_percent=False)
        yield Line(DIVERSITY, "Lab", "different requests", "all", diversity([firsts]), in_percent=False)


def notes_of(choices: int) -> tuple[str, ...]:
    """What a reader must know to read the figures."""
    return (
        f"Each picture is compared with {choices} unseen subjects of different concepts: its own and {choices - 1} "
        f"others; chance is {100 / choices:.0f} %. The column '{TRUE}' holds the same subjects in the same contexts "
        "drawn by code: what a metric says of them is the ceiling of its measure. The wrong subject's photo is none of "
        "the compared ones. Brackets hold 95 % intervals: Wilson's for shares, a bootstrap over subjects for means.",
        "No metric has any part in the model or in its training: cut-outs are compared with pictures by colours and "
        "edges, by an ImageNet network, and by both together, as standard scores: each subject's zero and unit are its "
        "mean and spread on pictures that do not show it; scenes and styles are named by a small head on that network, "
        "which was trained on true composites of training subjects, never on generated pictures.",
    )


def most_missed(answers: Answers, trials: Sequence[Trial], column: str = RIGHT, most: int = 8) -> str:
    """The scenes that were most often taken for another one, in words."""
    named = answers.contexts.get(column, [])
    pairs = [(trial.pair, scene) for trial, (scene, _) in zip(trials, named, strict=False)]
    missed = Counter(f"{pair.scene} as {scene}" for pair, scene in pairs if pair.style is None and scene != pair.scene)
    return ", ".join(f"{words} ({count})" for words, count in missed.most_common(most)) or "none"


def rows_of(
    answers: Answers, trials: Sequence[Trial], pictures: Mapping[str, Sequence[Pixels]], most: int
) -> tuple[tuple[str, ...], tuple[tuple[Shown, ...], ...]]:
    """The headings and the first `most` trials with their photos and pictures, marked by the first metric's choice."""
    metric = next(iter(answers.choices), None)
    rows = []
    for number, trial in enumerate(trials[:most]):
        words = f"{trial.pair.category} {trial.pair.prompt}"
        row = [Shown(trial.pair.photo, words)]
        for column in COLUMNS:
            if column not in pictures:
                continue
            if column == WRONG:
                row.append(Shown(trial.wrong_photo, "the wrong photo"))
            hit = None if metric is None else answers.choices[metric][column][number].hit > 0.5
            row.append(Shown(np.asarray(pictures[column][number]), _context(answers, column, number), hit))
        rows.append(tuple(row))
    headings = ["photo"]
    for column in COLUMNS:
        if column in pictures:
            headings += ["wrong photo", column] if column == WRONG else [column]
    return tuple(headings), tuple(rows)


def _context(answers: Answers, column: str, number: int) -> str:
    if column not in answers.contexts:
        return ""
    scene, style = answers.contexts[column][number]
    return f"seen: {scene}" + ("" if style == "none" else f", {style}")
