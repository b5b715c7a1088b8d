"""What batches over a Ray cluster cost: memory on very long manifests, and what a kill costs.

    python -m benchmarks.batch_ray memory --stand-in --rows 100000 500000 1000000
    python -m benchmarks.batch_ray draw --jobs 10000 --folder /tmp/batch
    python -m benchmarks.batch_ray draw --jobs 300 --folder /tmp/batch

`memory` draws nothing: a stand-in ends each line at once, so that reading, handing out and writing down are all that
is left. `draw` draws real pictures with mini (64 px, 4 steps) by `blipdiff batch --ray --together`, ends the command
once and a worker twice by kill -9, goes on each time, and looks whether every line is there once, and whether pictures
repeat bit for bit. Given a folder that a killed benchmark left, it goes on there.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image

from app.cluster.batch import AT_ONCE, Batch, draw_over_ray
from app.cluster.connection import Workers
from app.jobs.batch_chunks import Chunk, Drawing
from app.jobs.batch_drawing import DONE
from app.jobs.batch_index import Log
from pipelines.job import run
from pipelines.metadata import repeat
from pipelines.studio import Studio
from pipelines.task import Result

SUBJECTS = Path(str(files("blipdiff"))) / "assets" / "subjects"
PLACES = ("on a beach", "in the snow", "on a table", "in a forest", "under the sea", "on the moon")
_KILLS = (("command", 0.25), ("worker", 0.5), ("worker", 0.75))
_REPEATED = 12


def stand_in(drawing: Drawing, _studio: Callable[[], Studio], chunk: Chunk) -> list[dict[str, Any]]:
    """A stand-in for drawing: each line of a chunk is done at once, without a picture, and written down as usual."""
    log = Log.opened(drawing.work / str(chunk.number))
    log.begin([row.number for row in chunk.rows])
    ends = [
        {
            "line": row.number,
            "name": "",
            "state": DONE,
            "files": [],
            "seconds": 0.0,
            "key": "",
            "mark": f"{row.mark:016x}",
        }
        for row in chunk.rows
    ]
    for told in ends:
        log.end(told)
    return ends


def manifest(folder: Path, count: int) -> Path:
    """A file of so many jobs, each with words and a seed of its own, of mini's eight subjects."""
    path = folder / "jobs.jsonl"
    subjects = sorted(SUBJECTS.glob("*.png"))
    with path.open("w") as file:
        for number in range(count):
            subject = subjects[number % len(subjects)]
            told = {
                "subject": str(subject), "category": subject.stem, "prompt": PLACES[number % len(PLACES)],
                "seed": number, "count": 1, "steps": 4, "width": 64, "height": 64, "batch": 16,
            }  # fmt: skip
            file.write(json.dumps(told) + "\n")
    return path


def memory(rows: list[int], workers: int, at_once: int) -> None:
    """Seconds and memory of a run and of a second one that finds all done, for each number of rows."""
    print("a stand-in for drawing: no picture is drawn")
    print("rows      run     seconds  command MB (start, most)  reader MB (most)  worker MB (start, most)")
    for count in rows:
        with tempfile.TemporaryDirectory() as name:
            manifest(Path(name), count)
            for which in ("first", "again"):
                begun = time.monotonic()
                command = [sys.executable, "-m", "benchmarks.batch_ray", "stand-in", "--folder", name]
                with subprocess.Popen([*command, "--workers", str(workers), "--at-once", str(at_once)]) as process:
                    seen = _watched(process)
                if process.returncode:
                    raise SystemExit(f"The run ended with {process.returncode}.")
                seconds = time.monotonic() - begun
                print(
                    f"{count:9} {which:6} {seconds:8.0f}  {seen.span('command'):24}  {seen.most('reader'):16}  "
                    f"{seen.span('worker')}",
                    flush=True,
                )


def run_stand_in(folder: Path, workers: int, at_once: int) -> None:
    """One run with the stand-in."""
    batch = Batch(
        folder / "jobs.jsonl", folder / "out", folder / "subjects", "generate", {}, False, {"device": "cpu"},
        draw=stand_in, at_once=at_once,
    )  # fmt: skip
    (folder / "out").mkdir(exist_ok=True)
    for _ in draw_over_ray(batch, "local", Workers(workers, workers), print):
        pass


class Seen:
    """Resident memory of kinds of processes, in MB: in the second in which each was first there, and at most."""

    def __init__(self) -> None:
        self.sizes: dict[str, list[float]] = {}

    def add(self, kind: str, size: int) -> None:
        """Counts one process as it is now."""
        self.sizes.setdefault(kind, []).append(size / 2**20)

    def most(self, kind: str) -> str:
        """The most."""
        return f"{max(self.sizes.get(kind, [0.0])):.0f}"

    def span(self, kind: str) -> str:
        """When a tenth of the time was over, and the most."""
        sizes = self.sizes.get(kind, [0.0])
        return f"{sizes[len(sizes) // 10]:.0f}, {max(sizes):.0f}"


