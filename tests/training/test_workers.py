"""Processes that train together do what one does, and one that is killed goes on as if nothing had happened."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from blipdiff.data import PairLibrary
from blipdiff.errors import ConfigError
from blipdiff.training.config import load_recipe
from blipdiff.training.loop import RunFolder, resume_step
from blipdiff.training.memory import checkpoint_blocks, kept_bytes
from blipdiff.training.vocabulary import train_category_tokenizer, train_prompt_tokenizer
from blipdiff.training.workers import ALONE, Workers
from tests.support.initial_parts import subject_networks
from tests.training import two_processes

ROOT = Path(__file__).parents[2]


def written(table: dict[str, Any]) -> str:
    """A recipe as TOML."""
    lines = [f"{name} = {json.dumps(value)}" for name, value in table.items() if not isinstance(value, dict)]
    for section, values in table.items():
        if isinstance(values, dict):
            lines += [f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    return "\n".join(lines)


@pytest.fixture
def place(table: dict[str, Any], library: PairLibrary, tmp_path: Path) -> Path:
    table["subject"] |= {"steps": 3, "batch": 6, "accumulate": 2, "bfloat16": False, "drop_subject": 0.34}
    (tmp_path / "recipe.toml").write_text(written(table))
    texts = [f"a {pair.category} {pair.prompt}" for pair in (library.draw(index, 0) for index in range(40))]
    train_prompt_tokenizer(texts, tmp_path / "prompts", 700)
    train_category_tokenizer(texts, tmp_path / "words", 200)
    return tmp_path


def started(place: Path, library_folder: Path, rank: int, port: int) -> subprocess.Popen[str]:
    """One of two processes, with the environment that `accelerate launch` gives."""
    others = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "ACCELERATE_USE_CPU": "true"}
    environment = os.environ | others | {"RANK": str(rank), "LOCAL_RANK": str(rank), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(ROOT / "tests" / "training" / "two_processes.py"), str(place), str(library_folder)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def test_two_processes_learn_what_one_learns_whole_or_in_shards(place: Path, library_folder: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = [started(place, library_folder, rank, port) for rank in (0, 1)]
    try:
        two_processes.run(place, library_folder, sharded=False, workers=ALONE)
        for process in running:
            _, said = process.communicate(timeout=300)
            assert process.returncode == 0, said
    finally:
        for process in running:
            process.kill()
    alone = load_file(place / "workers-1" / "state.safetensors")
    for together in ("workers-2", "sharded") if two_processes.SHARDS_HERE else ("workers-2",):
        state = load_file(place / together / "state.safetensors")
        assert state.keys() == alone.keys()
        for name, value in alone.items():
            kind, _, parameter = name.partition(".")
            # where the gradient is rounding alone, as of a bias before a norm, AdamW makes whole steps of it
            steep = alone[f"second.{parameter}"].sqrt() > 1e-5
            if kind in ("weight", "average"):
                torch.testing.assert_close(
                    state[name][steep], value[steep], rtol=1e-3, atol=2e-4, msg=f"{together}: {name}"
                )
    assert (place / "workers-2" / "metrics.jsonl").read_text().count("\n") == 3, "the first process alone keeps the log"


def test_micro_batches_are_shared_out_evenly_or_not_at_all() -> None:
    assert [list(Workers(2, rank).share(4)) for rank in (0, 1)] == [[0, 2], [1, 3]]
    with pytest.raises(ConfigError, match="cannot be shared among 2 processes"):
        Workers(2, 0).share(3)


_KILLED = """
import sys, torch
sys.path.insert(0, {root!r})
from tests.training.test_loop import Line, always, batches, recipe
from blipdiff.training.loop import resume_step, train
from pathlib import Path
import time
folder = always(Path({place!r}))
first = resume_step(folder)
steps = train(Line(), batches(first, 400), recipe(steps=400), folder, seed=3, first_step=first, log_every=1)
for step in steps:
    if {slow} and step.index > 5:
        time.sleep(0.05)
"""


def test_killed_with_signal_9_and_started_again_it_ends_bit_for_bit_the_same(tmp_path: Path) -> None:
    def begun(place: str, *, slow: bool) -> subprocess.Popen[bytes]:
        code = _KILLED.format(root=str(ROOT), place=str(tmp_path / place), slow=slow)
        return subprocess.Popen([sys.executable, "-c", code], env=os.environ | {"OMP_NUM_THREADS": "1"})

    killed = begun("killed", slow=True)
    deadline = time.monotonic() + 120
    while resume_step(RunFolder(tmp_path / "killed")) < 8 and time.monotonic() < deadline:
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert 8 <= resume_step(RunFolder(tmp_path / "killed")) < 400
    assert begun("killed", slow=False).wait(300) == 0
    assert begun("whole", slow=False).wait(300) == 0
    one, other = (load_file(tmp_path / name / "state.safetensors") for name in ("killed", "whole"))
    assert one.keys() == other.keys()
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_blocks_computed_again_keep_less_and_give_the_same_gradients(place: Path) -> None:
    recipe = load_recipe(place / "recipe.toml")
    batch = {
        "category_ids": torch.ones(2, 4, dtype=torch.long),
        "category_mask": torch.ones(2, 4, dtype=torch.long),
        "short_ids": torch.ones(2, 16, dtype=torch.long),
        "long_ids": torch.ones(1, 32, dtype=torch.long),
    }
    inputs = torch.randn(3, 8, 4, 4), torch.tensor([1, 500, 900]), torch.randn(2, 3, 32, 32)
    plain, again = (subject_networks(recipe, 700, 200)[0] for _ in range(2))
    kept = [kept_bytes(lambda: plain(*inputs, batch)[0], plain, checkpointing=one) for one in (False, True)]
    checkpoint_blocks(again)
    gradients = []
    for networks in (plain, again):
        networks(*inputs, batch)[0].square().mean().backward()
        gradients.append([p.grad for p in networks.parameters() if p.grad is not None])
    torch.testing.assert_close(gradients[0], gradients[1])
    assert kept[1] < 0.6 * kept[0]


def test_a_linear_maps_input_is_what_is_kept() -> None:
    layer = nn.Linear(10, 5)
    x = torch.randn(4, 10)
    assert kept_bytes(lambda: layer(x), layer) == x.numel() * 4
    with torch.device("meta"):
        there = nn.Linear(10, 5)
        assert kept_bytes(lambda: there(torch.empty(4, 10)), there) == 160
