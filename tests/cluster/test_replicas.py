"""Replicas without a cluster: how many, what goes over the line, and what is told where Ray or a cluster is missing."""

import os
import pickle
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from app.cli.cluster import with_place
from app.cluster import joining
from app.cluster.errors import TWICE, ClusterError
from app.cluster.joining import joined
from app.cluster.passing import Failed, received, sent
from app.cluster.replica import Replica, Setting
from app.cluster.scale import Scale
from app.cluster.serving import shares
from app.jobs.tickets import FAULT
from blipdiff.errors import BlipdiffError, ConfigError, ImageError, MissingDependencyError, OutOfMemoryError
from pipelines.pictures import save_picture
from pipelines.task import Result, Sheet
from tests.support.studios import run
from tests.support.workshops import tiny_studio

_ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("text", "found"), [("2", Scale(2, 2)), ("0:4", Scale(0, 4)), (" 1:3 ", Scale(1, 3)), ("256", Scale(256, 256))]
)
def test_bounds_of_replicas_are_a_number_or_two(text: str, found: Scale) -> None:
    assert Scale.of(text) == found


@pytest.mark.parametrize("text", ["", "0", "0:0", "3:2", "-1:2", "1:", ":2", "1:2:3", "many", "1:257", "9" * 30])
def test_other_bounds_are_refused_with_what_is_expected(text: str) -> None:
    with pytest.raises(ConfigError, match="--replicas"):
        Scale.of(text)


def nodes(kind: str, *counts: float) -> list[dict[str, Any]]:
    return [{"Alive": True, "Resources": {"memory": 1e9, kind: count}} for count in counts]


@pytest.mark.parametrize(
    ("counts", "scale", "share"),
    [
        ((16,), Scale(1, 2), 8),
        ((2,), Scale(2, 2), 1),
        ((4, 4), Scale(1, 1), 4),
        ((5, 3), Scale(0, 2), 3),
        ((2,), Scale(0, 9), 1),
    ],
)
def test_replicas_share_the_processors_of_their_machines(counts: tuple[int, ...], scale: Scale, share: int) -> None:
    assert shares(nodes("CPU", *counts), scale, needs_gpu=False) == {"num_cpus": share}


def test_each_replica_has_a_gpu_for_itself_or_a_sentence_says_there_are_too_few() -> None:
    assert shares(nodes("GPU", 1, 1), Scale(2, 8), needs_gpu=True) == {"num_gpus": 1, "num_cpus": 1}
    with pytest.raises(ClusterError, match="has 0 GPUs, too few for 1 replicas"):
        shares(nodes("CPU", 8), Scale(0, 1), needs_gpu=True)
    with pytest.raises(ClusterError, match="has 2 GPUs, too few for 3 replicas"):
        shares(nodes("GPU", 2), Scale(3, 3), needs_gpu=True)


def test_two_deaths_are_nobodys_who_asked() -> None:
    assert TWICE.startswith(FAULT)


def test_ray_may_stand_without_an_address() -> None:
    assert with_place(["--ray", "--port", "1"], takes_words=False) == ["--ray", "local", "--port", "1"]
    assert with_place(["--port", "1", "--ray"], takes_words=False) == ["--port", "1", "--ray", "local"]
    assert with_place(["--ray", "head:6379"], takes_words=False) == ["--ray", "head:6379"]
    assert with_place(["--ray", "head"], takes_words=False) == ["--ray", "head"]
    assert with_place(["--ray", "jobs.csv"], takes_words=True) == ["--ray", "local", "jobs.csv"]
    assert with_place(["jobs.csv", "--ray", "head:6379"], takes_words=True) == ["jobs.csv", "--ray", "head:6379"]


