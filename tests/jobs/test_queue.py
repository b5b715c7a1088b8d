"""The queue: turns, places, priorities, cancelling, trying again, and what a killed process leaves."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.jobs.line import in_line, standings
from app.jobs.queue import MOST_ATTEMPTS, SUSPECT, Queue
from app.jobs.tickets import Asked, KeyTaken, Sender
from blipdiff.errors import ConfigError
from pipelines.inputs import Input
from pipelines.job import Job
from tests.support.studios import asked, job
from tests.support.tiny_models import photo


@pytest.fixture
def place(tmp_path: Path, database: str | None) -> Path | str:
    return database or tmp_path / "queue.sqlite"


@pytest.fixture
def queue(place: Path | str) -> Iterator[Queue]:
    made = Queue(place, server="here")
    yield made
    made.close()


def add(queue: Queue, client: str = "one", seed: int = 0, **more: object) -> str:
    return queue.add(job(seed=seed), Sender(client=client), Asked("tiny", **more)).id  # type: ignore[arg-type]


def recovered(queue: Queue) -> list[str]:
    """As a program does that starts after this one has ended."""
    if queue.servers is not None:
        queue.servers.leave()
    return queue.recover()


def taken(queue: Queue) -> list[str]:
    """The clients in the order in which their jobs are drawn, one after the other."""
    found = []
    while (one := queue.take()) is not None:
        found.append(one[0].client)
        queue.end(one[0].id, "done")
    return found


def test_clients_take_turns_however_many_jobs_one_sends(queue: Queue) -> None:
    for client, count in (("many", 5), ("two", 2), ("one", 1)):
        for _ in range(count):
            add(queue, client)
    expected = [one.client for one in in_line(queue)]
    assert expected == ["many", "two", "one", "many", "two", "many", "many", "many"]
    assert taken(queue) == expected


def test_a_client_who_comes_late_does_not_wait_for_all_of_anothers_jobs(queue: Queue) -> None:
    for _ in range(3):
        add(queue, "early")
    first = queue.take()
    assert first is not None
    add(queue, "late")
    queue.end(first[0].id, "done")
    assert taken(queue) == ["late", "early", "early"]


def test_two_workers_draw_for_two_clients(queue: Queue) -> None:
    for client in ("one", "one", "two"):
        add(queue, client)
    both = [queue.take(), queue.take()]
    assert [one[0].client for one in both if one] == ["one", "two"]


def test_a_higher_priority_goes_first_whoever_has_it(queue: Queue) -> None:
    add(queue, "one")
    urgent = add(queue, "two", priority=5)
    assert in_line(queue)[0].id == urgent
    queue.set_priority(urgent, -1)
    assert in_line(queue)[-1].id == urgent


def test_the_job_that_is_taken_is_the_one_that_was_added(queue: Queue) -> None:
    given = job(seed=11, count=2)
    queue.add(given, Sender(), Asked("tiny"))
    one = queue.take()
    assert one is not None
    assert one[1].as_mapping() == given.as_mapping()
    assert one[0].state == "drawing"
    assert one[0].count == 2


def test_places_and_times_follow_the_line(place: Path | str) -> None:
    now = [100.0]
    queue = Queue(place, clock=lambda: now[0])
    names = [add(queue, seed=seed) for seed in range(3)]
    assert [standings(queue)[name].place for name in names] == [1, 2, 3]
    assert standings(queue)[names[0]].seconds is None  # nothing like it was drawn yet
    assert queue.take() is not None
    queue.end(names[0], "done", seconds=12.0)
    assert queue.take() is not None
    now[0] += 4
    found = standings(queue, clock=lambda: now[0])
    assert (found[names[1]].place, found[names[2]].place) == (0, 1)
    assert found[names[1]].seconds == pytest.approx(8)
    assert found[names[2]].seconds == pytest.approx(20)
    queue.close()


def test_jobs_move_among_those_of_their_client_alone(queue: Queue) -> None:
    first, second, third = (add(queue, seed=seed) for seed in range(3))
    other = add(queue, "other")
    queue.move(third, before=first)
    assert [one.id for one in in_line(queue) if one.client == "one"] == [third, first, second]
    queue.move(third, before=None)
    assert [one.id for one in in_line(queue) if one.client == "one"] == [first, second, third]
    with pytest.raises(ConfigError, match="own client"):
        queue.move(first, before=other)
    queue.cancel(second)
    with pytest.raises(ConfigError, match="wait"):
        queue.move(first, before=second)


def test_cancelling_ends_what_waits_and_asks_what_is_drawn_to_stop(queue: Queue) -> None:
    drawn, waiting = add(queue), add(queue)
    assert queue.take() is not None
    assert queue.cancel(waiting).state == "cancelled"
    assert queue.cancel(drawn).is_stopping
    queue.end(drawn, "cancelled")
    assert queue.cancel(drawn).state == "cancelled"
    assert taken(queue) == []


def test_what_failed_can_be_tried_again_and_what_is_done_cannot(queue: Queue) -> None:
    name = add(queue)
    assert queue.take() is not None
    queue.end(name, "failed", "no luck")
    assert queue.ticket(name).error == "no luck"
    assert queue.retry(name).state == "waiting"
    assert queue.ticket(name).error is None
    assert taken(queue) == ["one"]
    with pytest.raises(ConfigError, match="tried again"):
        queue.retry(name)


def test_the_same_key_is_the_same_job_and_no_other(queue: Queue) -> None:
    name = add(queue, key="k", digest="a")
    assert add(queue, key="k", digest="a") == name
    with pytest.raises(KeyTaken):
        add(queue, key="k", digest="b")
    other = queue.add(job(), Sender("somebody"), Asked("tiny", key="k", digest="b"))
    assert other.id != name
    assert queue.count(("waiting",)) == 2


def test_what_a_killed_process_was_drawing_is_drawn_first(place: Path | str) -> None:
    queue = Queue(place, server="here")
    first, stopped, later = add(queue), add(queue), add(queue)
    assert queue.take() is not None
    assert queue.take() is not None
    queue.cancel(stopped)
    queue.close()
    again = Queue(place, server="here")
    assert again.recover() == []
    assert again.ticket(stopped).state == "cancelled"
    assert [one.id for one in in_line(again)] == [first, later]
    assert again.ticket(first).attempts == 1
    again.close()


def test_a_job_that_ends_the_program_again_and_again_is_given_up(queue: Queue) -> None:
    name = add(queue)
    for _ in range(MOST_ATTEMPTS):
        assert queue.take() is not None
        given_up = recovered(queue)
    assert given_up == [name]
    assert queue.ticket(name).state == "failed"
    assert queue.take() is None


def test_a_job_that_ended_the_program_some_times_lets_others_go_first(queue: Queue) -> None:
    bad, fine = add(queue), add(queue, seed=1)
    for _ in range(SUSPECT):
        assert queue.take() is not None
        recovered(queue)
    assert [one.id for one in in_line(queue)] == [fine, bad]


def test_a_photo_is_kept_once_for_all_jobs_that_share_it(queue: Queue, tmp_path: Path) -> None:
    photo(size=(400, 320)).save(tmp_path / "dog.png")
    content = (tmp_path / "dog.png").read_bytes()
    for seed in range(20):
        queue.add(Job.of(asked(seed=seed), subject=Input(content)), Sender(), Asked("tiny"))
    kept = queue._data.rows("SELECT length(text) AS size FROM contents")
    assert len(kept) == 1
    one = queue.take()
    assert one is not None
    assert one[1].given("subject")[0].content == content


def test_a_job_cannot_name_files_of_the_machine(queue: Queue, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="places"):
        queue.add(Job.of(asked(), subject=tmp_path / "dog.png"), Sender(), Asked("tiny"))


def test_a_job_that_cannot_be_read_fails_and_the_next_is_drawn(queue: Queue) -> None:
    broken, fine = add(queue), add(queue)
    queue._data.change("UPDATE jobs SET job = '{' WHERE id = ?", (broken,))
    one = queue.take()
    assert one is not None
    assert one[0].id == fine
    assert queue.ticket(broken).state == "failed"
