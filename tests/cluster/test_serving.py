"""Replicas on a cluster of this machine: many clients' jobs over HTTP with a cancel and a kill, bit for bit."""

import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import pytest

from app.api.client import Client
from app.cluster import joining
from app.cluster.away import AGAIN, Away, Known
from app.cluster.errors import TWICE, ClusterError
from app.cluster.replica import Setting
from app.cluster.scale import Scale
from app.cluster.serving import serving
from app.jobs.opening import opener
from app.jobs.tickets import Asked, Sender
from app.jobs.workshop import Machine, Workshop
from app.server import serve
from pipelines.generate.request import GenerateRequest
from pipelines.job import Job, run
from pipelines.pictures import save_picture
from pipelines.studio import Studio
from pipelines.task import Result

if find_spec("ray") is None:
    pytest.skip("needs Ray", allow_module_level=True)

_SUBJECT = Path(str(files("blipdiff"))) / "assets" / "subjects" / "padlock.png"
_MINI = Path(str(files("blipdiff"))) / "assets" / "mini"
_LONG = 600.0


@dataclass
class Cluster:
    workshop: Workshop
    url: str

    @property
    def known(self) -> Known:
        artist = self.workshop.workers[0].artist
        assert isinstance(artist, Away)
        return artist._known

    def replicas(self) -> list[int]:
        found = psutil.Process().children(recursive=True)
        return [one.pid for one in found if any("ServeReplica" in word for word in _words(one))]


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _connections(process: psutil.Process) -> list[Any]:
    try:
        return list(process.net_connections())
    except psutil.Error:
        return []


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """No replica while nobody draws, up to two."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory(prefix="bd", dir="/tmp", ignore_cleanup_errors=True) as place:
        folder, opening = Path(place), {"engine": "torch"}
        names = ["mini"]
        for number in range(5):
            (folder / f"mini-{number}").symlink_to(_MINI)
            names.append(str(folder / f"mini-{number}"))
        setting = Setting(tuple(names), "cpu", opening, (str(folder / "files"),), most=2)
        with serving("local", setting, Scale(0, 2), folder, folder=str(folder / "ray")) as running:
            machine = Machine(names, opener(**opening), ["cpu"], is_warmed=True, artists=running.artists)
            workshop = Workshop(folder / "history", machine, library=folder / "subjects")
            with serve(workshop) as served:
                yield Cluster(workshop, served.url)
    if before is None:
        del os.environ["OMP_NUM_THREADS"]
    else:
        os.environ["OMP_NUM_THREADS"] = before


@pytest.fixture(scope="module")
def studio() -> Studio:
    return Studio.open("mini", device="cpu", engine="torch")


def asked(seed: int, **changes: Any) -> dict[str, Any]:
    return {
        "category": "padlock", "prompt": "on a grass field", "count": 1, "steps": 4, "width": 64, "height": 64,
        "seed": seed,
    } | changes  # fmt: skip


def job(seed: int, **changes: Any) -> Job:
    return Job.of(GenerateRequest(**asked(seed, **changes)), subject=_SUBJECT).opened()


def until(found: Callable[[], Any]) -> Any:
    end = time.monotonic() + _LONG
    while time.monotonic() < end:
        if value := found():
            return value
        time.sleep(0.02)
    raise AssertionError("it did not come")


def files_alone(studio: Studio, one: Job, folder: Path) -> list[bytes]:
    """The pictures' files as one process draws them."""
    results = [event for event in run(studio, one) if isinstance(event, Result)]
    return [save_picture(each.picture, folder / f"{number}.png").read_bytes() for number, each in enumerate(results)]