def _watched(process: "subprocess.Popen[Any]") -> Seen:
    seen = Seen()
    while process.poll() is None:
        try:
            command = psutil.Process(process.pid)
            seen.add("command", command.memory_info().rss)
            for kind, one in _of_ray(command):
                seen.add(kind, one.memory_info().rss)
        except psutil.Error:
            pass
        time.sleep(0.5)
    return seen


def _of_ray(command: psutil.Process) -> Iterator[tuple[str, psutil.Process]]:
    for one in command.children(recursive=True):
        try:
            name = " ".join(one.cmdline())
        except psutil.Error:
            continue
        if name.startswith("ray::MapWorker"):
            yield "worker", one
        elif name.startswith("ray::") and "Read" in name:
            yield "reader", one


def draw(folder: Path, count: int, workers: int) -> None:
    """Draws so many jobs under kills, and tells what they cost."""
    folder.mkdir(parents=True, exist_ok=True)
    out = folder / "out"
    path, begun, process = manifest(folder, count), time.monotonic(), _started(folder, workers)
    done_before = _pictures(out)
    for what, share in _KILLS:
        if done_before >= share * count:
            continue
        while _pictures(out) < share * count:
            if process.poll() is not None:
                raise SystemExit(f"The command ended with {process.returncode}; see {folder / 'log'}.")
            time.sleep(0.2)
        killed, there = time.monotonic(), _pictures(out)
        found = [one for kind, one in _of_ray(psutil.Process(process.pid)) if kind == "worker"]
        if what == "command":
            process.send_signal(signal.SIGKILL)
            process.wait()
            psutil.wait_procs(found, timeout=60)  # which end when they miss their command, and draw until then
            there, process = _pictures(out), _started(folder, workers)
        else:
            random.choice(found).send_signal(signal.SIGKILL)
        while _pictures(out) <= there and process.poll() is None:
            time.sleep(0.1)
        print(
            f"kill -9 of a {what} at {there} pictures: the next one after {time.monotonic() - killed:.1f} s", flush=True
        )
    code = process.wait()
    seconds = time.monotonic() - begun
    print(f"{count - done_before} pictures in {seconds:.0f} s with {workers} workers; exit code {code}")
    begun = time.monotonic()
    _started(folder, workers).wait()
    print(f"a call that finds all of them done: {time.monotonic() - begun:.1f} s")
    _check(path, out, count)


def _check(path: Path, out: Path, count: int) -> None:
    told = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    lines = [one["line"] for one in told if one["state"] == DONE]
    names = {name for one in told for name in one.get("files", ())}
    print(
        f"{len(lines)} lines done, {len(set(lines))} of them different, of {count}; {len(names)} pictures; "
        f"{len(told) - len(lines)} failed rows; {sum(one.get('seconds', 0) for one in told):.0f} s of drawing"
    )
    assert sorted(lines) == list(range(1, count + 1)), "a line is missing, or twice there"
    assert {one.name for one in out.glob("*.png")} == names
    studio = Studio.open("mini", device="cpu")
    for name in random.Random(0).sample(sorted(names), min(_REPEATED, len(names))):
        again = [event for event in run(studio, repeat(out / name)) if isinstance(event, Result)]
        assert np.array_equal(np.asarray(again[0].picture.image), np.asarray(Image.open(out / name))), name
    print(f"{min(_REPEATED, len(names))} of them, drawn again by one process, are the same to the last bit")
    assert path.is_file()


def _started(folder: Path, workers: int) -> "subprocess.Popen[Any]":
    command = [sys.executable, "-m", "app", "batch", str(folder / "jobs.jsonl"), "--output", str(folder / "out")]
    log = (folder / "log").open("a")
    more = ["--ray", "--workers", f"{workers}:{workers}", "--together", "--device", "cpu", "--engine", "torch"]
    return subprocess.Popen([*command, *more], stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"})


def _pictures(out: Path) -> int:
    return sum(name.endswith(".png") for name in os.listdir(out)) if out.is_dir() else 0  # noqa: PTH208


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("memory", "stand-in", "draw"))
    parser.add_argument("--stand-in", action="store_true", help="for memory: nothing is drawn; it must be said")
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 500_000, 1_000_000])
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--at-once", type=int, default=AT_ONCE, help="chunks that are one stream to Ray Data")
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    if asked.what == "memory":
        if not asked.stand_in:
            parser.error("memory is measured with a stand-in for drawing: add --stand-in")
        memory(asked.rows, asked.workers, asked.at_once)
    elif asked.folder is None:
        parser.error("give a --folder")
    elif asked.what == "stand-in":
        run_stand_in(asked.folder, asked.workers, asked.at_once)
    else:
        draw(asked.folder, asked.jobs, asked.workers)


if __name__ == "__main__":
    main()
