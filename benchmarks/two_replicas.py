"""Two replicas of a cluster on this machine under load: jobs of many clients over HTTP, each hearing its events, with
cancels and a kill -9 of one replica in the middle; what was lost, mixed up or drawn otherwise than by one process, how
much faster two are than one, and how long jobs wait that come at random, beside what `benchmarks.capacity` says.

    OMP_NUM_THREADS=1 python -m benchmarks.two_replicas --jobs 200 --clients 20 --cancels 20

Servers of its own (`blipdiff serve --ray`) draw with mini in temporary folders, pictures of 64 pixels in 4 steps.
"""

import argparse
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import psutil

from app.api.client import Client, ServerEvent
from app.cluster.away import AGAIN
from app.jobs.queue import Queue
from app.jobs.workshop import QUEUE
from benchmarks.capacity import Demand, Machines, simulated

SUBJECT = (Path(str(files("blipdiff"))) / "assets" / "subjects" / "padlock.png").read_bytes()
_COLD = 60  # seconds of the first jobs, in which each replica opens the model


class Server:
    """`blipdiff serve` in a process of its own, with so many replicas; 0: without a cluster."""

    def __init__(self, folder: Path, replicas: int) -> None:
        self.folder = folder
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            port = found.getsockname()[1]
        words = ["--port", str(port), "--folder", str(folder), "--device", "cpu", "--engine", "torch"]
        words += ["--ray", "--replicas", str(replicas)] if replicas else []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "app", "serve", *words], stdout=subprocess.PIPE, text=True, env=os.environ
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline().startswith("http")
        self.url = f"http://127.0.0.1:{port}"

    def replicas(self) -> list[int]:
        """The replicas' processes."""
        found = psutil.Process(self.process.pid).children(recursive=True)
        return [one.pid for one in found if "ServeReplica" in " ".join(one.cmdline())]

    def close(self) -> None:
        """Ends it in good order."""
        self.process.terminate()
        self.process.wait(120)


@dataclass
class Heard:
    """What the clients heard, by job."""

    seeds: dict[str, int] = field(default_factory=dict)
    events: dict[str, list[ServerEvent]] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def ended(self) -> Counter[str]:
        """How the streams ended."""
        return Counter(str(events[-1].told.get("state")) if events else "" for events in self.events.values())


def asked(seed: int) -> dict[str, Any]:
    """A picture that is drawn in a moment."""
    about = {"category": "padlock", "prompt": "on a grass field", "count": 1, "steps": 4, "width": 64, "height": 64}
    return about | {"seed": seed}


def warmed(server: Server, replicas: int) -> None:
    """Has each replica draw, so that models are open."""
    client, end = Client(server.url, seconds=600), time.monotonic() + _COLD
    while time.monotonic() < end:
        names = [client.submit("generate", asked(10**6 + one), subject=SUBJECT)["id"] for one in range(4 * replicas)]
        for name in names:
            client.wait(name)
        with urllib.request.urlopen(f"{server.url}/metrics") as answer:
            lines = answer.read().decode().splitlines()
        if sum(line.startswith("blipdiff_model_bytes{") for line in lines) >= max(1, replicas):
            return


