"""A folder of subjects among the processes that `accelerate launch` starts: each learns whole ones of its own."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from blipdiff.conditioning.subject import SubjectEmbedding
from tests.support.learned import view

pytest_plugins = ["tests.support.command_fixtures"]

ROOT = Path(__file__).parents[2]


def started(rank: int, port: int, *given: object) -> subprocess.Popen[str]:
    """One of two processes, with the environment that `accelerate launch` gives."""
    others = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "ACCELERATE_USE_CPU": "true"}
    own = {"RANK": str(rank), "LOCAL_RANK": str(rank), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "app", "personalize", *map(str, given)]
    return subprocess.Popen(
        command, env=os.environ | others | own, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("names", [("mia", "rex", "tom"), ("rex",)], ids=["three", "one"])
def test_two_processes_share_a_folder_of_subjects(names: tuple[str, ...], model: Path, tmp_path: Path) -> None:
    for number, name in enumerate(names):
        (tmp_path / "all" / name).mkdir(parents=True)
        view(number).save(tmp_path / "all" / name / "photo.png")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    few = ("--steps", 2, "--batch", 2, "--rate", 0.05, "--method", "embedding", "--category", "dog")
    asked = (tmp_path / "all", "--output", tmp_path / "cards", *few, "--model", model)
    running = [started(rank, port, *asked) for rank in (0, 1)]
    try:
        said = [process.communicate(timeout=300) for process in running]
    finally:
        for process in running:
            process.kill()
    assert [process.returncode for process in running] == [0, 0], said
    told = [[Path(line).stem for line in out.split()] for out, _ in said]
    assert told == [list(names[0::2]), list(names[1::2])]
    assert all(SubjectEmbedding.load(tmp_path / "cards" / f"{name}.safetensors").category == "dog" for name in names)
    assert ("has no subject to learn" in said[1][1]) == (len(names) == 1)
