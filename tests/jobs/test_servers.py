"""Several servers on one PostgreSQL database: nothing is drawn twice or lost, and everybody hears of everything."""

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest

from app.jobs import servers, stores
from app.jobs.database import DatabaseAway
from app.jobs.history import Search
from app.jobs.postgres import SCHEMA, SharedDatabase
from app.jobs.queue import Queue
from app.jobs.tickets import Asked, Sender
from app.jobs.workshop import Workshop
from blipdiff.errors import ConfigError, MissingDependencyError
from tests.jobs.test_workshop import until
from tests.support.postgres import Postgres
from tests.support.studios import drawn, job
from tests.support.workshops import machine, pixels, tiny_studio, workshop

_PATIENCE = 120.0
_ROOT = Path(__file__).parents[2]


@pytest.fixture
def url(database_server: Postgres) -> str:
    return database_server.database()


@contextmanager
def two(folder: Path, url: str, *, draws: str = "ab") -> Iterator[list[Workshop]]:
    """Two servers in this process, of which some draw; the others only take jobs in and listen."""
    with ExitStack() as stack:
        made = []
        for name in "ab":
            more = {"database": url, "results": str(folder / "results")}
            one = stack.enter_context(workshop(folder / name, starts=name in draws, **more))
            if name not in draws:
                assert one._watch is not None
                one._watch.start()
            made.append(one)
        yield made


