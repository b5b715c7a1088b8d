"""The loop: a run that is killed goes on exactly as it would have, and nothing half-written is ever left."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from blipdiff.errors import CheckpointError, NumericsError, OutputError
from blipdiff.training.loop import RunFolder, TrainingStep, average_weights, resume_step, train
from blipdiff.training.sections import OptimizerRecipe
from tests.support.disks import largest_file

STEPS = 12


class Line:
    """A line through points, with noise: the smallest objective there is."""

    def __init__(self, *, width: int = 3, poison: dict[int, str] | None = None) -> None:
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(width, 5), nn.Linear(5, 1))
        self.net[0].bias.requires_grad_(False)
        self.poison = poison or {}

    def modules(self) -> dict[str, nn.Module]:
        return {"line": self.net}

    def trainable(self) -> Iterable[nn.Parameter]:
        return self.net.parameters()

    def loss(self, batch: dict[str, Tensor], generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        noise = torch.randn(len(batch["x"]), 1, generator=generator)
        error = (self.net(batch["x"]).float() - batch["x"].sum(1, keepdim=True) - 0.1 * noise).square().mean()
        kind = self.poison.get(int(batch["step"]))
        if kind == "loss":
            error = error * float("nan")
        elif kind == "gradient":
            error = error + (self.net[1].weight * 0).abs().sqrt().sum()  # zero, and its slope is not a number
        return error, {"error": error.detach()}


def batches(first: int, stop: int = STEPS, width: int = 3) -> Iterator[dict[str, Tensor]]:
    for step in range(first, stop):
        x = torch.randn(16, width, generator=torch.Generator().manual_seed(100 + step))
        yield {"x": x, "step": torch.tensor(step)}


def recipe(**changes: Any) -> OptimizerRecipe:
    values: dict[str, Any] = {
        "steps": STEPS,
        "batch": 16,
        "learning_rate": 0.02,
        "warmup_steps": 3,
        "cooldown_fraction": 0.3,
        "weight_decay": 0.01,
        "ema_decay": 0.9,
    }
    return OptimizerRecipe(**values | changes)


def always(path: Path) -> RunFolder:
    return RunFolder(path, save_every_seconds=-1.0)


def run(objective: Line, folder: RunFolder, *, first: int = 0, **settings: Any) -> list[TrainingStep]:
    steps = train(objective, batches(first), recipe(), folder, seed=3, first_step=first, **{"log_every": 1} | settings)
    return list(steps)


def killed_after(steps: int, folder: RunFolder) -> None:
    """A run of which nothing is left but its folder, after the state of that many steps was saved."""
    running = train(Line(), batches(0), recipe(), folder, seed=3, log_every=1)
    for _ in range(steps + 1):  # a step is told of before it is saved
        next(running)
    running.close()


def same_state(one: RunFolder, other: RunFolder) -> bool:
    """Bit for bit; the file's header may list its entries in another order."""
    first, second = load_file(one.state), load_file(other.state)
    same = first.keys() == second.keys() and all(torch.equal(value, second[name]) for name, value in first.items())
    return same and resume_step(one) == resume_step(other)


@pytest.mark.parametrize("steps", [1, 5, STEPS - 1])
def test_killed_and_resumed_is_the_same_as_never_stopped(steps: int, tmp_path: Path) -> None:
    whole = Line()
    wanted = run(whole, always(tmp_path / "whole"))
    killed_after(steps, always(tmp_path / "killed"))
    assert resume_step(always(tmp_path / "killed")) == steps
    resumed = Line()
    rest = run(resumed, always(tmp_path / "killed"), first=steps)
    assert [(step.index, step.loss, step.parts) for step in rest] == [
        (step.index, step.loss, step.parts) for step in wanted[steps:]
    ]
    assert all(torch.equal(a, b) for a, b in zip(whole.net.parameters(), resumed.net.parameters(), strict=True))
    assert same_state(always(tmp_path / "whole"), always(tmp_path / "killed"))


def test_killed_three_times_is_the_same_as_never_stopped(tmp_path: Path) -> None:
    run(Line(), always(tmp_path / "whole"))
    folder = always(tmp_path / "killed")
    for _ in range(3):
        first = resume_step(folder)
        running = train(Line(), batches(first), recipe(), folder, seed=3, first_step=first, log_every=1)
        for _ in range(3):
            next(running)
        running.close()
    run(Line(), folder, first=resume_step(folder))
    assert same_state(always(tmp_path / "whole"), always(tmp_path / "killed"))


