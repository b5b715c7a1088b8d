"""Say what a photo shows: request -> a caption, ranked categories and a match; and how often that is right."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from blipdiff.conditioning.prompt import checked_text
from blipdiff.data.pairs import PairLibrary, Split
from blipdiff.evaluation.statistics import Figure, share
from blipdiff.language.answers import LIKELIEST
from blipdiff.language.describing import Describing
from blipdiff.models.describer import SURE, Describer, Description
from pipelines.parameters import check, parameter


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribeRequest:
    """What is asked of a photo."""

    text: str | None = parameter(None, "Text", "A text to be matched with the photo, instead of the caption.")
    count: int = parameter(5, "Categories", "How many categories are named.", low=1, high=100, step=1)
    fit: str = parameter(
        "pad", "Photo fit", "How a photo that is no square is made one.", choices=("crop", "pad", "squash")
    )

    def __post_init__(self) -> None:
        check(self)
        if self.text is not None:
            checked_text(self.text, "text")


@dataclass(frozen=True, slots=True)
class CategoryFigures:
    """How often a subject's own category is among the first, and the likeliest are told from others."""

    first: Figure
    among_five: Figure
    matched: Figure  # photos whose category fits better than that of another one
    sure: Figure  # photos of whose categories it is sure
    sure_among_five: Figure | None  # of these, how often the own one is among the first; None where there are none


def describe(describer: Describer, photo: Image.Image, request: DescribeRequest) -> Description:
    """The answer to a request.

    Raises: ImageError for a photo that shows nothing, PromptError for a text that cannot be read.
    """
    return describer.describe(photo, text=request.text, count=request.count, fit=request.fit)  # type: ignore[arg-type]


def describe_by(describing: Describing, photo: Image.Image, request: DescribeRequest) -> Description:
    """The same by any engine, which takes photos in its own way.

    Raises: ImageError for a photo that shows nothing, PromptError for a text that cannot be read.
    """
    (caption,) = describing.captions(photo, 1, LIKELIEST)
    text = request.text or caption or "nothing"
    (match,) = describing.matches(photo, [text])
    return Description(caption, describing.named(photo, request.count), text, match)


def measure_categories(
    describer: Describer,
    library: PairLibrary,
    split: Split,
    *,
    subjects: int = 200,
    seed: int = 0,
    batch: int = 25,
    progress: Callable[[int, int], object] | None = None,
) -> CategoryFigures:
    """The describer on photos of subjects that it has never seen; `progress` is told how many of them are done.

    A category that is not in its list counts as missed; the words of held-out concepts it has never read.
    """
    rng = np.random.default_rng(seed)
    members = library.members[split]
    chosen = rng.permutation(members)[:subjects]
    categories = [library.records[int(subject)].category for subject in chosen]
    photos = [Image.fromarray(library.draw_subject(int(subject), rng).photo) for subject in chosen]
    others = [
        next(name for name in [*categories[place:], *categories] if name != categories[place])
        for place in range(len(categories))
    ]
    ranks: list[int] = []
    sure: list[bool] = []
    better: list[bool] = []
    for begin in range(0, len(photos), batch):
        stop = min(begin + batch, len(photos))
        patches = describer.patches(photos[begin:stop])
        for names, category in zip(describer.ranked(patches), categories[begin:stop], strict=True):
            ranked = [name for name, _ in names]
            sure.append(names[0][1] >= SURE)
            ranks.append(ranked.index(category) if category in ranked else len(ranked))
        right = describer.matches(patches, categories[begin:stop])
        better += (right > describer.matches(patches, others[begin:stop])).tolist()
        if progress is not None:
            progress(len(better), len(photos))
    among_five = [rank < 5 for rank in ranks]
    kept = [found for found, is_sure in zip(among_five, sure, strict=True) if is_sure]
    return CategoryFigures(
        share([rank == 0 for rank in ranks]),
        share(among_five),
        share(better),
        share(sure),
        share(kept) if kept else None,
    )