def load(server: Server, jobs: int, clients: int, cancels: int, *, kills: bool) -> tuple[Heard, float]:
    """Jobs of many clients, each heard to its end; what was heard, and seconds."""
    heard, chance = Heard(), random.Random(1)
    called_off = set(chance.sample(range(jobs), cancels))

    def send(number: int) -> None:
        client = Client(server.url, name=f"client-{number}", seconds=600)
        for seed in range(number, jobs, clients):
            name = client.submit("generate", asked(seed), subject=SUBJECT)["id"]
            heard.seeds[name] = seed
            events = heard.events.setdefault(name, [])
            try:
                for event in client.events(name):
                    events.append(event)
                    if seed in called_off and event.kind == "progress":
                        client.cancel(name)
                        called_off.discard(seed)
                if not events or not events[-1].ends:
                    heard.broken.append(name)
            except Exception as error:
                heard.broken.append(f"{name}: {error}")

    begun = time.monotonic()
    threads = [threading.Thread(target=send, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    if kills:
        while sum(bool(one) and one[-1].ends for one in list(heard.events.values())) < jobs // 3:
            time.sleep(0.05)
        os.kill(server.replicas()[0], signal.SIGKILL)
    for thread in threads:
        thread.join()
    return heard, time.monotonic() - begun


def waited(server: Server, jobs: int, rate: float) -> tuple[list[float], list[float]]:
    """Jobs that come at random, so many a second: for how long each waited, and was drawn, in seconds."""
    chance, access = random.Random(2), threading.Lock()
    waits, drawn = list[float](), list[float]()

    def send(seed: int) -> None:
        client, asked_at = Client(server.url, name=f"client-{seed}", seconds=600), time.monotonic()
        name = client.submit("generate", asked(seed), subject=SUBJECT)["id"]
        begun = asked_at
        for event in client.events(name):
            if event.kind == "state" and event.told.get("state") == "drawing":
                begun = time.monotonic()
        with access:
            waits.append(begun - asked_at)
            drawn.append(time.monotonic() - begun)

    threads = []
    for seed in range(jobs):
        time.sleep(chance.expovariate(rate))
        threads.append(threading.Thread(target=send, args=(seed,)))
        threads[-1].start()
    for thread in threads:
        thread.join()
    return waits, drawn


def foretold(waits: list[float], drawn: list[float], rate: float, replicas: int) -> str:
    """Those waits beside simulated ones of as many jobs, whose drawing takes as long."""
    machines = Machines(replicas, lambda chance: chance.choice(drawn))
    demand, jobs = Demand(rate * 3600), max(100, len(waits))
    runs = [simulated(demand, machines, jobs=jobs, seed=seed) for seed in range(40)]
    means, longest = sorted(one.mean_wait for one in runs), sorted(one.waits[95] for one in runs)
    cut = statistics.quantiles(waits, n=100, method="inclusive")[94]
    return (
        f"{len(waits)} jobs at random, {rate:.2f} a second, {statistics.fmean(drawn):.2f} s each, {replicas} replicas: "
        f"they waited {statistics.fmean(waits):.2f} s (simulated: {means[1]:.2f} to {means[-2]:.2f}), 95 of 100 for "
        f"{cut:.2f} s at most ({longest[1]:.2f} to {longest[-2]:.2f})"
    )


def compared(server: Server, heard: Heard) -> tuple[int, int, int]:
    """Of the jobs that are done: pictures missing or doubled, of another job, and files that one process draws
    otherwise; the server has ended.
    """
    from app.jobs.history import History, Search
    from pipelines.job import run
    from pipelines.pictures import save_picture
    from pipelines.studio import Studio
    from pipelines.task import Result

    studio, queue, history = Studio.open("mini", device="cpu", engine="torch"), *_opened(server, History)
    lost = mixed = other = 0
    with tempfile.TemporaryDirectory() as place:
        for name, seed in heard.seeds.items():
            found = history.search(Search(job=name))
            state = queue.ticket(name).state
            told = [one.told["id"] for one in heard.events[name] if one.kind == "result"]
            lost += state not in ("done", "cancelled") or (state == "done" and (len(found), len(told)) != (1, 1))
            mixed += any(one.seed != seed for one in found)
            for entry in found:
                drawn = next(one for one in run(studio, queue.job(name)) if isinstance(one, Result))
                alone = save_picture(drawn.picture, Path(place) / "alone.png").read_bytes()
                other += history.file(entry).read_bytes() != alone
    history.close()
    queue.close()
    return lost, mixed, other


def _opened(server: Server, history: Any) -> tuple[Queue, Any]:
    return Queue(server.folder / QUEUE), history(server.folder)


def main() -> None:
    """Runs it."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("jobs", 200), ("clients", 20), ("cancels", 20), ("speed-jobs", 60), ("random-jobs", 300)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory(prefix="bd", dir="/tmp") as place:
        for replicas in (2, 1, 0):
            server = Server(Path(place) / f"{replicas}", replicas)
            try:
                warmed(server, replicas)
                _, seconds = load(server, given.speed_jobs, given.clients, 0, kills=False)
                what = f"{replicas} replicas" if replicas else "without a cluster"
                print(f"{what}: {given.speed_jobs / seconds:.2f} pictures a second, load {os.getloadavg()[0]:.1f}")
                heard = Heard()
                if replicas and given.random_jobs:
                    rate = 0.7 * given.speed_jobs / seconds
                    print(foretold(*waited(server, given.random_jobs, rate), rate, replicas), flush=True)
                if replicas == 2:
                    heard, seconds = load(server, given.jobs, given.clients, given.cancels, kills=True)
            finally:
                server.close()
            if heard.seeds:
                lost, mixed, other = compared(server, heard)
                again = sum(
                    any(AGAIN in str(event.told) for event in events if event.kind == "notice")
                    for events in heard.events.values()
                )
                print(f"{len(heard.seeds)} jobs of {given.clients} clients in {seconds:.0f} s, one replica killed")
                print(f"streams: {dict(heard.ended())}, broken {len(heard.broken)}; begun again elsewhere: {again}")
                print(f"lost: {lost}; mixed up: {mixed}; files that one process draws otherwise: {other}", flush=True)


if __name__ == "__main__":
    main()
