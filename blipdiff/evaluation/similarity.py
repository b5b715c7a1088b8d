"""How much a picture shows a subject: what a metric is, and the metrics by name.

A metric knows nothing of any generating model. It takes cut-out subjects and a picture, and gives a number for each
subject; numbers of one metric compare with each other, not with another metric's.
"""

from collections.abc import Sequence
from typing import Protocol

from blipdiff.data.records import Pixels
from blipdiff.errors import ConfigError, MissingDependencyError
from blipdiff.evaluation.colour_shape import ColourShapeMetric
from blipdiff.evaluation.perceptual import PerceptualMetric
from blipdiff.evaluation.views import Floats, SubjectView

METRIC_NAMES = ("perceptual", "colour and shape")


class Metric(Protocol):
    """Compares one picture with several subjects."""

    name: str

    def compare(self, picture: Pixels, subjects: Sequence[SubjectView]) -> Floats:
        """How much `picture` (H, W, 3) shows each subject: (subjects,), larger is more."""
        ...


def metric_named(name: str) -> Metric:
    """The metric of one of `METRIC_NAMES`.

    Raises: ConfigError for another name, MissingDependencyError when its packages are not installed.
    """
    if name == "perceptual":
        return PerceptualMetric()
    if name == "colour and shape":
        return ColourShapeMetric()
    raise ConfigError(f"There is no metric named '{name}'; choose one of: {', '.join(METRIC_NAMES)}.")


def metrics() -> list[Metric]:
    """Every metric whose packages are installed, the best first."""
    found: list[Metric] = []
    for name in METRIC_NAMES:
        try:
            found.append(metric_named(name))
        except MissingDependencyError:
            continue
    return found
