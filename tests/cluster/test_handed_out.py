"""Shards and evaluations handed out to a Ray cluster: what comes of them is what one process makes."""

import contextlib
import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image

from app.cluster.connection import Workers
from app.cluster.handing_out import over_ray
from blipdiff.errors import ConfigError
from blipdiff.evaluation.dreambench.benchmark import read_benchmark
from pipelines.evaluate.drawing import Wanted, draw_batch, drawn_batches
from pipelines.evaluate.dreambench.evaluate import draw_benchmark
from pipelines.evaluate.requests import DreamBenchRequest, EvaluateRequest
from pipelines.handing import one_by_one
from pipelines.prepare_data import PrepareRequest, Tools, prepare_photos
from pipelines.studio import Studio
from tests.support import benchmarks
from tests.support.command_line import Command
from tests.support.tiny_models import photo

pytest.importorskip("ray")
pytest_plugins = ["tests.support.command_fixtures", "tests.support.clusters"]

ONE = Workers(1, 1)


def tools() -> Tools:
    """A segmenter that finds the middle; made here, so that it goes to workers with its code."""

    class Middle:
        def chances(self, picture: Any, _category: str) -> Any:
            found = np.zeros((picture.height, picture.width), np.float32)
            found[picture.height // 4 : -picture.height // 4, picture.width // 4 : -picture.width // 4] = 1
            return found

    def matte(picture: Any, trimap: Any) -> Any:
        return trimap / 255.0, picture / 255.0

    return Tools(Middle(), matte)  # type: ignore[arg-type]


@pytest.mark.usefixtures("cluster")
def test_shards_are_those_of_one_process_and_only_missing_ones_are_made(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "photos" / "dog").mkdir(parents=True)
    for number in range(7):
        small = rng.integers(0, 256, (4, 5, 3)).astype(np.uint8)
        Image.fromarray(small).resize((80, 64)).save(tmp_path / "photos" / "dog" / f"{number}.png")
    (tmp_path / "photos" / "dog" / "3.png").write_bytes(b"no picture at all")
    request = PrepareRequest(per_shard=2, side=48, subject_side=32, captions=0)
    alone = list(prepare_photos(tmp_path / "photos", tmp_path / "alone", tools(), request))
    with over_ray("local", ONE, tools, device="cpu") as hand_out:
        together = list(prepare_photos(tmp_path / "photos", tmp_path / "ray", hand_out, request))
        assert len(together) == len(alone) == 4
        assert together[-1] == alone[-1]
        for path in (tmp_path / "alone").iterdir():
            assert path.read_bytes() == (tmp_path / "ray" / path.name).read_bytes(), path.name
        kept = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "ray").glob("subjects-*")}
        (tmp_path / "ray" / "subjects-000002.json").unlink()
        list(prepare_photos(tmp_path / "photos", tmp_path / "ray", hand_out, request))
        again = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "ray").glob("subjects-*")}
    assert {name for name in kept if kept[name] != again[name]} == {"subjects-000002.json", "subjects-000002.tar"}


@pytest.mark.usefixtures("cluster")
def test_a_benchmark_is_drawn_and_scored_as_by_one_process(
    blipdiff: Command, model: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = benchmarks.dreambench(tmp_path / "dataset")
    dino, clip = benchmarks.encoders(tmp_path_factory.mktemp("encoders"))
    asked = ("evaluate", "dreambench", data, "--model", model, "--pictures", 1, "--steps", 1, "--device", "cpu")
    asked = (*asked, "--output", tmp_path / "ray", "--dino", dino, "--clip", clip, "--ray")
    ended = blipdiff(*asked, "--workers", 1)
    assert ended.code == 0, ended.err
    assert "| this run: tiny-0 |" in ended.out
    request = DreamBenchRequest(pictures=1, steps=1)
    studio = Studio.open(model, device="cpu", engine="torch")
    list(draw_benchmark(studio, read_benchmark(data), tmp_path / "alone", request))
    drawn = sorted(path.relative_to(tmp_path / "alone") for path in (tmp_path / "alone").rglob("*.png"))
    assert len(drawn) == 9
    assert all((tmp_path / "alone" / one).read_bytes() == (tmp_path / "ray" / one).read_bytes() for one in drawn)
    assert (tmp_path / "alone" / "run.json").read_bytes() == (tmp_path / "ray" / "run.json").read_bytes()
    (tmp_path / "ray" / drawn[0]).unlink()
    other = blipdiff(*asked, "--workers", 1, "--seed", 3)
    assert (other.code, "seed 0 there and 3 here" in other.err) == (2, True)
    assert "shares it by itself" in blipdiff(*asked, "--shard", "1/2").err


@pytest.mark.usefixtures("cluster")
def test_batches_of_a_protocol_are_kept_until_it_ends(model: Path, tmp_path: Path) -> None:
    request = EvaluateRequest(steps=2, guidance=2.0, batch=2)
    wanted = [Wanted(photo(seed), "dog", "on a beach", seed) for seed in range(3)]
    studio, make = Studio.open(model, device="cpu"), partial(Studio.open, str(model), device="cpu")
    alone = _last(drawn_batches(one_by_one(studio), partial(draw_batch, request, None), "right", wanted, 2))
    with over_ray("local", ONE, make, device="cpu") as hand_out:
        drawn = _last(drawn_batches(hand_out, partial(draw_batch, request, tmp_path / "kept"), "right", wanted, 2))
    kept = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "kept").iterdir()}
    again = _last(drawn_batches(one_by_one(studio), partial(draw_batch, request, tmp_path / "kept"), "x", wanted, 2))
    assert len(kept) == 2
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "kept").iterdir()} == kept
    for other in (drawn, again):
        assert len(other) == 3
        assert all(np.array_equal(one, two) for one, two in zip(alone, other, strict=True))


@pytest.mark.usefixtures("cluster")
def test_a_cluster_of_this_machine_listens_to_this_machine_alone() -> None:
    """For who reaches the ports of Ray can run programs."""
    own = psutil.Process()
    found = set[str]()
    for one in (own, *own.children(recursive=True)):
        with contextlib.suppress(psutil.Error):
            found |= {known.laddr.ip for known in one.net_connections() if known.status == psutil.CONN_LISTEN}
    assert {address.removeprefix("::ffff:") for address in found} == {"127.0.0.1"}


@pytest.mark.usefixtures("cluster")
def test_a_unit_that_ends_its_workers_ends_the_run_in_words() -> None:
    def work(_state: Any, unit: int) -> int:
        if unit == 1:
            os.kill(os.getpid(), 9)
        return unit

    with over_ray("local", ONE, lambda: True, device="cpu") as hand_out:
        assert list(hand_out([], work)) == []
        with pytest.raises(ConfigError, match="A worker ended again and again on the same part"):
            list(hand_out([0, 1, 2], work))


def _last(events: Any) -> Any:
    while True:
        try:
            next(events)
        except StopIteration as ended:
            return ended.value
