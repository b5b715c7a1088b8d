"""Several metrics at one picture, on one scale: how far a subject's score stands above what it scores by chance."""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from blipdiff.data.pairs import PairLibrary
from blipdiff.data.records import Pixels
from blipdiff.errors import ConfigError
from blipdiff.evaluation.similarity import Metric, metrics
from blipdiff.evaluation.views import Floats, SubjectView

TOGETHER = "together"

_UNRELATED = 24
_BLURS = (0.0, 2.5, 5.0)  # pixels: generated pictures are softer than drawn ones, a young model's much softer
_LEAST_SPREAD = 1e-3


class Ensemble:
    """The metrics' numbers as standard scores, and the sum of them as the voice of all together.

    Some subjects fit any picture a little: a plain round one is found wherever there is a blob. So each subject is
    first shown to the metrics in pictures that do not show it, and their mean and spread there are its zero and unit.

    Raises: ConfigError for no metric or fewer than two unrelated pictures.
    """

    def __init__(self, members: Sequence[Metric], unrelated: Sequence[Pixels]) -> None:
        if not members or len(unrelated) < 2:
            raise ConfigError(
                f"An ensemble of {len(members)} metrics with {len(unrelated)} unrelated pictures is none."
            )
        self._members, self._unrelated = tuple(members), tuple(unrelated)
        self._chance: dict[tuple[str, bytes], tuple[float, float]] = {}  # metric and subject: mean and spread

    @classmethod
    def of_library(cls, library: PairLibrary) -> "Ensemble":
        """Every metric whose packages are installed; the unrelated pictures are composites of training subjects."""
        return cls(metrics(), unrelated_pictures(library))

    @property
    def names(self) -> tuple[str, ...]:
        """Whose numbers `compare` gives, the most trustworthy first."""
        own = tuple(member.name for member in self._members)
        return (TOGETHER, *own) if len(own) > 1 else own

    def compare(self, picture: Pixels, subjects: Sequence[SubjectView]) -> Mapping[str, Floats]:
        """How much `picture` (H, W, 3) shows each subject: (subjects,) standard scores by each name."""
        keys = [subject.cut_out.tobytes() for subject in subjects]
        found: dict[str, Floats] = {}
        for member in self._members:
            self._learn(member, subjects, keys)
            mean, spread = np.array([self._chance[member.name, key] for key in keys], np.float32).T
            found[member.name] = (member.compare(picture, subjects) - mean) / spread
        together: Floats = np.sum(list(found.values()), axis=0, dtype=np.float32)
        return {name: found.get(name, together) for name in self.names}

    def ranked(self, picture: Pixels, subjects: Sequence[SubjectView]) -> list[int]:
        """Places of the subjects, those first that the members see most in `picture`; each member counts alike.

        Quicker than `compare`: nothing is learnt of subjects that only come to be looked through.
        """
        total = np.zeros(len(subjects), np.float32)
        for member in self._members:
            scores = member.compare(picture, subjects)
            total += (scores - scores.mean()) / max(float(scores.std()), _LEAST_SPREAD)
        return [int(place) for place in np.argsort(-total, kind="stable")]

    def _learn(self, member: Metric, subjects: Sequence[SubjectView], keys: Sequence[bytes]) -> None:
        """What the subjects that are new to this metric score by chance."""
        fresh = {key: view for key, view in zip(keys, subjects, strict=True) if (member.name, key) not in self._chance}
        if not fresh:
            return
        views = list(fresh.values())
        scores = np.stack([member.compare(picture, views) for picture in self._unrelated])  # (pictures, subjects)
        for place, key in enumerate(fresh):
            own = scores[:, place]
            self._chance[member.name, key] = (float(own.mean()), max(float(own.std()), _LEAST_SPREAD))


def unrelated_pictures(library: PairLibrary, count: int = _UNRELATED, *, seed: int = 0) -> list[Pixels]:
    """Composites of training subjects, a third each as drawn, soft and very soft."""
    pictures = [library.draw(place, seed).target for place in range(count)]
    return [_blurred(picture, _BLURS[place % len(_BLURS)]) for place, picture in enumerate(pictures)]


def _blurred(picture: Pixels, pixels: float) -> Pixels:
    if pixels == 0:
        return picture
    soft: Pixels = cv2.GaussianBlur(picture, (0, 0), pixels)
    return soft
