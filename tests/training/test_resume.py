"""Killed at any moment and resumed, a stage of the real networks ends as if it had never been stopped, bit for bit."""

import random
import tomllib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from blipdiff.training.config import control_recipe_from, recipe_from
from blipdiff.training.loop import RunFolder, TrainingStep, resume_step
from blipdiff.training.state import load_state, save_state
from blipdiff.training.workers import ALONE
from pipelines.train.control import prepare_control, train_control
from pipelines.train.decoder import train_decoder
from pipelines.train.export import export
from pipelines.train.parts import prepare
from pipelines.train.reconstruction import train_reconstruction
from pipelines.train.representation import train_representation
from pipelines.train.subjects import train_subjects
from tests.support.command_line import at_call
from tests.training.conftest import tiny_table

STEPS = 4
Start = Callable[[Path], tuple[RunFolder, Iterator[TrainingStep]]]
STAGES = {
    "representation": train_representation,
    "reconstruction": train_reconstruction,
    "subject": train_subjects,
}


def tables() -> tuple[dict[str, Any], dict[str, Any]]:
    """The bundled recipes of the model and of a control net, tiny."""
    recipes, model = files("blipdiff.training") / "recipes", tiny_table()
    short = {"steps": STEPS, "batch": 4, "warmup_steps": 2}
    describe = tomllib.loads((recipes / "describe.toml").read_text())
    model["representation"] = describe["representation"] | short | {"shared_width": 8, "batch": 6}
    for stage in ("reconstruction", "subject", "autoencoder"):
        model[stage] |= short
    net = tomllib.loads((recipes / "mini-canny.toml").read_text())
    net["control"] |= short | {"embedding_channels": [4, 4, 8, 8]}
    return model, net


@pytest.fixture(scope="module")
def starts(library_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Start]]:
    """Each stage as it is begun, or gone on with, in a run's folder; a state is saved after each step."""
    table, net_table = tables()
    recipe, net = recipe_from(table, "tiny"), control_recipe_from(net_table, "tiny")

    def of_model(name: str) -> Start:
        def start(folder: Path) -> tuple[RunFolder, Iterator[TrainingStep]]:
            parts = replace(prepare(recipe, folder, data=library_folder), save_every_seconds=-1.0)
            training = train_decoder(parts) if name == "autoencoder" else STAGES[name](parts, compiled=False)
            return parts.stage(name), training

        return start

    def of_net(folder: Path) -> tuple[RunFolder, Iterator[TrainingStep]]:
        run = prepare_control(net, folder, source=tmp / "model")
        run = replace(run, folder=replace(run.folder, save_every_seconds=-1.0))
        return run.folder, train_control(run, library_folder, compiled=False)

    tmp = tmp_path_factory.mktemp("start")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.train.parts.SAMPLED_PAIRS", 48)
        patch.setattr("pipelines.train.describer.SAMPLED_CAPTIONS", 64)
        list(of_model("subject")(tmp / "run")[1])
        export(prepare(recipe, tmp / "run", data=library_folder), tmp / "model")
        yield {name: of_model(name) for name in (*STAGES, "autoencoder")} | {"controlnet": of_net}


def stop() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("stage", ["representation", "reconstruction", "subject", "autoencoder", "controlnet"])
def test_a_stage_killed_at_random_ends_as_one_that_never_stopped(
    stage: str, starts: dict[str, Start], tmp_path: Path
) -> None:
    folder, steps = starts[stage](tmp_path / "whole")
    list(steps)
    wanted = load_file(folder.state)
    first, rng = 0, random.Random(stage)
    while first < STEPS:
        folder, steps = starts[stage](tmp_path / "killed")
        with at_call("training/state.py", "_write", rng.randint(2, 3), stop), suppress(KeyboardInterrupt):
            list(steps)
        assert resume_step(folder) > first
        first = resume_step(folder)
    found = load_file(folder.state)
    different = [name for name, value in wanted.items() if not torch.equal(value, found[name])]
    assert (different, found.keys()) == ([], wanted.keys())


@pytest.mark.parametrize("stage", ["reconstruction", "subject"])
def test_a_run_of_an_earlier_version_goes_on(stage: str, starts: dict[str, Start], tmp_path: Path) -> None:
    folder, steps = starts[stage](tmp_path / "whole")
    list(steps)
    wanted = load_file(folder.state)
    folder, steps = starts[stage](tmp_path / "begun")
    with at_call("training/state.py", "_write", 3, stop), suppress(KeyboardInterrupt):
        list(steps)
    begun = resume_step(folder)
    assert 0 < begun < STEPS
    tensors = {
        name.replace("reconstruction.positions", "redrawing.places").replace("reconstruction", "redrawing"): tensor
        for name, tensor in load_file(folder.state).items()
    }
    assert any(".redrawing." in name for name in tensors)
    save_file(tensors, folder.state, metadata={"step": str(begun), "format": "pt"})
    if stage == "reconstruction":
        folder.path.rename(folder.path.with_name("redrawing"))
    folder, steps = starts[stage](tmp_path / "begun")
    assert resume_step(folder) == begun
    list(steps)
    found = load_file(folder.state)
    assert found.keys() == wanted.keys()
    assert all(torch.equal(value, found[name]) for name, value in wanted.items())


def test_a_weight_that_no_step_has_reached_is_saved_and_goes_on(tmp_path: Path) -> None:
    def parts() -> tuple[list[nn.Parameter], torch.optim.AdamW, list[Tensor]]:
        weights = [nn.Parameter(torch.ones(2, 3, 4, 4).to(memory_format=torch.channels_last)) for _ in range(2)]
        return weights, torch.optim.AdamW(weights, lr=0.1, fused=True), [weight.detach().clone() for weight in weights]

    def step(weights: list[nn.Parameter], optimizer: torch.optim.AdamW, reached: int) -> None:
        optimizer.zero_grad()
        sum(weight.square().sum() * (place + 1) for place, weight in enumerate(weights[:reached])).backward()
        optimizer.step()

    folder, names = RunFolder(tmp_path), ["a", "b"]
    weights, optimizer, averages = parts()
    step(weights, optimizer, 1)
    save_state(folder, names, optimizer, averages, 1, ALONE)
    again, resumed, averages = parts()
    load_state(folder, names, resumed, averages, 1)
    for one, other in zip(weights, again, strict=True):
        moments = resumed.state[other]["exp_avg"]
        assert moments.stride() == other.stride() == one.stride()
    step(weights, optimizer, 2)
    step(again, resumed, 2)
    assert all(torch.equal(one, other) for one, other in zip(weights, again, strict=True))
