"""How blends and scenes are evaluated: parameters with range, step and help."""

from dataclasses import dataclass

from blipdiff.ranges import MOST_GUIDANCE
from pipelines.requests import check, parameter


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