def test_jobs_of_many_clients_outlive_a_killed_replica_bit_for_bit(
    cluster: Cluster, studio: Studio, tmp_path: Path
) -> None:
    subject = _SUBJECT.read_bytes()
    heard: dict[str, list[Any]] = {}

    def send(number: int) -> None:
        client = Client(cluster.url, name=f"client-{number}", seconds=_LONG)
        for seed in range(number, 20, 5):
            more = {"count": 4, "batch": 1, "steps": 8} if seed < 2 else {}
            name = client.submit("generate", asked(10 * seed, **more), subject=subject)["id"]
            heard[name] = list(client.events(name))

    victim = cluster.workshop.submit(job(1000, steps=900), Sender(client="victim")).id
    until(lambda: cluster.workshop.broadcast.running(victim))  # none was there: one came for it
    with ThreadPoolExecutor(5) as clients:
        sent = [clients.submit(send, number) for number in range(5)]
        until(lambda: cluster.workshop.queue.count(("done",)) > 2)
        assert Client(cluster.url).cancel(victim)["is_stopping"]
        assert cluster.workshop.wait(victim, _LONG).state == "cancelled"
        until(lambda: cluster.workshop.queue.count(("drawing",)))
        os.kill(cluster.replicas()[0], signal.SIGKILL)
        for one in sent:
            one.result(_LONG)
    assert len(heard) == 20
    for name, events in heard.items():
        assert events[-1].told["state"] == "done"
        results = [event.told["id"] for event in events if event.kind == "result"]
        assert results == list(dict.fromkeys(results))
        assert any(event.kind == "progress" and event.previews() for event in events)
        files = [Client(cluster.url).picture(result) for result in results]
        assert files == files_alone(studio, cluster.workshop.queue.job(name), tmp_path)


def test_a_cluster_of_this_machine_is_reached_from_nowhere_else(cluster: Cluster) -> None:
    ours = [psutil.Process(), *psutil.Process().children(recursive=True)]
    listening = [one.laddr.ip for each in ours for one in _connections(each) if one.status == psutil.CONN_LISTEN]
    assert listening
    assert {ip.removeprefix("::ffff:") for ip in listening} == {"127.0.0.1"}


def test_a_cluster_with_another_blipdiff_is_a_sentence(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    monkeypatch.setattr(joining, "__version__", "9.9")
    with pytest.raises(ClusterError, match=r"The cluster at head:1 has blipdiff .*; this is 9\.9\."):
        joining._check_versions(ray, "head:1")


def test_what_replicas_hold_is_told_by_the_server(cluster: Cluster) -> None:
    assert cluster.workshop.wait(cluster.workshop.submit(job(1), Sender()).id, _LONG).state == "done"
    told = Client(cluster.url)._json("GET", "/models")["models"]
    assert {one["name"]: one["bytes"] for one in told}["mini"] > 10**7
    assert cluster.workshop.is_open("mini")
    facts = cluster.workshop.facts("mini")
    assert facts is not None and (facts.name, facts.device, facts.width) == ("mini", "cpu", 128)
    assert cluster.workshop.models.loaded == {}  # none was opened here


def test_of_more_models_than_a_replica_keeps_the_least_recently_used_goes(cluster: Cluster) -> None:
    def held() -> dict[str, list[str]]:
        return {name: list(one) for name, one in cluster.known.loaded().items()}

    for model in cluster.workshop.models.names[1:]:
        before = held()
        done = cluster.workshop.wait(cluster.workshop.submit(job(1), Sender(), Asked(model=model)).id, _LONG)
        assert done.state == "done"
        changed = {name: one for name, one in held().items() if one != before.get(name)}
        assert len(changed) == 1
        for name, one in changed.items():
            assert one == [*before.get(name, []), model][-2:]
        assert cluster.workshop.is_open(model)


def test_what_a_replica_cannot_draw_is_the_same_sentence(cluster: Cluster) -> None:
    missing = job(1, steps=900, scheduler="lcm")
    failed = cluster.workshop.wait(cluster.workshop.submit(missing, Sender()).id, _LONG)
    assert failed.state == "failed"
    assert "900 steps" in str(failed.error)
    assert not failed.is_fault


def test_a_job_whose_replicas_die_twice_fails_in_a_sentence_and_others_go_on(cluster: Cluster) -> None:
    workshop = cluster.workshop
    name = workshop.submit(job(3, steps=900), Sender()).id
    until(lambda: workshop.broadcast.running(name))
    for pid in cluster.replicas():
        os.kill(pid, signal.SIGKILL)
    until(lambda: AGAIN in workshop.queue.ticket(name).notices)
    before = workshop.broadcast.running(name)
    until(lambda: (workshop.broadcast.running(name) or before) is not before)
    for pid in cluster.replicas():
        os.kill(pid, signal.SIGKILL)
    ended = workshop.wait(name, _LONG)
    assert (ended.state, ended.error) == ("failed", TWICE)
    assert ended.is_fault
    assert workshop.wait(workshop.submit(job(4), Sender()).id, _LONG).state == "done"
