"""How much a picture shows a subject: what a judge is, and the judges by name.

A judge knows nothing of any generating model. It takes cut-out subjects and a picture, and gives a number for each
subject; numbers of one judge compare with each other, not with another judge's.
"""

from collections.abc import Sequence
from typing import Protocol

from blipdiff.data.records import Pixels
from blipdiff.errors import ConfigError, MissingDependencyError
from blipdiff.evaluation.colour_shape import ColourShapeJudge
from blipdiff.evaluation.perceptual import PerceptualJudge
from blipdiff.evaluation.views import Floats, SubjectView

JUDGE_NAMES = ("perceptual", "colour and shape")


class Judge(Protocol):
    """Compares one picture with several subjects."""

    name: str

    def compare(self, picture: Pixels, subjects: Sequence[SubjectView]) -> Floats:
        """How much `picture` (H, W, 3) shows each subject: (subjects,), larger is more."""
        ...


def judge_named(name: str) -> Judge:
    """The judge of one of `JUDGE_NAMES`.

    Raises: ConfigError for another name, MissingDependencyError when its packages are not installed.
    """
    if name == "perceptual":
        return PerceptualJudge()
    if name == "colour and shape":
        return ColourShapeJudge()
    raise ConfigError(f"There is no judge named '{name}'; choose one of: {', '.join(JUDGE_NAMES)}.")


def judges() -> list[Judge]:
    """Every judge whose packages are installed, the best first."""
    found: list[Judge] = []
    for name in JUDGE_NAMES:
        try:
            found.append(judge_named(name))
        except MissingDependencyError:
            continue
    return found
