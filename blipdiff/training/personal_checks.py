"""When a subject is learned: what a held-out view of it says, and how far other subjects have drifted.

Nobody chooses checkpoints by hand: each check is compared with the best one so far, whose weights are kept.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from blipdiff.training.personal_views import Views
from blipdiff.training.personalize import PersonalObjective

_TIMES = (0.5, 0.7, 0.85, 0.95)  # of the schedule, at which errors are measured: subjects differ there
_WORTH = 0.01  # a check is better than the best one where its score is lower by so much
MOST_DRIFT = 0.25  # of the error on other subjects' pictures, that their predictions may move away by


@dataclass(frozen=True, slots=True)
class Check:
    """What was measured after a step.

    held_out: the error on views that are not learned from, 1 before the first step; drift: how far predictions for
    other subjects moved away, in their own error before
    """

    step: int
    held_out: float
    drift: float

    @property
    def score(self) -> float:
        """Lower is better: the held-out error, and what is too much of a drift."""
        return self.held_out + max(0.0, self.drift - MOST_DRIFT)


class HeldOut:
    """The same noise at the same times on the same pictures, whenever it is asked."""

    def __init__(self, objective: PersonalObjective, views: Views, others: Views | None, *, seed: int) -> None:
        self._objective = objective
        generator = torch.Generator().manual_seed(seed)
        self._own = _Asked.of(objective, views, generator)
        self._others = None if others is None else _Asked.of(objective, others, generator)
        self._before = self._own.errors(objective)
        self._said = None if self._others is None else self._others.said(objective)
        self._error = None if self._others is None else self._others.errors(objective)

    def check(self, step: int) -> Check:
        """What the objective's networks say now."""
        held = float((self._own.errors(self._objective) / self._before).mean())
        if self._others is None or self._said is None or self._error is None:
            return Check(step, held, 0.0)
        moved = (self._others.said(self._objective) - self._said).square().flatten(1).mean(1)
        return Check(step, held, float((self._others.by_time(moved) / self._error).mean()))


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """Noised pictures, each at every time."""

    batch: Mapping[str, Tensor]
    noise: Tensor
    timesteps: Tensor

    @classmethod
    def of(cls, objective: PersonalObjective, views: Views, generator: torch.Generator) -> "_Asked":
        rows = [row for _ in _TIMES for row in range(len(views))]
        batch = {name: getattr(views, name)[rows] for name in ("latents", "inside", "ids")}
        if views.tokens is not None:
            batch["tokens"] = views.tokens[rows]
        device, noise = objective.start.device, torch.randn(batch["latents"].shape, generator=generator)
        times = torch.tensor([int(time * objective.schedule.count) for time in _TIMES for _ in range(len(views))])
        placed = {name: tensor.to(device) for name, tensor in batch.items()}
        return cls(placed, noise.to(device), times.to(device))

    @torch.no_grad()
    def errors(self, objective: PersonalObjective) -> Tensor:
        """The mean error at each time (times,): within the subject, or of others' whole pictures."""
        whole, inside = objective.errors(self.batch, self.noise, self.timesteps)
        return self.by_time(whole if "tokens" in self.batch else inside)

    @torch.no_grad()
    def said(self, objective: PersonalObjective) -> Tensor:
        """The predictions, (rows, c, h, w)."""
        noised, _ = objective.schedule.noised(self.batch["latents"], self.noise, self.timesteps)
        return objective.predicted(self.batch, noised, self.timesteps).float()

    def by_time(self, values: Tensor) -> Tensor:
        """values (rows,) -> (times,)"""
        return values.view(len(_TIMES), -1).mean(1)


def best_of(checks: Sequence[Check]) -> Check:
    """The earliest check that no later one is worth leaving for."""
    best = checks[0]
    for one in checks[1:]:
        if one.score < best.score - _WORTH:
            best = one
    return best


def is_enough(checks: Sequence[Check], patience: int) -> bool:
    """Whether the last `patience` checks were no better than the best before them."""
    return len(checks) > patience and best_of(checks).step <= checks[-1 - patience].step