def test_a_finished_run_that_is_started_again_changes_nothing(tmp_path: Path) -> None:
    done = Line()
    run(done, always(tmp_path))
    state = (tmp_path / "state.safetensors").read_bytes()
    again = Line()
    assert run(again, always(tmp_path), first=STEPS) == []
    assert (tmp_path / "state.safetensors").read_bytes() == state
    assert all(torch.equal(a, b) for a, b in zip(done.net.parameters(), again.net.parameters(), strict=True))


def test_it_learns_and_leaves_the_averaged_weights(tmp_path: Path) -> None:
    objective = Line()
    steps = run(objective, always(tmp_path))
    assert steps[-1].loss < steps[0].loss
    assert [step.index for step in steps] == list(range(STEPS))
    assert all(step.count == STEPS and step.samples_per_second > 0 for step in steps)
    stored = load_file(tmp_path / "state.safetensors")
    for name, weight in objective.net.named_parameters():
        if weight.requires_grad:
            assert torch.equal(weight, stored[f"average.line.{name}"])
            assert not torch.equal(weight, stored[f"weight.line.{name}"])
    assert "weight.line.0.bias" not in stored, "what is fixed is not saved"


def test_averages_are_put_into_any_copy_of_the_modules(tmp_path: Path) -> None:
    trained = Line()
    run(trained, always(tmp_path))
    fresh = Line()
    average_weights(always(tmp_path), fresh.modules())
    assert all(torch.equal(a, b) for a, b in zip(trained.net.parameters(), fresh.net.parameters(), strict=True))
    with pytest.raises(CheckpointError, match=r"has no line\.0\.weight of this size"):
        average_weights(always(tmp_path), Line(width=4).modules())
    with pytest.raises(CheckpointError, match="has no other"):
        average_weights(always(tmp_path), {"other": fresh.net})


def test_the_log_has_one_line_for_each_logged_step(tmp_path: Path) -> None:
    steps = run(Line(), RunFolder(tmp_path), log_every=5)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [5, 10, 12]
    assert [line["loss"] for line in lines] == [round(step.loss, 5) for step in steps]
    assert all({"error", "samples_per_second"} <= set(line) for line in lines)


def test_states_are_saved_by_time_and_at_the_end(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    running = train(Line(), batches(0), recipe(), folder, seed=3, log_every=1)
    for _ in range(STEPS - 1):
        next(running)
    assert resume_step(folder) == 0
    list(running)
    assert resume_step(folder) == STEPS


@pytest.mark.parametrize("kind", ["loss", "gradient"])
@pytest.mark.parametrize("at", [4, STEPS - 1])
def test_what_is_not_a_number_stops_the_run_and_the_last_good_state_is_whole(
    kind: str, at: int, tmp_path: Path
) -> None:
    folder = always(tmp_path)
    with pytest.raises(NumericsError, match=f"at step {at}; the last saved state is whole"):
        run(Line(poison={at: kind}), folder)
    assert resume_step(folder) == at
    assert all(bool(torch.isfinite(value).all()) for value in load_file(folder.state).values())
    rest = run(Line(), folder, first=at)
    assert len(rest) == STEPS - at
    assert all(step.loss == step.loss for step in rest)


def test_a_full_disk_is_said_and_keeps_the_last_whole_state(tmp_path: Path) -> None:
    folder = always(tmp_path)
    killed_after(3, folder)
    kept = folder.state.read_bytes()
    with largest_file(len(kept) // 2), pytest.raises(OutputError, match="The last whole state is kept"):
        run(Line(), folder, first=3, log_every=100)
    assert folder.state.read_bytes() == kept
    assert sorted(path.name for path in tmp_path.iterdir()) == ["metrics.jsonl", "state.safetensors"]
    run(Line(), folder, first=3)
    assert resume_step(folder) == STEPS


def test_a_folder_that_cannot_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for log_every in (1, 100):
        with pytest.raises(OutputError, match="file"):
            run(Line(), always(tmp_path / "file"), log_every=log_every)


def test_a_state_of_another_model_is_refused(tmp_path: Path) -> None:
    folder = always(tmp_path)
    killed_after(3, folder)
    wider = Line(width=4)
    with pytest.raises(CheckpointError, match="of another model"):
        list(train(wider, batches(3, width=4), recipe(), folder, seed=3, first_step=3))
    renamed = Line()
    renamed.modules = lambda: {"curve": renamed.net}  # type: ignore[method-assign]
    with pytest.raises(CheckpointError, match="of another model"):
        run(renamed, folder, first=3)


def test_a_damaged_state_is_named(tmp_path: Path) -> None:
    folder = always(tmp_path)
    assert resume_step(folder) == 0
    killed_after(3, folder)
    whole = folder.state.read_bytes()
    for content in (b"", b"hello", whole[:50]):
        folder.state.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"state\.safetensors is damaged"):
            resume_step(folder)
