"""What tells a picture of a subject from one that is merely like it: hard choices, and structure alone."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from blipdiff.data.pairs import PairLibrary
from blipdiff.data.records import Pixels
from blipdiff.diffusers_types import VAE
from blipdiff.evaluation.ensemble import Ensemble
from blipdiff.evaluation.hard import hard_choice
from blipdiff.evaluation.inner_structure import InnerStructureMetric, structure_share
from blipdiff.evaluation.protocols import Choice, Trial, choice_of, forced_choice, subject_views
from blipdiff.evaluation.report import Line
from blipdiff.evaluation.summary import TRUE
from blipdiff.images import picture_tensor, to_pictures
from blipdiff.latents import decode_latents, encode_picture
from pipelines.evaluate.requests import EvaluationProgress

HARD_CHOICE = "hard choice: twins in other colours, other artists' drawings, the most alike of others"
INNER_CHOICE = "forced choice by structure alone"
INNER_SHARE = "structure inside the outline (0 a wrong subject, 1 a true composite seen through the autoencoder)"


@dataclass(slots=True, eq=False)
class _Seen:
    """What was found in the pictures of one column."""

    hard: list[Choice] = field(default_factory=list)
    inner: list[Choice] = field(default_factory=list)
    own: list[float] = field(default_factory=list)
    wrong: list[float] = field(default_factory=list)


def hard_lines(
    vae: VAE,
    library: PairLibrary,
    trials: Sequence[Trial],
    pictures: Mapping[str, Sequence[Pixels]],
    ensemble: Ensemble,
    *,
    choices: int = 10,
) -> Generator[EvaluationProgress, None, list[Line]]:
    """Progress after each trial; returns the figures of every column.

    pictures: by column, one for each trial; true composites are seen through the autoencoder, whose softness no model
    can do without
    """
    columns = {TRUE: [_through(vae, one) for one in pictures[TRUE]]}
    columns |= {column: list(drawn) for column, drawn in pictures.items() if column != TRUE}
    inner, seen = InnerStructureMetric(), {column: _Seen() for column in columns}
    for number, trial in enumerate(trials):
        asked = hard_choice(library, trial.pair.subject, ensemble, choices=choices)
        views = subject_views(library, trial.candidates)
        for column, drawn in columns.items():
            found, picture = seen[column], drawn[number]
            found.hard.append(choice_of(ensemble.compare(picture, asked.views)[ensemble.names[0]], asked.right))
            scores = inner.compare(picture, views)
            found.inner.append(choice_of(scores, trial.right))
            found.own.append(float(scores[trial.right]))
            found.wrong.append(float(np.delete(scores, trial.right).mean()))
        yield EvaluationProgress("hard choices", number + 1, len(trials))
    return list(_lines(seen, ensemble.names[0]))


def _lines(seen: Mapping[str, _Seen], name: str) -> Iterator[Line]:
    for column, found in seen.items():
        yield Line(HARD_CHOICE, name, column, "all", forced_choice(found.hard))
        yield Line(INNER_CHOICE, InnerStructureMetric.name, column, "all", forced_choice(found.inner))
        share = structure_share(found.own, found.wrong, seen[TRUE].own)
        yield Line(INNER_SHARE, InnerStructureMetric.name, column, "all", share, in_percent=False)


def _through(vae: VAE, picture: Pixels) -> Pixels:
    latents = encode_picture(vae, picture_tensor(Image.fromarray(picture))[None].to(vae.device))
    return np.asarray(to_pictures(decode_latents(vae, latents))[0])
