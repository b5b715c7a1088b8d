"""`blipdiff evaluate dreambench` as it is called, and what it refuses."""

import shutil
from pathlib import Path

import pytest

from tests.support import benchmarks
from tests.support.command_line import Command
from tests.support.refusals import assert_refused

pytest_plugins = ["tests.support.command_fixtures"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return benchmarks.dreambench(tmp_path_factory.mktemp("data") / "dataset")


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return benchmarks.encoders(tmp_path_factory.mktemp("encoders"))


def test_two_shards_and_a_last_call_draw_and_score(
    blipdiff: Command, model: Path, data: Path, places: tuple[Path, Path], tmp_path: Path
) -> None:
    asked = (
        "evaluate",
        "dreambench",
        data,
        "--model",
        model,
        "--pictures",
        1,
        "--steps",
        1,
        "--output",
        tmp_path / "a",
    )
    for part in ("1/2", "2/2"):
        assert blipdiff(*asked, "--shard", part).code == 0
    scored = (*asked, "--dino", places[0], "--clip", places[1])
    ended = blipdiff(*scored, "--shown", 1)
    assert ended.code == 0, ended.err
    assert ended.out.splitlines()[-1] == str(tmp_path / "a" / "report.html")
    assert "| BLIP-Diffusion, zero-shot | 0.594 | 0.779 | 0.300 |" in ended.out
    assert "| this run: tiny-0 |" in ended.out
    assert_refused(blipdiff(*scored, "--seed", 3), "seed 0 there and 3 here")
    other = blipdiff(*scored[:-6], "--output", tmp_path / "b", *scored[-4:], "--seed", 9, "--against", tmp_path / "a")
    assert other.code == 0, other.err
    assert "chance of the other sign" in other.out


def test_bad_input_is_refused_before_anything_is_drawn(
    blipdiff: Command, model: Path, data: Path, places: tuple[Path, Path], tmp_path: Path
) -> None:
    run, own = tmp_path / "run", ("--model", model, "--output", tmp_path / "run")
    scored = ("--dino", places[0], "--clip", places[1])
    assert_refused(blipdiff("evaluate", "dreambench", tmp_path, *own), "no copy of DreamBench")
    assert_refused(blipdiff("evaluate", "dreambench", data, *own), "'facebook/dino-vits16' is not on this machine")
    assert_refused(blipdiff("evaluate", "dreambench", data, *own, *scored, "--resize", "big"), "crop, configured")
    assert_refused(blipdiff("evaluate", "dreambench", data, *own, "--shard", "9"), "2/8")
    assert_refused(blipdiff("evaluate", "dreambench", data, *own, *scored, "--condition", "best"), "first, each, all")
    judge = ("--judge-url", "http://127.0.0.1:9/v1")
    assert_refused(blipdiff("evaluate", "dreambench", data, *own, *scored, *judge), "--judge-model")
    copy = tmp_path / "copy"
    shutil.copytree(data, copy)
    (copy / "vase" / "05.jpg").unlink()
    refused = blipdiff("evaluate", "dreambench", copy, *own, *scored)
    assert_refused(refused, "vase/05.jpg. Put them there, or go on without them with --allow-missing")
    assert not run.exists()
    few = ("--pictures", 1, "--steps", 1, "--limit", 1)
    assert blipdiff("evaluate", "dreambench", copy, *own, *scored, *few, "--allow-missing").code == 0


def test_without_a_library_or_a_benchmark_both_are_named(blipdiff: Command) -> None:
    assert_refused(blipdiff("evaluate"), "--data, or name a benchmark: blipdiff evaluate dreambench FOLDER")
