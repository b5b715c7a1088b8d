"""What a U-Net has learned of one subject: a value that travels with the subject's rows, and acts where they are heard.

Nothing is added to a model's weights: see `blipdiff.models.acting_weights`.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

from blipdiff.errors import SubjectError
from blipdiff.moment import Moment

if TYPE_CHECKING:  # cards are read by programs that draw nothing
    from torch import Tensor

    Where: TypeAlias = "Tensor | Callable[[Moment], Tensor | None]"

PREFIX, DOWN, UP, CHANGE = "unet.", ".lora_A.weight", ".lora_B.weight", ".diff"
NOISE_STEPS = 1000  # timesteps of the schedules that models are trained with
_resting: ContextVar[bool] = ContextVar("resting", default=False)


@contextmanager
def weights_resting() -> Iterator[None]:
    """Within the block a U-Net computes as it is, also in the middle of a call in which weights act on it."""
    before = _resting.set(True)
    try:
        yield
    finally:
        _resting.reset(before)


def weights_rest() -> bool:
    """Whether weights rest now, in this thread."""
    return _resting.get()


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class SubjectWeights:
    """Changes of a U-Net's layers by the names that PEFT gives them.

    tensors: "unet.LAYER.lora_A.weight" (rank, in) and "unet.LAYER.lora_B.weight" (out, rank) of a LoRA of alpha = rank;
    "unet.NAME.diff" of a whole parameter; none where only the fingerprint is known. fingerprint: of the tensors;
    base: of the U-Net that they were learned on; least_rank: of a LoRA whose rank falls with the noise, at pure noise
    (T-LoRA, Soboleva et al. 2025, arXiv:2507.05964, sec. 4.1); told: recipe and figures, in words
    """

    tensors: Mapping[str, "Tensor"]
    fingerprint: str
    base: str
    least_rank: int | None = None
    told: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        tensors: Mapping[str, "Tensor"],
        base: str,
        *,
        least_rank: int | None = None,
        told: Mapping[str, str] | None = None,
    ) -> "SubjectWeights":
        """Of tensors, whose fingerprint is taken. Raises: SubjectError for names that are no change of a U-Net."""
        _check(tensors)
        return cls(tensors, _fingerprint(tensors), base, least_rank, dict(told or {}))

    @property
    def rank(self) -> int:
        """Of the LoRA; 0 where whole parameters are changed."""
        return next((len(one) for name, one in self.tensors.items() if name.endswith(DOWN)), 0)

    @property
    def layers(self) -> list[str]:
        """The layers that a LoRA changes, by their names in the U-Net."""
        return [name.removeprefix(PREFIX).removesuffix(DOWN) for name in self.tensors if name.endswith(DOWN)]

    def rank_at(self, timestep: float) -> int:
        """How many of the ranks act at this noise: all without noise, `least_rank` at pure noise."""
        if self.least_rank is None:
            return self.rank
        return rank_at(timestep, self.rank, self.least_rank)

    def named(self) -> "SubjectWeights":
        """The same without its tensors: what tells which ones they were."""
        return replace(self, tensors={}, told={})

    def check_base(self, fingerprint: str, category: str) -> None:
        """Passes for the U-Net that these were learned on. Raises: SubjectError for another; where none are here."""
        if not self.tensors:
            raise SubjectError(
                f"The subject {category!r} was tuned, and its weights ({self.fingerprint}) are not kept here; give its "
                "card."
            )
        if fingerprint != self.base:
            raise SubjectError(
                f"The subject {category!r} was tuned on the U-Net {self.base}, this model's is {fingerprint}. Tune it "
                "again with this model, or use its photo."
            )


@dataclass(frozen=True, slots=True, eq=False)
class Acting:
    """Weights as one row of conditioning has them.

    share: how strongly they act; slots: the words that they read, all if None; where: (rows or 1, h, w), the place of
    the picture that they act in, or what gives it at a moment
    """

    weights: SubjectWeights
    share: float = 1.0
    slots: slice | None = None
    where: "Where | None" = None


def rank_at(timestep: float, rank: int, least: int) -> int:
    """The ranks that act at a timestep: `rank` at 0, `least` at the last (arXiv:2507.05964, eq. 5)."""
    return least + int((rank - least) * (1 - min(max(timestep, 0.0), NOISE_STEPS) / NOISE_STEPS))


def shared(parts: Sequence[tuple[Sequence[Acting], float]]) -> tuple[Acting, ...]:
    """The weights of a mixture's parts, each by its part's share; what has none left is out."""
    found: dict[int, Acting] = {}
    for given, share in parts:
        for one in given:
            before = found.get(id(one.weights))
            found[id(one.weights)] = replace(one, share=one.share * share + (before.share if before else 0.0))
    return tuple(one for one in found.values() if one.share != 0)


def _check(tensors: Mapping[str, "Tensor"]) -> None:
    import torch

    for name, tensor in tensors.items():
        is_pair = name.endswith((DOWN, UP))
        other = name.replace(DOWN, UP) if name.endswith(DOWN) else name.replace(UP, DOWN)
        if not name.startswith(PREFIX) or not (name.endswith(CHANGE) or (is_pair and other in tensors)):
            raise SubjectError(f"its weights hold {name!r:.80}, which is no change of a U-Net")
        if is_pair and (tensor.ndim != 2 or tensors[other].ndim != 2 or len(set(_ranks(name, tensor, tensors))) > 1):
            raise SubjectError(f"its weights hold {name!r:.80} of the shape {tuple(tensor.shape)}")
        if not tensor.is_floating_point() or not bool(torch.isfinite(tensor).all()):
            raise SubjectError(f"its weights hold not-a-number or infinite values in {name!r:.80}")


def _ranks(name: str, tensor: "Tensor", tensors: Mapping[str, "Tensor"]) -> tuple[int, int]:
    if name.endswith(DOWN):
        return tensor.shape[0], tensors[name.replace(DOWN, UP)].shape[1]
    return tensor.shape[1], tensors[name.replace(UP, DOWN)].shape[0]


def _fingerprint(tensors: Mapping[str, "Tensor"]) -> str:
    seen = hashlib.sha256()
    for name in sorted(tensors):
        values = tensors[name].detach().float().cpu().contiguous().numpy()
        seen.update(repr((name, values.shape)).encode() + values.tobytes())
    return seen.hexdigest()[:16]
