"""A run's folder: its whole states, written whole or not at all, and its log."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from blipdiff.errors import CheckpointError, OutputError
from blipdiff.foreign import foreign
from blipdiff.outputs import written_file
from blipdiff.training.old_names import with_new_names
from blipdiff.training.optimizers import EIGHT_BIT, eight_bit_moments, eight_bit_state
from blipdiff.training.workers import Workers, like, whole


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
    tensorboard: bool = False

    @property
    def state(self) -> Path:
        """Weights, averages and optimiser moments of the last save, in one file."""
        return self.path / "state.safetensors"

    @property
    def log(self) -> Path:
        """One JSON line for each logged step."""
        return self.path / "metrics.jsonl"


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


def _stored(folder: RunFolder) -> dict[str, Tensor]:
    with foreign(folder.state, "a training state"):
        tensors: dict[str, Tensor] = load_file(folder.state)
    return with_new_names(tensors)


def average_weights(folder: RunFolder, modules: dict[str, nn.Module]) -> None:
    """Put the averaged weights of the last save into `modules`, for use or for sampling during a run.

    Raises: CheckpointError when the state is of other modules.
    """
    tensors = _stored(folder)
    with torch.no_grad():
        for module, net in modules.items():
            for name, parameter in net.named_parameters():
                if parameter.requires_grad:
                    key = f"average.{module}.{name}"
                    if key not in tensors or tensors[key].shape != parameter.shape:
                        raise CheckpointError(f"The state in {folder.path} has no {module}.{name} of this size.")
                    parameter.copy_(tensors[key])


def trained_names(modules: dict[str, nn.Module]) -> list[str]:
    """The names of what is trained, in the optimiser's order."""
    return [
        f"{module}.{name}"
        for module, net in modules.items()
        for name, parameter in net.named_parameters()
        if parameter.requires_grad
    ]


def save_state(
    folder: RunFolder,
    names: list[str],
    optimizer: torch.optim.Optimizer,
    averages: list[Tensor],
    step: int,
    workers: Workers,
) -> None:
    """One file that takes the last one's place when it is whole; the first process writes it.

    Raises: OutputError when it cannot be written; the last state is kept.
    """
    tensors: dict[str, Tensor] = {}
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for name, parameter, average in zip(names, parameters, averages, strict=True):
        for kind, tensor in {
            "weight": parameter.detach(),
            "average": average,
            **_moments(optimizer, parameter),
        }.items():
            stored = whole(tensor)
            if workers.is_first:
                tensors[f"{kind}.{name}"] = stored.cpu().contiguous()
    if workers.is_first:
        _write(folder, tensors, step)
    workers.wait()


def _write(folder: RunFolder, tensors: dict[str, Tensor], step: int) -> None:
    try:
        with written_file(folder.state) as part:
            save_file(tensors, part, metadata={"step": str(step), "format": "pt"})
    except OutputError as error:
        raise OutputError(f"{error} The last whole state is kept.") from error


def load_state(
    folder: RunFolder, names: list[str], optimizer: torch.optim.Optimizer, averages: list[Tensor], step: int
) -> None:
    """The last saved state into parameters, optimiser and averages.

    Raises: CheckpointError when it is of another model.
    """
    tensors = _stored(folder)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    eight_bit = not isinstance(optimizer, torch.optim.AdamW)
    kinds = ("weight", "average") if eight_bit else ("weight", "average", "first", "second")
    wanted = {f"{kind}.{name}": p.shape for kind in kinds for name, p in zip(names, parameters, strict=True)}
    steps = {f"step.{name}": torch.tensor(float(step)) for name in names}
    packed = {name for name in tensors if name.startswith(EIGHT_BIT)}
    found = {name: tensor.shape for name, tensor in tensors.items() if name not in steps and name not in packed}
    if wanted != found or eight_bit != bool(packed):
        raise CheckpointError(f"The state in {folder.path} is of another model; begin in a new folder.")
    tensors = steps | tensors  # states of earlier versions hold no steps
    with torch.no_grad():
        for name, parameter, average in zip(names, parameters, averages, strict=True):
            parameter.copy_(like(tensors[f"weight.{name}"], parameter))
            average.copy_(like(tensors[f"average.{name}"], parameter))
            if eight_bit:
                optimizer.state[parameter] = eight_bit_state(tensors, name, parameter.device)
                continue
            optimizer.state[parameter] = {
                "step": tensors[f"step.{name}"].to(parameter.device),
                "exp_avg": like(tensors[f"first.{name}"], parameter),
                "exp_avg_sq": like(tensors[f"second.{name}"], parameter),
            }


def _moments(optimizer: torch.optim.Optimizer, parameter: nn.Parameter) -> dict[str, Tensor]:
    """The optimizer's state of one parameter, under the names of a saved state."""
    if not isinstance(optimizer, torch.optim.AdamW):
        return eight_bit_moments(optimizer.state[parameter])
    state = optimizer.state[parameter] or _untouched(parameter)
    return {"first": state["exp_avg"], "second": state["exp_avg_sq"], "step": state["step"]}


def _untouched(parameter: Tensor) -> dict[str, Tensor]:
    """The optimiser's state of a weight that no step has reached yet."""
    zeros = torch.zeros_like(parameter, memory_format=torch.preserve_format)
    return {"step": torch.zeros(()), "exp_avg": zeros, "exp_avg_sq": zeros}


class Log:
    """Finished steps as lines of JSON and, where it is asked for, as TensorBoard's curves."""

    def __init__(self, folder: RunFolder, first_step: int) -> None:
        self._folder = folder
        self._curves: Any = None
        if folder.tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            self._curves = SummaryWriter(str(folder.path / "tensorboard"), purge_step=first_step)  # type: ignore[no-untyped-call]

    def add(self, step: TrainingStep) -> None:
        """Raises: OutputError when the log cannot be written."""
        line = {
            "step": step.index + 1,
            "loss": round(step.loss, 5),
            "samples_per_second": round(step.samples_per_second, 1),
            **{name: round(value, 5) for name, value in step.parts.items()},
        }
        try:
            self._folder.path.mkdir(parents=True, exist_ok=True)
            with self._folder.log.open("a") as file:
                file.write(json.dumps(line) + "\n")
            if self._curves is not None:
                for name, value in line.items():
                    self._curves.add_scalar(name, value, step.index + 1)
                self._curves.flush()
        except OSError as error:
            raise OutputError(f"The log {self._folder.log} cannot be written: {error}.") from error
