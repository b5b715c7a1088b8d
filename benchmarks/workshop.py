"""How the workshop holds under load: jobs of many clients with cancels and kills, the time to the first event, and
what previews cost.

    python -m benchmarks.workshop load --jobs 200 --clients 8 --cancels 20 --kills 3
    python -m benchmarks.workshop siege --clients 20 --seconds 300
    python -m benchmarks.workshop first-event --times 20
    python -m benchmarks.workshop previews --times 5

A server of its own (`blipdiff serve`) draws with mini in a temporary folder; kill -9 ends it, and it is started again.
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
from collections import Counter
from importlib.resources import files
from pathlib import Path
from typing import Any

from app.api.client import Client, ServerError
from app.jobs.history import INDEX, History, Search

SUBJECT = Path(str(files("blipdiff"))) / "assets" / "subjects" / "padlock.png"


class Server:
    """`blipdiff serve` in a process of its own, at a port that stays when it is started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port = found.getsockname()[1]
        self.process = self._started()
        self.client = Client(f"http://127.0.0.1:{self.port}")

    def kill(self) -> None:
        """kill -9, and a new start."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process = self._started()

    def close(self) -> None:
        """Ends it in good order."""
        self.process.terminate()
        self.process.wait(60)

    def _started(self) -> "subprocess.Popen[str]":
        log = (self.folder.parent / "server.log").open("a")
        command = [sys.executable, "-m", "app", "serve", "--port", str(self.port), "--folder", str(self.folder)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=os.environ)
        assert process.stdout is not None
        assert process.stdout.readline().startswith("http"), (self.folder.parent / "server.log").read_text()
        return process


def asked(seed: int, **changes: Any) -> dict[str, Any]:
    """A request that is drawn in a second or so."""
    return {"category": "padlock", "prompt": "on a grass field", "count": 1, "steps": 4, "seed": seed} | changes


def load(server: Server, jobs: int, clients: int, cancels: int, kills: int) -> None:
    """Jobs of many clients, some cancelled, the server killed in between; what was lost, mixed, or listed by half."""
    chance, sent, lost = random.Random(1), dict[str, int](), list[str]()
    begun, wanted = time.monotonic(), set(chance.sample(range(jobs), min(cancels, jobs)))

    def send(number: int) -> None:
        client = Client(f"http://127.0.0.1:{server.port}", name=f"client-{number}")
        for seed in range(number, jobs, clients):
            while True:  # a server that was just killed is asked again, under the same key
                try:
                    name = client.submit("generate", asked(seed), subject=SUBJECT, key=f"job-{seed}")["id"]
                    sent[name] = seed
                    if seed in wanted:
                        client.cancel(name)
                    break
                except (ServerError, OSError) as error:
                    if isinstance(error, ServerError) and error.status:
                        lost.append(str(error))
                        break
                    time.sleep(0.2)

    threads = [threading.Thread(target=send, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    killed_at = sorted(chance.uniform(2, 20) for _ in range(kills))
    for moment in killed_at:
        time.sleep(max(0.0, moment - (time.monotonic() - begun)))
        server.kill()
    for thread in threads:
        thread.join()
    while server.client.jobs("waiting") or server.client.jobs("drawing"):
        time.sleep(0.5)
    seconds = time.monotonic() - begun
    states = {name: server.client.job(name)["state"] for name in sent}
    server.close()
    history = History(server.folder)
    found = history.search(Search(), most=10**6)
    mixed = [one.id for one in found if one.seed != sent[one.job]]
    missing = [name for name, state in states.items() if state == "done" and not history.search(Search(job=name))]
    history.close()
    for path in server.folder.glob(f"{INDEX}*"):
        path.unlink()
    again = History(server.folder)
    rebuilt = again.search(Search(), most=10**6) == found
    again.close()
    counted = {state: list(states.values()).count(state) for state in sorted(set(states.values()))}
    print(f"{len(sent)} jobs of {clients} clients in {seconds:.0f} s, {kills} kills, {len(wanted)} cancels asked")
    print(f"states: {counted}; refused: {len(lost)}; pictures: {len(found)}; mixed: {len(mixed)}; lost: {len(missing)}")
    print(f"the history made again from the pictures equals the index: {rebuilt}")


def siege(server: Server, clients: int, seconds: float) -> None:
    """Clients who draw, cancel, hang up and send what is broken, all at once; answers by status, and memory."""
    statuses: Counter[int] = Counter()
    sent, end, begun = dict[str, int](), time.monotonic() + seconds, list[int]()

    def one(number: int) -> None:
        chance, client = random.Random(number), Client(server.client.address, name=f"client-{number}", seconds=20)
        while time.monotonic() < end:
            seed = chance.randrange(10**6)
            try:
                _act(chance.random(), client, seed, sent)
                statuses[200] += 1
            except ServerError as error:
                statuses[error.status] += 1
            time.sleep(chance.uniform(0, 1))

    threads = [threading.Thread(target=one, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    while time.monotonic() < end:
        begun.append(_resident(server.process.pid))
        time.sleep(seconds / 10)
    for thread in threads:
        thread.join()
    while waiting := server.client.jobs("waiting"):
        for one_job in waiting:
            server.client.cancel(one_job["id"])
    while server.client.jobs("drawing"):
        time.sleep(0.5)
    found = {name: server.client.job(name) for name in sent}
    mixed = [
        name for name, job in found.items()
        for result in job["results"] if server.client.about(result["id"])["seed"] != sent[name]
    ]  # fmt: skip
    lost = [name for name, job in found.items() if job["state"] == "done" and not job["results"]]
    states = Counter(job["state"] for job in found.values())
    print(f"{clients} clients, {seconds:.0f} s: answers {dict(sorted(statuses.items()))}; jobs {dict(states)}")
    print(f"mixed: {len(mixed)}; lost: {len(lost)}; memory of the server in MB: {', '.join(str(one) for one in begun)}")
    server.close()


def _act(what: float, client: Client, seed: int, sent: dict[str, int]) -> None:
    """One thing that a client may do: draw, cancel, hang up, or send something broken."""
    if what < 0.15:
        client.submit("generate", asked(seed), subject=b"no picture at all")
    elif what < 0.25:
        client.submit("generate", asked(seed, steps=-1), subject=SUBJECT)
    elif what < 0.35:  # the answer is not waited for
        with socket.create_connection(client.address.removeprefix("http://").split(":"), 5) as line:  # type: ignore[arg-type]
            line.sendall(b"POST /v1/images/edits HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\nx")
    else:
        name = client.submit("generate", asked(seed), subject=SUBJECT)["id"]
        sent[name] = seed
        if what < 0.6:
            client.cancel(name)
        elif what < 0.8:  # hears the beginning, and goes
            next(client.events(name))
        else:
            client.history(words="grass", most=20)


def _resident(process: int) -> int:
    """Megabytes that a process holds."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) // 1000


