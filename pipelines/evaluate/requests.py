"""What evaluations can be asked for, and how they say how far they are; importing it loads no library."""

from dataclasses import dataclass, field
from typing import Any

from blipdiff.ranges import MOST_GUIDANCE
from pipelines.edit_request import EditRequest
from pipelines.requests import GenerateRequest, check, parameter, parameters

_GENERATE = parameters(GenerateRequest)
_DEFAULT = GenerateRequest(category="subject")
_EDIT = parameters(EditRequest)
_EDIT_DEFAULT = EditRequest(source="subject")


@dataclass(frozen=True, slots=True)
class EvaluationProgress:
    """`done` of `total` pictures or trials in the stage of this name."""

    stage: str
    done: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateRequest:
    """How a model is evaluated. The same request draws the same trials and, on one machine, the same pictures."""

    subjects: int = parameter(50, "Subjects", "Unseen subjects that are drawn.", low=1, high=10000, step=1)
    pictures: int = parameter(4, "Pictures", "Contexts in which each subject is drawn.", low=1, high=100, step=1)
    split: str = parameter(
        "held_out", "Split", "Concepts held out of training, or the source that was.", choices=("held_out", "source")
    )
    choices: int = parameter(10, "Choices", "Subjects among which the right one is found.", low=2, high=100, step=1)
    scenes: tuple[str, ...] | None = None  # only these, where they are given
    varied: int = parameter(8, "Varied", "Requests of which several seeds are drawn.", low=0, high=1000, step=1)
    seeds: int = parameter(4, "Seeds", "Pictures of each varied request.", low=2, high=64, step=1)
    shown: int = parameter(60, "Shown", "Rows of pictures in the report.", low=0, high=1000, step=1)
    seed: int = parameter(0, "Seed", "Of the trials and the pictures.", low=0, high=2**32 - 1)
    steps: int = parameter(_DEFAULT.steps, "Steps", _GENERATE["steps"].help, low=1, high=1000, step=1)
    guidance: float | None = parameter(None, "Guidance", _GENERATE["guidance"].help, low=0.0, high=50.0, step=0.5)
    scheduler: str = parameter(
        _DEFAULT.scheduler, "Scheduler", _GENERATE["scheduler"].help, choices=_GENERATE["scheduler"].choices
    )
    batch: int = parameter(16, "Batch", "Pictures that are drawn at the same time.", low=1, high=256, step=1)

    def __post_init__(self) -> None:
        check(self)


def _as_in_edits(name: str, default: object) -> Any:
    """The edit's parameter of that name, with another default."""
    return field(default=default, metadata={"parameter": _EDIT[name]})


@dataclass(frozen=True, slots=True, kw_only=True)
class EditEvaluationRequest:
    """How edits are evaluated. The same request makes the same trials and, on one machine, the same pictures."""

    edits: int = parameter(50, "Edits", "Unseen subjects that are swapped.", low=1, high=1000, step=1)
    choices: int = parameter(10, "Choices", "Subjects among which the new one is found.", low=2, high=100, step=1)
    split: str = parameter(
        "held_out", "Split", "Concepts held out of training, or the source that was.", choices=("held_out", "source")
    )
    shown: int = parameter(12, "Shown", "Rows of pictures on the sheet.", low=1, high=200, step=1)
    seed: int = parameter(0, "Seed", "Of the trials.", low=0, high=2**32 - 1)
    steps: int = _as_in_edits("steps", 12)
    guidance: float | None = _as_in_edits("guidance", None)
    strength: float = _as_in_edits("strength", _EDIT_DEFAULT.strength)
    cross_stop: float | None = _as_in_edits("cross_stop", None)
    self_stop: float | None = _as_in_edits("self_stop", None)
    blend: float | None = _as_in_edits("blend", None)
    fresh_noise: float | None = _as_in_edits("fresh_noise", None)
    blend_words: str | None = _as_in_edits("blend_words", None)
    mask_map: str = _as_in_edits("mask_map", _EDIT_DEFAULT.mask_map)
    inversion: str = _as_in_edits("inversion", _EDIT_DEFAULT.inversion)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class InversionEvaluationRequest:
    """How inversion is evaluated."""

    pictures: int = parameter(50, "Pictures", "Unseen pictures that are inverted.", low=1, high=1000, step=1)
    steps: int = parameter(12, "Steps", "Inversion steps, and as many denoising steps.", low=1, high=1000, step=1)
    split: str = parameter(
        "held_out", "Split", "Concepts held out of training, or the source that was.", choices=("held_out", "source")
    )
    guidances: tuple[float, ...] = (1.0, 7.5)
    seed: int = parameter(0, "Seed", "Of the pictures.", low=0, high=2**32 - 1)
    batch: int = parameter(10, "Batch", "Pictures at the same time.", low=1, high=256, step=1)
    shown: int = parameter(8, "Shown", "Rows of pictures in the report.", low=0, high=100, step=1)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class StructureRequest:
    """How much is measured, and how it is drawn."""

    pairs: int = parameter(50, "Pairs", "Looks, each in another subject's structure.", low=1, high=1000, step=1)
    split: str = parameter("held_out", "Split", "Which subjects.", choices=("held_out", "source", "train"))
    steps: int = parameter(12, "Steps", "Denoising steps.", low=1, high=1000, step=1)
    guidance: float | None = parameter(
        None, "Guidance", "Of the pictures; the model's own if absent.", low=0.0, high=50.0, step=0.5
    )
    strength: float = parameter(1.0, "Strength", "Of the controls.", low=0.0, high=2.0, step=0.05)
    seed: int = parameter(0, "Seed", "Of the choice of subjects and of the noise.", low=0, high=2**62)
    batch: int = parameter(10, "Batch", "Pictures that are drawn at the same time.", low=1, high=64, step=1)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlendingRequest:
    """How blends are evaluated. The same request draws the same pairs and, on one machine, the same pictures."""

    what: str = parameter(
        "both", "What", "Paths between two subjects, scenes of two, or both.", choices=("both", "paths", "scenes")
    )
    pairs: int = parameter(30, "Pairs", "Pairs of unseen subjects.", low=1, high=1000, step=1)
    frames: int = parameter(7, "Frames", "Pictures of each path.", low=3, high=60, step=1)
    choices: int = parameter(10, "Choices", "Subjects among which the right one is found.", low=3, high=100, step=1)
    steps: int = parameter(10, "Steps", "Denoising steps.", low=1, high=1000, step=1)
    guidance: float | None = parameter(
        None, "Guidance", "Of the pictures; the model's own if absent.", low=0.0, high=MOST_GUIDANCE, step=0.5
    )
    seed: int = parameter(0, "Seed", "Of the pairs and the pictures.", low=0, high=2**31)
    batch: int = parameter(8, "Batch", "Pictures that are drawn at the same time.", low=1, high=64, step=1)

    def __post_init__(self) -> None:
        check(self)
