"""What evaluations of edits and of inversion can be asked for."""

from dataclasses import dataclass, field
from typing import Any

from pipelines.edit_request import EditRequest
from pipelines.requests import check, parameter, parameters

_EDIT = parameters(EditRequest)
_DEFAULT = EditRequest(source="subject")


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
    strength: float = _as_in_edits("strength", _DEFAULT.strength)
    cross_stop: float | None = _as_in_edits("cross_stop", None)
    self_stop: float | None = _as_in_edits("self_stop", None)
    blend: float | None = _as_in_edits("blend", None)
    fresh_noise: float | None = _as_in_edits("fresh_noise", None)
    blend_words: str | None = _as_in_edits("blend_words", None)
    mask_map: str = _as_in_edits("mask_map", _DEFAULT.mask_map)
    inversion: str = _as_in_edits("inversion", _DEFAULT.inversion)

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
