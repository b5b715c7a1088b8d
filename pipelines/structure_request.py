"""What measuring the following of structures takes; importing it loads no library."""

from dataclasses import dataclass

from pipelines.requests import check, parameter


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
