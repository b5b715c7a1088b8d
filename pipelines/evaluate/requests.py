"""What evaluations can be asked for, and how they say how far they are; importing it loads no library."""

from dataclasses import dataclass

from blipdiff.ranges import AS_CONFIGURED, SCHEDULER_NAMES, TABLED_NAMES
from pipelines.controls.settings import ControlSettings
from pipelines.declarations import declared, set_scheduler, set_steps
from pipelines.edit.request import EditRequest
from pipelines.parameters import check, parameter
from pipelines.requests import Detailed, SubjectSampling


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
    seed: int = declared("seed", help="Of the trials and the pictures.")
    steps: int = set_steps()
    guidance: float | None = declared("guidance")
    scheduler: str = set_scheduler(choices=(*SCHEDULER_NAMES, *TABLED_NAMES, AS_CONFIGURED))
    batch: int = declared("batch", default=16, high=256)
    detail: float | None = declared("detail", Detailed)
    detail_sites: str = declared("detail_sites", Detailed)
    hard: bool = parameter(
        False, "Hard", "Hard choices too, and the structure inside the outline; some seconds for each picture."
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class EditEvaluationRequest:
    """How edits are evaluated. The same request makes the same trials and, on one machine, the same pictures."""

    edits: int = parameter(50, "Edits", "Unseen subjects that are swapped.", low=1, high=1000, step=1)
    choices: int = parameter(10, "Choices", "Subjects among which the new one is found.", low=2, high=100, step=1)
    split: str = parameter(
        "held_out", "Split", "Concepts held out of training, or the source that was.", choices=("held_out", "source")
    )
    shown: int = parameter(12, "Shown", "Rows of pictures on the sheet.", low=1, high=200, step=1)
    seed: int = declared("seed", help="Of the trials.")
    steps: int = set_steps(12, help="Denoising steps, and as many inversion steps.")
    guidance: float | None = declared("guidance", EditRequest)
    strength: float = declared("strength", EditRequest)
    cross_stop: float | None = declared("cross_stop", EditRequest)
    self_stop: float | None = declared("self_stop", EditRequest)
    mask_threshold: float | None = declared("mask_threshold", EditRequest)
    fresh_noise: float | None = declared("fresh_noise", EditRequest)
    blend_words: str | None = declared("blend_words", EditRequest)
    mask_map: str = declared("mask_map", EditRequest)
    inversion: str = declared("inversion", EditRequest)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class InversionEvaluationRequest:
    """How inversion is evaluated."""

    pictures: int = parameter(50, "Pictures", "Unseen pictures that are inverted.", low=1, high=1000, step=1)
    steps: int = set_steps(12, help="Inversion steps, and as many denoising steps.")
    split: str = parameter(
        "held_out", "Split", "Concepts held out of training, or the source that was.", choices=("held_out", "source")
    )
    guidances: tuple[float, ...] = (1.0, 7.5)
    seed: int = declared("seed", help="Of the pictures.")
    batch: int = declared("batch", default=10, help="Pictures at the same time.", high=256)
    shown: int = parameter(8, "Shown", "Rows of pictures in the report.", low=0, high=100, step=1)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class StructureRequest:
    """How much is measured, and how it is drawn."""

    pairs: int = parameter(50, "Pairs", "Looks, each in another subject's structure.", low=1, high=1000, step=1)
    split: str = parameter("held_out", "Split", "Which subjects.", choices=("held_out", "source", "train"))
    steps: int = set_steps(12)
    guidance: float | None = declared("guidance")
    strength: float = declared("strength", ControlSettings, help="Of the controls.")
    seed: int = declared("seed", help="Of the choice of subjects and of the noise.")
    batch: int = declared("batch", default=10)

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
    steps: int = set_steps(10)
    guidance: float | None = declared("guidance")
    seed: int = declared("seed", help="Of the pairs and the pictures.")
    batch: int = declared("batch", default=8)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class DreamBenchRequest:
    """How a benchmark's pictures are drawn: a run in a folder has one of these for all its pictures."""

    pictures: int | None = parameter(
        None,
        "Pictures",
        "Of each subject and prompt; as published if absent: 4 for DreamBench, 1 for DreamBench++.",
        low=1,
        high=64,
        step=1,
    )
    condition: str = parameter(
        "first",
        "Condition",
        "The photo that the model is given: the first, each in turn, or all of them as one subject.",
        choices=("first", "each", "all"),
    )
    seed: int = declared("seed", help="The first picture's seed; the others count up through the whole benchmark.")
    steps: int = set_steps()
    guidance: float | None = declared("guidance")
    scheduler: str = set_scheduler(choices=(*SCHEDULER_NAMES, *TABLED_NAMES, AS_CONFIGURED))
    negative: str = declared("negative")
    repeats: int = declared("repeats")
    fit: str = declared("fit")
    detail: float | None = declared("detail", SubjectSampling)
    detail_sites: str = declared("detail_sites", SubjectSampling)

    def __post_init__(self) -> None:
        check(self)
