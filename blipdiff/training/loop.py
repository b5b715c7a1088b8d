"""The training loop of every objective: optimise, average, log, save whole states, go on from the last one.

Batch and noise of a step come from (seed, step) alone, so a run that was killed goes on exactly as it would have.
"""

import contextlib
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from blipdiff.errors import NumericsError
from blipdiff.training.optimizers import optimizer_of
from blipdiff.training.sections import OptimizerRecipe
from blipdiff.training.state import (
    Log,
    RunFolder,
    TrainingStep,
    average_weights,
    load_state,
    resume_step,
    save_state,
    trained_names,
)
from blipdiff.training.workers import ALONE, Workers, whole

__all__ = ["Objective", "RunFolder", "TrainingStep", "average_weights", "resume_step", "train"]

Batch = dict[str, Tensor]


class Objective(Protocol):
    """What is trained, and by which loss."""

    def modules(self) -> dict[str, nn.Module]: ...

    def trainable(self) -> Iterable[nn.Parameter]: ...

    def loss(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]: ...


@runtime_checkable
class Taught(Protocol):
    """An objective that learns from its own averaged weights as well."""

    def teach(self, averages: Sequence[Tensor], step: int) -> None: ...


def train(
    objective: Objective,
    batches: Iterable[Batch],
    recipe: OptimizerRecipe,
    folder: RunFolder,
    *,
    seed: int,
    first_step: int = 0,
    log_every: int = 20,
    workers: Workers = ALONE,
) -> Iterator[TrainingStep]:
    """Optimise from `first_step`; yields every logged step, saves by time and at the end.

    `batches` must begin at `first_step`, with this worker's micro-batches: see `resume_step` and `batches.stream`.
    Leaves the averaged weights (EMA) in the modules.
    Raises: NumericsError when the loss is not finite (the last good state stays on disk), OutputError when the
    state cannot be written, CheckpointError when there is none of this run to go on from.
    """
    names = trained_names(objective.modules())
    parameters = [p for p in objective.trainable() if p.requires_grad]
    optimizer = optimizer_of(recipe, parameters, workers.device)
    averages = [p.detach().clone() for p in parameters]
    if first_step:
        load_state(folder, names, optimizer, averages, first_step)
    share = workers.share(recipe.accumulate)
    log = Log(folder, first_step) if workers.is_first else None
    saved_at = logged_at = time.monotonic()
    logged, source = first_step, iter(batches)
    for step in range(first_step, recipe.steps):
        micro = list(zip([step * recipe.accumulate + k for k in share], islice(source, len(share)), strict=False))
        if len(micro) < len(share):
            break
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate(step)
        if isinstance(objective, Taught):
            objective.teach(averages, step)
        loss, parts = _step(objective, micro, optimizer, parameters, recipe, workers, seed=seed, step=step)
        decay = min(recipe.ema_decay, (step + 1) / (step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(averages, [p.detach() for p in parameters], 1 - decay)
        last = step + 1 == recipe.steps
        if (step + 1) % log_every == 0 or last:
            now = time.monotonic()
            done = TrainingStep(
                step,
                recipe.steps,
                loss,
                parts,
                (step + 1 - logged) * recipe.batch * recipe.accumulate / (now - logged_at),
            )
            logged_at, logged = now, step + 1
            if log is not None:
                log.add(done)
            yield done
        is_due = workers.mean([float(time.monotonic() - saved_at > folder.save_every_seconds)])[0] > 0.5
        if last or is_due:
            save_state(folder, names, optimizer, averages, step + 1, workers)
            saved_at = time.monotonic()
    with torch.no_grad():
        for parameter, average in zip(parameters, averages, strict=True):
            parameter.copy_(average)


def _step(
    objective: Objective,
    micro: list[tuple[int, Batch]],
    optimizer: torch.optim.Optimizer,
    parameters: list[nn.Parameter],
    recipe: OptimizerRecipe,
    workers: Workers,
    *,
    seed: int,
    step: int,
) -> tuple[float, dict[str, float]]:
    """One optimisation step over numbered micro-batches; the mean loss and its parts."""
    optimizer.zero_grad(set_to_none=True)
    device, generator = workers.device, torch.Generator()
    losses: list[float] = []
    parts: dict[str, list[Tensor]] = {}
    for number, batch in micro:
        generator.manual_seed(seed * 1_000_003 + number)
        placed = {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}
        with _attention(device):  # around the backward pass too, where blocks may be computed again
            with torch.autocast(device.type, torch.bfloat16, enabled=recipe.bfloat16):
                loss, found = objective.loss(placed, generator)
            (loss / len(micro) if len(micro) > 1 else loss).backward()  # type: ignore[no-untyped-call]
        losses.append(float(loss.detach()))
        for name, part in found.items():
            parts.setdefault(name, []).append(part)
    workers.average_gradients(parameters)
    means = [sum(float(part) for part in found) / len(found) for found in parts.values()]
    value, *rest = workers.mean([sum(losses) / len(losses), *means])
    if not math.isfinite(value):
        raise NumericsError(
            f"The loss is {value} at step {step}; the last saved state is whole. "
            "Lower the learning rate and go on from it."
        )
    gradient_norm = float(whole(nn.utils.clip_grad_norm_(parameters, 1.0, foreach=True)))
    if not math.isfinite(gradient_norm):  # the loss may be finite and its slope not; the weights would be lost
        raise NumericsError(
            f"The gradient is {gradient_norm} at step {step}; the last saved state is whole. "
            "Lower the learning rate and go on from it."
        )
    optimizer.step()
    return value, dict(zip(parts, rest, strict=True))


def _attention(device: torch.device) -> contextlib.AbstractContextManager[None]:
    """Plain matrix products on a processor: SDPA's fused backward is slower there at the small models' head sizes."""
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else contextlib.nullcontext()
