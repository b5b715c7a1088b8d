"""Batches over a Ray cluster: the pictures of one process, each line once, whatever is killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image

from app.cluster.batch import Batch, draw_over_ray
from app.cluster.connection import Workers, connected
from app.jobs.batch import JOURNAL
from app.jobs.batch_chunks import Drawing
from app.jobs.batch_index import CARDS
from blipdiff.errors import BlipdiffError, CheckpointError, ConfigError, MissingDependencyError
from pipelines.metadata import repeat
from tests.support.tiny_models import photo

pytest.importorskip("ray")
pytest_plugins = ["tests.support.command_fixtures", "tests.support.clusters"]

OPENING = {"model": "mini", "device": "cpu", "dtype": "auto", "engine": "torch", "download": False}
LINE = {
    "category": "dog",
    "prompt": "on a beach",
    "count": 1,
    "steps": 2,
    "width": 64,
    "height": 64,
    "subject": "a.png",
}
ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    photo().save(tmp_path / "a.png")
    photo(1).save(tmp_path / "b.png")
    (tmp_path / "out").mkdir()
    return tmp_path


def written(folder: Path, *lines: Any) -> Path:
    path = folder / "jobs.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return path


def batch(folder: Path, path: Path, **more: Any) -> Batch:
    given = {"task": "generate", "shared": {}, "together": False, "opening": OPENING} | more
    return Batch(path, folder / "out", folder / "subjects", **given)


def drawn(asked: Batch, said: Callable[[str], None] = lambda _text: None) -> list[dict[str, Any]]:
    ends = list(draw_over_ray(asked, "local", Workers(1, 1), said))
    return sorted(ends, key=lambda told: told["line"])


def told(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "out" / JOURNAL).read_text().splitlines()]


def test_pictures_and_rows_are_those_of_one_process(cluster: None, folder: Path, blipdiff: Any) -> None:
    lines = [LINE | {"seed": 1}, LINE | {"seed": 2, "subject": "b.png"}, "no json", LINE | {"steps": -1}, LINE, LINE]
    path = written(folder, *lines)
    ends = drawn(batch(folder, path))
    assert [(one["line"], one["state"]) for one in ends] == [
        (1, "done"), (2, "done"), (3, "failed"), (4, "failed"), (5, "done"), (6, "done"),
    ]  # fmt: skip
    assert "Steps is -1" in ends[3]["error"]
    cards = list((folder / "out" / CARDS).rglob("*.safetensors"))
    assert len(cards) == 2, "two photos are two subjects, and each was encoded once"
    own = folder / "alone"
    place = ("--model", "mini", "--device", "cpu", "--engine", "torch")
    assert blipdiff("batch", path, "--output", own, *place).code == 1
    names = {one.name for one in own.glob("*.png")}
    assert names == {one.name for one in (folder / "out").glob("*.png")}
    assert all((own / name).read_bytes() == (folder / "out" / name).read_bytes() for name in names)
    alone = {one["line"]: one["key"] for one in map(json.loads, (own / JOURNAL).read_text().splitlines())}
    assert {one["line"]: one["key"] for one in ends if one["state"] == "done"}.items() <= alone.items()

    said = list[str]()
    path = written(folder, *lines[:2], LINE | {"seed": 8}, LINE | {"seed": 9}, *lines[4:])
    again = drawn(batch(folder, path, together=True), said.append)
    assert [(one["line"], one["state"], one["together"]) for one in again] == [(3, "done", 2), (4, "done", 2)]
    assert repeat(folder / "out" / again[1]["files"][0]).detail == {"rows": 2, "row": 1}
    assert said == ["4 of 6 lines are done already."]
    assert not (folder / "out" / CARDS).exists(), "all is done"
    assert sorted(one["line"] for one in told(folder) if one["state"] == "done") == [1, 2, 3, 4, 5, 6]


def test_workers_have_as_much_of_a_busy_machine_as_their_command(cluster: None) -> None:
    import ray

    assert ray.get(ray.remote(lambda: os.nice(0)).remote()) == os.nice(0)


def test_lines_that_one_process_has_drawn_are_not_drawn_again(cluster: None, folder: Path, blipdiff: Any) -> None:
    path = written(folder, LINE | {"seed": 3}, LINE | {"seed": 4})
    place = ("--model", "mini", "--device", "cpu", "--engine", "torch")
    assert blipdiff("batch", path, "--output", folder / "out", *place).code == 0
    ended = blipdiff("batch", path, "--output", folder / "out", *place, "--ray", "--workers", "1")
    assert ended.code == 0, ended.err
    assert len(told(folder)) == 2


def hindered(drawing: Drawing, studio: Any, chunk: Any) -> Any:
    """Drawing that kills its process at line 2, and has no room on the disk for line 5."""
    import errno
    import os as system

    from app.jobs import batch_chunks, batch_drawing
    from blipdiff.outputs import writing
    from pipelines.pictures import save_picture

    ends = batch_drawing.drawn

    def fatal(studio: Any, group: Any, place: Any) -> Any:
        if any(line.number == 2 for line in group.lines):
            system.kill(system.getpid(), 9)
        return ends(studio, group, place)

    def save(picture: Any, path: Path) -> Path:
        with writing(path):
            if path.name.startswith("00005"):
                raise OSError(errno.ENOSPC, "No space left on device")
        return save_picture(picture, path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch_chunks, "drawn", fatal)
        patch.setattr(batch_drawing, "save_picture", save)
        return Drawing.draw(drawing, studio, chunk)


def test_what_ends_its_worker_twice_and_what_the_disk_has_no_room_for_fail_alone(cluster: None, folder: Path) -> None:
    path = written(folder, *(LINE | {"seed": seed} for seed in range(4)), LINE | {"steps": 1})
    ends = drawn(batch(folder, path, together=True, draw=hindered))
    assert [one["state"] for one in ends] == ["done", "failed", "done", "done", "failed"]
    assert ends[1]["error"] == "The process that drew it ended 2 times."
    assert ends[4]["error"].endswith("cannot be written: the disk is full.")
    assert sorted(one["line"] for one in told(folder)) == [1, 2, 3, 4, 5]


def ended_at_once(_drawing: Drawing, _studio: Any, chunk: Any) -> Any:
    """A stand-in for drawing: where long batches are cut is asked here, not what is drawn."""
    return [{"line": row.number, "state": "done", "key": "", "mark": f"{row.mark:016x}"} for row in chunk.rows]


@pytest.mark.parametrize("count", [4, 5])
def test_a_batch_of_several_streams_is_drawn_whole(cluster: None, folder: Path, count: int) -> None:
    path = written(folder, *(LINE | {"seed": seed} for seed in range(count)))
    said = list[str]()
    ends = drawn(batch(folder, path, draw=ended_at_once, most=1, at_once=3), said.append)
    assert [one["line"] for one in ends] == list(range(1, count + 1))
    assert sorted(one["line"] for one in told(folder)) == list(range(1, count + 1))
    assert said == []


def test_a_model_that_cannot_be_opened_is_told_once(cluster: None, folder: Path) -> None:
    asked = batch(folder, written(folder, LINE), opening=OPENING | {"model": str(folder / "gone")})
    with pytest.raises(CheckpointError, match="gone"):
        drawn(asked)
    (folder / "jobs.jsonl").unlink()
    with pytest.raises(ConfigError, match=r"jobs\.jsonl cannot be read"):
        drawn(asked)


def test_a_command_killed_or_stopped_goes_on_where_it_was(cluster: None, folder: Path) -> None:
    """kill -9 first, then Ctrl-C, each when pictures are there; then what is left is drawn by this process."""
    count = 16
    path = written(folder, *(LINE | {"seed": seed, "steps": 4} for seed in range(count)))
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    environment["RAY_TMPDIR"] = "/tmp"
    quick = {"RAY_gcs_rpc_server_reconnect_timeout_s": "5"}  # how long Ray's agents look for a head that is killed
    command = [sys.executable, "-m", "app", "batch", str(path), "--output", str(folder / "out"), "--model", "mini"]
    command += ["--device", "cpu", "--engine", "torch", "--ray", "--workers", "1"]
    for number, sign in enumerate((signal.SIGKILL, signal.SIGINT)):
        there = len(list((folder / "out").glob("*.png")))
        own = environment | ({} if number else quick)  # a head that lives may be slower than that
        process = subprocess.Popen(command, env=own, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        while len(list((folder / "out").glob("*.png"))) < there + 3 and process.poll() is None:
            time.sleep(0.05)
        others = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(sign)
        _, err = process.communicate(timeout=300)
        assert not psutil.wait_procs(others, timeout=300)[1], "they end with their command"
        if number:
            assert process.returncode in (0, 130), err.decode()
            assert len({one["line"] for one in told(folder) if one["state"] == "done"}) >= there + 3
    drawn(batch(folder, path))
    done = [one for one in told(folder) if one["state"] == "done"]
    assert sorted(one["line"] for one in done) == list(range(1, count + 1))
    files = {name for one in done for name in one["files"]}
    assert files == {one.name for one in (folder / "out").glob("*.png")}
    for name in files:
        Image.open(folder / "out" / name).verify()


def test_without_ray_or_without_a_cluster_one_sentence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ray, "is_initialized", lambda: False)
        for address, words in (("127.0.0.1:9", "There is no cluster at 127.0.0.1:9"), ("ray://x", "with HOST:PORT")):
            with pytest.raises(BlipdiffError, match=words), connected(address):
                pass
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'blipdiff\[ray\]'"), connected("local"):
        pass


def test_workers_are_a_number_or_two() -> None:
    assert Workers.of("4") == Workers(4, 4)
    assert Workers.of("1:4") == Workers(1, 4)
    for text in ("0", "4:1", "many", "1:2:3", ""):
        with pytest.raises(ConfigError, match="--workers"):
            Workers.of(text)