def test_a_result_over_the_line_becomes_the_same_file(tmp_path: Path) -> None:
    store: list[bytes] = []

    def put(value: Any) -> int:
        store.append(pickle.dumps(value))
        return len(store) - 1

    one = next(event for event in run(tiny_studio()) if isinstance(event, Result))
    there = received(sent(replace(one, detail=object()), put), lambda number: pickle.loads(store[number]))
    assert isinstance(there, Result)
    files = [save_picture(each.picture, tmp_path / f"{number}.png") for number, each in enumerate((one, there))]
    assert files[0].read_bytes() == files[1].read_bytes()
    sheet = Sheet("grid", "dogs", ".txt", lambda path: path.write_text("a grid"))
    again = received(sent(sheet, put), lambda number: pickle.loads(store[number]))
    assert isinstance(again, Sheet)
    again.write(tmp_path / "sheet")
    assert (tmp_path / "sheet").read_text() == "a grid"
    assert (again.kind, again.name, again.suffix) == ("grid", "dogs", ".txt")


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (ImageError("no picture"), ImageError, "no picture"),
        (MemoryError("of the system"), OutOfMemoryError, "of the system"),
        (KeyError("secret"), ClusterError, "The program has a fault here: KeyError."),
        (ClusterError("lost"), ClusterError, "lost"),
    ],
)
def test_an_error_over_the_line_is_the_same_sentence(error: Exception, kind: type[BlipdiffError], text: str) -> None:
    again = pickle.loads(pickle.dumps(Failed.of(error))).error()
    assert type(again) is kind
    assert str(again) == text


def test_a_replica_of_another_version_refuses_its_server() -> None:
    pytest.importorskip("ray")
    with pytest.raises(ClusterError, match=r"has blipdiff .*; the server is 0\.0\.0"):
        Replica(replace(Setting(("mini",), "cpu", {}), version="0.0.0"))


def test_without_ray_one_sentence_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'blipdiff\[ray\]'"), joined("local"):
        pass


@pytest.mark.parametrize("address", ["head", "head:", ":6379", "head:port", "head:70000", "ray://head:10001"])
def test_what_is_no_address_is_refused(address: str) -> None:
    pytest.importorskip("ray")
    with pytest.raises(ConfigError, match="--ray"), joined(address):
        pass


def test_what_ray_says_of_a_cluster_becomes_one_sentence() -> None:
    other = RuntimeError("Version mismatch: The cluster was started with:\n    Ray: 2.9\n    Python: 3.9")
    told = joining._why("head:6379", other)
    assert told.startswith("The cluster at head:6379 runs other versions of Python or Ray than this one")
    assert "Ray: 2.9 Python: 3.9" in told and "\n" not in told
    assert "cannot be joined: no route." in joining._why("head:6379", ConnectionError("no route"))


def test_a_cluster_whose_head_is_gone_is_told_of_once() -> None:
    told, is_over = list[str](), Event()
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        head = f"127.0.0.1:{listening.getsockname()[1]}"
        watching = Thread(
            target=joining.watch, args=(head, lambda: told.append("gone"), is_over), kwargs={"seconds": 0.5}
        )
        watching.start()
        listening.settimeout(600)
        for _ in range(3):
            listening.accept()[0].close()
        assert told == []
    watching.join(600)
    assert told == ["gone"]
    is_over.set()
    joining.watch(head, lambda: told.append("again"), is_over)
    assert told == ["gone"]


def command(*words: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"PYTHONPATH": str(_ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", "app", *words, "--folder", str(folder)],
        capture_output=True, text=True, check=False, env=environment, cwd=_ROOT, timeout=600,
    )  # fmt: skip


@pytest.fixture
def silent() -> Iterator[int]:
    """A port at which something listens that never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


def test_a_cluster_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        free = found.getsockname()[1]
    ended = command("serve", "--ray", f"127.0.0.1:{free}", folder=tmp_path)
    assert ended.returncode == 2
    assert f"There is no cluster at 127.0.0.1:{free}" in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1


def test_a_cluster_that_never_answers_is_one_sentence(tmp_path: Path, silent: int) -> None:
    pytest.importorskip("ray")
    ended = command("serve", "--ray", f"127.0.0.1:{silent}", folder=tmp_path)
    assert ended.returncode == 2
    assert f"127.0.0.1:{silent} " in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1


def test_options_that_do_not_go_together_are_told_before_anything_is_started(tmp_path: Path) -> None:
    assert "goes with --ray" in command("serve", "--replicas", "2", folder=tmp_path).stderr
    two = command("serve", "--ray", "--device", "cpu", "--device", "cuda", folder=tmp_path)
    assert two.returncode == 2
    assert "say --device once" in two.stderr