def test_two_servers_never_draw_one_job(url: str) -> None:
    both = [Queue(url, server=name) for name in "ab"]
    names = [both[0].add(job(seed=seed), Sender(client=f"{seed % 3}"), Asked("tiny")).id for seed in range(24)]
    taken: list[str] = []

    def take(queue: Queue) -> None:
        while (one := queue.take()) is not None:
            taken.append(one[0].id)

    threads = [threading.Thread(target=take, args=(queue,)) for queue in both * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(taken) == Counter(names)
    for queue in both:
        queue.close()


def test_a_job_drawn_elsewhere_is_heard_here_to_its_end_with_its_pictures(tmp_path: Path, url: str) -> None:
    with two(tmp_path, url, draws="b") as (here, there):
        everything = here.broadcast.listen(None)
        name = here.submit(job(count=2, batch=1, steps=6), Sender()).id
        heard = list(here.follow(name))
        assert [one.name for one in heard if one.kind == "result"] == [f"{name}-000", f"{name}-001"]
        assert (heard[-1].kind, heard[-1].text) == ("state", "done")
        until(lambda: (event := everything.next(1)) is not None and event.ends, _PATIENCE)
        for one, other in zip(pixels(here, name), drawn(tiny_studio(), count=2, batch=1, steps=6), strict=True):
            assert np.array_equal(one, other)
        assert here.history.search(Search()) == there.history.search(Search())
        assert [one.kind for one in here.follow(name)] == ["result", "result", "state"]  # who comes later


def test_cancelling_reaches_the_server_that_draws(tmp_path: Path, url: str) -> None:
    with two(tmp_path, url, draws="b") as (here, there):
        name = here.submit(job(count=20, batch=1, steps=900), Sender()).id
        until(lambda: there.broadcast.running(name), _PATIENCE)
        assert here.cancel(name).is_stopping
        assert here.wait(name, _PATIENCE).state == "cancelled"
        after = there.submit(job(), Sender()).id
        assert here.wait(after, _PATIENCE).state == "done"


def test_the_job_of_a_killed_server_is_drawn_by_another_one(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with two(tmp_path, url, draws="") as (here, other):
        name = here.submit(job(count=3, batch=1, steps=80, seed=5), Sender()).id
        program = [sys.executable, str(Path(__file__).with_name("drawing_program.py")), str(tmp_path / "c"), url,
                   str(tmp_path / "results")]  # fmt: skip
        environment = os.environ | {"PYTHONPATH": str(_ROOT), "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(
            program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=_ROOT, env=environment
        )
        assert process.stdout is not None and process.stdin is not None
        assert process.stdout.readline().strip() == "ready"
        process.stdin.write("draw\n")
        process.stdin.flush()
        child = int(process.stdout.readline())
        until(lambda: here.queue.ticket(name).state == "drawing", _PATIENCE)
        other.queue.recover()
        assert here.queue.ticket(name).state == "drawing", "its server lives"
        os.kill(child, signal.SIGKILL)
        process.communicate(timeout=_PATIENCE)
        monkeypatch.setattr(servers, "LEASE_SECONDS", 0.5)
        until(lambda: here.queue.ticket(name).state == "waiting", _PATIENCE)
        monkeypatch.undo()
        for worker in other.workers:
            worker.start()
        heard = list(here.follow(name))
        assert (heard[-1].text, other.queue.ticket(name).attempts) == ("done", 2)
        expected = drawn(tiny_studio(), count=3, batch=1, steps=80, seed=5)
        assert all(np.array_equal(one, two) for one, two in zip(pixels(here, name), expected, strict=True))


def test_a_server_that_lost_a_job_says_nothing_of_it(url: str) -> None:
    slow, other = Queue(url, server="slow"), Queue(url, server="other")
    name = slow.add(job(), Sender(), Asked("tiny")).id
    assert slow.take() is not None
    assert slow.servers is not None
    slow.servers.leave()  # as if it had said nothing for a lease's time
    assert other.recover() == []
    assert other.take() is not None
    assert slow.end(name, "failed", "too late").state == "drawing"
    slow.put_back(name)
    assert other.end(name, "done").state == "done"
    for queue in (slow, other):
        queue.close()


def test_a_server_that_starts_again_goes_on_with_its_own_job_at_once(tmp_path: Path, url: str) -> None:
    first = Queue(url, server="one")
    name = first.add(job(), Sender(), Asked("tiny")).id
    assert first.take() is not None
    first.data.close()  # and says nothing, as a killed process
    again = Queue(url, server="one")
    assert again.recover() == []
    assert again.ticket(name).state == "waiting"
    again.close()


def test_jobs_wait_for_a_database_that_goes_away_and_go_on_when_it_is_back(
    tmp_path: Path, url: str, database_server: Postgres
) -> None:
    with workshop(tmp_path, database=url, results=str(tmp_path / "results")) as made:
        name = made.submit(job(count=6, batch=1, steps=60), Sender()).id
        until(lambda: len(made.results(made.queue.ticket(name))) > 0, _PATIENCE)
        database_server.stop()
        try:
            until(lambda: made.queue.data.is_away, _PATIENCE)
            with pytest.raises(DatabaseAway, match="does not answer") as told:
                made.queue.ticket(name)
            assert "\n" not in str(told.value)
            assert all(worker.is_alive for worker in made.workers)
        finally:
            database_server.start()
        until(lambda: _asked(made, name) == "done", _PATIENCE)
        assert len(pixels(made, name)) == 6
        after = made.submit(job(seed=9), Sender()).id
        assert made.wait(after, _PATIENCE).state == "done"


def _asked(made: Workshop, name: str) -> str:
    try:
        return made.queue.ticket(name).state
    except DatabaseAway:
        return "away"


def test_an_end_while_the_database_is_away_does_not_hang(tmp_path: Path, url: str, database_server: Postgres) -> None:
    made = Workshop(tmp_path, machine(), library=tmp_path / "subjects", database=url, results=str(tmp_path / "r"))
    made.start()
    name = made.submit(job(count=20, batch=1, steps=300), Sender()).id
    until(lambda: made.queue.ticket(name).state == "drawing", _PATIENCE)
    database_server.stop()
    try:
        made.close()
        assert not any(worker.is_alive for worker in made.workers)
    finally:
        database_server.start()


def test_databases_that_cannot_be_used_are_told_in_a_sentence(
    tmp_path: Path, url: str, database_server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = {
        "mysql://me@there/x": "kind 'mysql'",
        "no url": "is no URL",
        "postgresql://me:secret-word@127.0.0.1:1/studio": "studio at 127.0.0.1 does not answer",
        url.replace("@/t", "@/no"): "does not exist",
    }
    for one, words in wrong.items():
        with pytest.raises(ConfigError, match=words) as told:
            Queue(one, server="a")
        assert "secret-word" not in str(told.value)
        assert "\n" not in str(told.value)
    queue = Queue(url, server="a")
    queue.data.change("UPDATE blipdiff_schema SET version = ?", (SCHEMA + 1,))
    queue.close()
    with pytest.raises(ConfigError, match="newer blipdiff"):
        SharedDatabase(url, "")
    with pytest.raises(ConfigError, match="--results FOLDER"):
        Workshop(tmp_path, machine(), library=tmp_path, database=url)
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    with pytest.raises(MissingDependencyError, match=r"blipdiff\[shared\]"):
        Queue(url, server="a")
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(MissingDependencyError, match=r"blipdiff\[shared\]"):
        stores.store_at("s3://pictures/studio")
