"""The training loop of every objective: optimise, average, log, save whole states, go on from the last one.

Batch and noise of a step come from (seed, step) alone, so a run that was killed goes on exactly as it would have.
"""

import contextlib
import json
import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from blipdiff.errors import CheckpointError, NumericsError, OutputError
from blipdiff.training.config import OptimizerRecipe


class Objective(Protocol):
    """What is trained, and by which loss."""

    def modules(self) -> dict[str, nn.Module]: ...

    def trainable(self) -> Iterable[nn.Parameter]: ...

    def loss(self, batch: dict[str, Tensor], generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]: ...


@dataclass(frozen=True, slots=True)
class TrainingStep:
    """One finished optimisation step."""

    index: int
    count: int
    loss: float
    parts: dict[str, float]
    samples_per_second: float


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Where a run keeps its state and its log."""

    path: Path
    save_every_seconds: float = 300.0

    @property
    def state(self) -> Path:
        """Weights, averages and optimiser moments of the last save, in one file."""
        return self.path / "state.safetensors"

    @property
    def log(self) -> Path:
        """One JSON line for each logged step."""
        return self.path / "metrics.jsonl"


def train(
    objective: Objective,
    batches: Iterable[dict[str, Tensor]],
    recipe: OptimizerRecipe,
    folder: RunFolder,
    *,
    seed: int,
    first_step: int = 0,
    log_every: int = 20,
) -> Iterator[TrainingStep]:
    """Optimise from `first_step`; yields every logged step, saves by time and at the end.

    `batches` must begin at `first_step`: see `resume_step`. Leaves the averaged weights (EMA) in the modules.
    Raises: NumericsError when the loss is not finite (the last good state stays on disk), OutputError when the
    state cannot be written, CheckpointError when there is none of this run to go on from.
    """
    parameters = [p for p in objective.trainable() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        parameters, lr=recipe.learning_rate, betas=(0.9, 0.99), weight_decay=recipe.weight_decay, fused=True
    )
    averages = [p.detach().clone() for p in parameters]
    if first_step:
        _load(folder, objective, optimizer, averages, first_step)
    saved_at = logged_at = time.monotonic()
    logged, generator = first_step, torch.Generator()
    for step, batch in zip(range(first_step, recipe.steps), batches, strict=False):
        generator.manual_seed(seed * 1_000_003 + step)
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate(step)
        loss, parts = _step(objective, batch, generator, optimizer, parameters, step)
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
                {k: float(v) for k, v in parts.items()},
                (step + 1 - logged) * recipe.batch / (now - logged_at),
            )
            logged_at, logged = now, step + 1
            _log(folder, done)
            yield done
        if last or time.monotonic() - saved_at > folder.save_every_seconds:
            _save(folder, objective, optimizer, averages, step + 1)
            saved_at = time.monotonic()
    with torch.no_grad():
        for parameter, average in zip(parameters, averages, strict=True):
            parameter.copy_(average)


def _step(
    objective: Objective,
    batch: dict[str, Tensor],
    generator: torch.Generator,
    optimizer: torch.optim.Optimizer,
    parameters: list[nn.Parameter],
    step: int,
) -> tuple[float, dict[str, Tensor]]:
    # plain matrix products: SDPA's fused backward is slower on a CPU at these head sizes
    with torch.autocast("cpu", torch.bfloat16), sdpa_kernel(SDPBackend.MATH):
        loss, parts = objective.loss(batch, generator)
    value = float(loss.detach())
    if not math.isfinite(value):
        raise NumericsError(
            f"The loss is {value} at step {step}; the last saved state is whole. "
            "Lower the learning rate and go on from it."
        )
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    steepness = float(nn.utils.clip_grad_norm_(parameters, 1.0, foreach=True))
    if not math.isfinite(steepness):  # the loss may be finite and its slope not; the weights would be lost
        raise NumericsError(
            f"The gradient is {steepness} at step {step}; the last saved state is whole. "
            "Lower the learning rate and go on from it."
        )
    optimizer.step()
    return value, parts


def resume_step(folder: RunFolder) -> int:
    """The step that a run goes on with: 0 when nothing is saved yet."""
    if not folder.state.is_file():
        return 0
    try:
        with safe_open(folder.state, "pt") as file:
            return int((file.metadata() or {})["step"])
    except Exception as error:
        raise CheckpointError(
            f"The saved training state {folder.state} is damaged; remove it to begin anew."
        ) from error


def average_weights(folder: RunFolder, modules: dict[str, nn.Module]) -> None:
    """Put the averaged weights of the last save into `modules`, for use or for sampling during a run.

    Raises: CheckpointError when the state is of other modules.
    """
    tensors = load_file(folder.state)
    with torch.no_grad():
        for module, net in modules.items():
            for name, parameter in net.named_parameters():
                if parameter.requires_grad:
                    key = f"average.{module}.{name}"
                    if key not in tensors or tensors[key].shape != parameter.shape:
                        raise CheckpointError(f"The state in {folder.path} has no {module}.{name} of this size.")
                    parameter.copy_(tensors[key])


def _names(objective: Objective) -> list[str]:
    return [
        f"{module}.{name}"
        for module, net in objective.modules().items()
        for name, parameter in net.named_parameters()
        if parameter.requires_grad
    ]


def _save(
    folder: RunFolder, objective: Objective, optimizer: torch.optim.Optimizer, averages: list[Tensor], step: int
) -> None:
    tensors: dict[str, Tensor] = {}
    names = _names(objective)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for name, parameter, average in zip(names, parameters, averages, strict=True):
        state = optimizer.state[parameter]
        tensors[f"weight.{name}"] = parameter.detach().contiguous()
        tensors[f"average.{name}"] = average.contiguous()
        tensors[f"first.{name}"] = state["exp_avg"].contiguous()
        tensors[f"second.{name}"] = state["exp_avg_sq"].contiguous()
    temporary = folder.state.with_suffix(".partial")
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
        save_file(tensors, temporary, metadata={"step": str(step), "format": "pt"})
        temporary.replace(folder.state)
    except Exception as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise OutputError(
            f"The training state could not be written to {folder.path}: {error}. The last whole state is kept."
        ) from error


def _load(
    folder: RunFolder, objective: Objective, optimizer: torch.optim.Optimizer, averages: list[Tensor], step: int
) -> None:
    tensors = load_file(folder.state)
    names = _names(objective)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    kinds = ("weight", "average", "first", "second")
    wanted = {f"{kind}.{name}": p.shape for kind in kinds for name, p in zip(names, parameters, strict=True)}
    if wanted != {name: tensor.shape for name, tensor in tensors.items()}:
        raise CheckpointError(f"The state in {folder.path} is of another model; begin in a new folder.")
    with torch.no_grad():
        for name, parameter, average in zip(names, parameters, averages, strict=True):
            parameter.copy_(tensors[f"weight.{name}"])
            average.copy_(tensors[f"average.{name}"])
            optimizer.state[parameter] = {
                "step": torch.tensor(float(step)),
                "exp_avg": tensors[f"first.{name}"].clone(),
                "exp_avg_sq": tensors[f"second.{name}"].clone(),
            }


def _log(folder: RunFolder, step: TrainingStep) -> None:
    line = {
        "step": step.index + 1,
        "loss": round(step.loss, 5),
        "samples_per_second": round(step.samples_per_second, 1),
        **{name: round(value, 5) for name, value in step.parts.items()},
    }
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
        with folder.log.open("a") as file:
            file.write(json.dumps(line) + "\n")
    except OSError as error:
        raise OutputError(f"The log {folder.log} cannot be written: {error}.") from error
