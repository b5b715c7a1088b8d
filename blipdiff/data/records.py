"""The values that the training data is made of: subjects, scenes, and pairs of both."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class SubjectRecord:
    """One drawn subject; all records of one `concept` are held out together or not at all."""

    name: str
    category: str
    source: str
    concept: str
    held_out: bool


@dataclass(frozen=True, slots=True)
class SceneRecord:
    """One drawn ground of the pool: `wordings` fits its colours, `colourless` also fits any filter over it."""

    scene: str
    wordings: tuple[str, ...]
    colourless: tuple[str, ...]
    floor: float | None
    casts_shadow: bool
    weight: float


@dataclass(frozen=True, slots=True)
class Pair:
    """A subject's photo, and the same subject in the scene that `prompt` describes.

    `photo`, `target` (side, side, 3) RGB; `mask` (side, side) is the subject's alpha in the target, 0 to 255;
    `floor` is the highest place of the scene's ground, as a fraction of the side from above, None where it has none.
    """

    photo: Pixels
    target: Pixels
    mask: Pixels
    category: str
    prompt: str
    scene: str
    style: str | None
    subject: int
    floor: float | None = None
    word: str | None = None  # for what the target shows, where it is not the category