def first_event(server: Server, times: int) -> None:
    """Milliseconds from the POST to the first event, and to the first progress, of a server that does nothing else."""
    heard, progressed = list[float](), list[float]()
    for seed in range(times + 1):
        begun = time.perf_counter()
        name = server.client.submit("generate", asked(seed), subject=SUBJECT)["id"]
        events = server.client.events(name)
        next(events)
        heard.append(1000 * (time.perf_counter() - begun))
        progressed.append(next(1000 * (time.perf_counter() - begun) for event in events if event.kind == "progress"))
        for _ in events:
            pass
    for what, found in (("event", heard[1:]), ("progress", progressed[1:])):
        print(f"POST to the first {what}: median {statistics.median(found):.0f} ms, most {max(found):.0f} ms")
    server.close()


def previews(times: int) -> None:
    """Seconds of a run without previews, with ten, and with as many as a worker shows, in turns."""
    from app.jobs.previews import PreviewBudget, shown
    from pipelines.generate.request import GenerateRequest
    from pipelines.job import Job, run
    from pipelines.studio import Studio
    from pipelines.task import Progress

    studio, budget = Studio.open("mini"), PreviewBudget()
    found: dict[str, list[float]] = {"without": [], "with ten": [], "as shown": []}
    for number in range(3 * (times + 1)):
        how = tuple(found)[number % 3]
        every = {"without": 0, "with ten": 2, "as shown": budget.every("mini", 1, 20)}[how]
        job = Job.of(GenerateRequest(**asked(number // 3, steps=20)), subject=SUBJECT)
        begun = last = time.perf_counter()
        for event in run(studio, job, preview_every=every):
            if isinstance(event, Progress):
                for picture in event.previews:
                    shown(picture)
                now = time.perf_counter()
                if event.step > 1:
                    budget.saw("mini", 1, now - last, shown=bool(event.previews))
                last = now
        if number > 2:
            found[how].append(time.perf_counter() - begun)
    usual = statistics.median(found["without"])
    for how, seconds in found.items():
        middle = statistics.median(seconds)
        print(f"20 steps, previews {how}: {middle:.2f} s ({100 * (middle / usual - 1):+.1f} %)")
    print(f"a preview every {budget.every('mini', 1, 20)} steps is what is shown")


def main() -> None:
    """Runs one of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("load", "siege", "first-event", "previews"))
    for name, default in (
        ("jobs", 200),
        ("clients", 8),
        ("cancels", 20),
        ("kills", 3),
        ("times", 20),
        ("seconds", 300),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="blipdiff-workshop-") as place:
        if given.what == "load":
            load(Server(Path(place) / "history"), given.jobs, given.clients, given.cancels, given.kills)
        elif given.what == "siege":
            siege(Server(Path(place) / "history"), given.clients, given.seconds)
        elif given.what == "first-event":
            first_event(Server(Path(place) / "history"), given.times)
        else:
            previews(given.times)


if __name__ == "__main__":
    main()
