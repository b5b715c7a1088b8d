"""The optimizer of a recipe: eight bits where bitsandbytes and CUDA are, and a sentence elsewhere."""

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch import nn

from blipdiff.errors import CheckpointError, ConfigError, MissingDependencyError
from blipdiff.training.optimizers import optimizer_of
from blipdiff.training.sections import OptimizerRecipe
from blipdiff.training.state import RunFolder, load_state, save_state
from blipdiff.training.workers import ALONE

RECIPE = OptimizerRecipe(
    steps=4, batch=1, learning_rate=0.1, warmup_steps=0, cooldown_fraction=0.0, weight_decay=0.0, ema_decay=0.0
)
PACKED = replace(RECIPE, eight_bit=True)
CUDA = torch.device("cuda")


class AdamW8bit(torch.optim.Optimizer):
    """Keeps what bitsandbytes' own keeps of a parameter, by its names and types, and steps by signs."""

    def __init__(self, parameters, lr, betas, weight_decay):
        super().__init__(parameters, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None):
        for one in self.param_groups[0]["params"]:
            state = self.state[one] or {
                "step": 0,
                "state1": torch.zeros(one.shape, dtype=torch.uint8),
                "absmax1": torch.zeros(1),
                "qmap1": torch.linspace(-1, 1, 256),
            }
            state["step"] += 1
            state["state1"] += one.grad.sign().to(torch.uint8)
            state["absmax1"] += one.grad.abs().max()
            one.sub_(self.param_groups[0]["lr"] * state["absmax1"] * state["state1"].float())
            self.state[one] = state


@pytest.fixture
def bitsandbytes(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("bitsandbytes")
    module.optim = SimpleNamespace(AdamW8bit=AdamW8bit)
    monkeypatch.setitem(sys.modules, "bitsandbytes", module)
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", module.optim)


def test_eight_bits_are_bitsandbytes_on_cuda(bitsandbytes: None) -> None:
    assert isinstance(optimizer_of(PACKED, [nn.Parameter(torch.ones(2))], CUDA), AdamW8bit)
    assert isinstance(optimizer_of(RECIPE, [nn.Parameter(torch.ones(2))], torch.device("cpu")), torch.optim.AdamW)


def test_eight_bits_off_cuda_or_without_bitsandbytes_are_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="runs on CUDA, and this is 'cpu'; leave it out"):
        optimizer_of(PACKED, [], torch.device("cpu"))
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(MissingDependencyError, match="pip install bitsandbytes"):
        optimizer_of(PACKED, [], CUDA)


def test_packed_moments_are_saved_and_go_on_bit_for_bit(bitsandbytes: None, tmp_path: Path) -> None:
    def begun() -> tuple[list[nn.Parameter], torch.optim.Optimizer]:
        parameters = [nn.Parameter(torch.arange(1.0, 4)), nn.Parameter(torch.ones(2))]
        return parameters, optimizer_of(PACKED, parameters, CUDA)

    def step(parameters: list[nn.Parameter], optimizer: torch.optim.Optimizer) -> None:
        parameters[0].grad, parameters[1].grad = parameters[0].detach() / 3, torch.ones(2)
        optimizer.step()

    names, folder = ["net.one", "net.two"], RunFolder(tmp_path)
    first, optimizer = begun()
    step(first, optimizer)
    save_state(folder, names, optimizer, [one.detach().clone() for one in first], 1, ALONE)
    second, again = begun()
    load_state(folder, names, again, [torch.zeros(3), torch.zeros(2)], 1)
    for _ in range(2):
        step(first, optimizer)
        step(second, again)
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    assert again.state[second[0]]["step"] == 3
    assert again.state[second[0]]["state1"].dtype == torch.uint8
    plain = optimizer_of(RECIPE, second, torch.device("cpu"))
    with pytest.raises(CheckpointError, match="is of another model"):
        load_state(folder, names, plain, [torch.zeros(3), torch.zeros(2)], 1)
