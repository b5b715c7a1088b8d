"""The workshop: jobs of many clients, listeners, cancelling, crashes, too little memory, models that come and go."""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from app.jobs.events import Broadcast, JobEvent
from app.jobs.previews import PreviewBudget
from app.jobs.tickets import Sender
from app.jobs.workshop import Workshop
from blipdiff.errors import OutputError
from pipelines.inputs import Input
from pipelines.job import Job
from pipelines.job import run as run_job
from pipelines.studio import Studio
from tests.support.studios import asked, drawn, job
from tests.support.tiny_models import tiny_model
from tests.support.workshops import machine, pixels, tiny_studio, workshop


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Workshop]:
    with workshop(tmp_path) as made:
        yield made


def until(found: Callable[[], Any], seconds: float = 30.0) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := found():
            return value
        time.sleep(0.005)
    raise AssertionError("it did not come")


def test_eight_clients_get_each_their_own_pictures_bit_for_bit(running: Workshop) -> None:
    sent: dict[str, int] = {}

    def send(client: int) -> None:
        for number in range(2):
            seed = 100 * client + number
            sent[running.submit(job(seed=seed), Sender(client=f"client-{client}")).id] = seed

    threads = [threading.Thread(target=send, args=(client,)) for client in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(sent) == 16
    for name, seed in sent.items():
        assert running.wait(name, 60).state == "done"
        for one, other in zip(pixels(running, name), drawn(tiny_studio(), seed=seed), strict=True):
            assert np.array_equal(one, other)


def test_a_listener_hears_a_job_from_its_beginning_to_its_end(running: Workshop) -> None:
    name = running.submit(job(steps=6), Sender()).id
    heard = list(running.follow(name))
    kinds = [one.kind for one in heard]
    assert kinds[-1] == "state"
    assert heard[-1].text == "done"
    assert kinds.count("result") == 1
    assert [one.step for one in heard if one.kind == "progress"][-1] == 6
    again = list(running.follow(name))  # once more, when all is over
    assert [one.kind for one in again] == ["result", "state"]


def test_who_comes_back_while_a_job_is_drawn_sees_its_last_previews(tmp_path: Path) -> None:
    with workshop(tmp_path) as made:
        name = made.submit(job(steps=400), Sender()).id
        until(lambda: (made.broadcast.running(name) or JobEvent(name, "state")).previews)
        listener = made.follow(name)
        first = [listener.next(5), listener.next(5)]
        assert [one.kind for one in first if one] == ["state", "progress"]
        progress = first[1]
        assert progress is not None
        assert progress.previews[0].startswith(b"\xff\xd8")
        listener.close()
        made.cancel(name)


def test_a_job_that_is_drawn_stops_within_its_step_and_others_go_on(running: Workshop) -> None:
    long = running.submit(job(steps=900), Sender()).id
    after = running.submit(job(seed=3), Sender()).id
    until(lambda: running.broadcast.running(long))
    running.cancel(long)
    assert running.wait(long, 30).state == "cancelled"
    assert running.wait(after, 30).state == "done"
    assert pixels(running, long) == []


def test_a_job_that_waits_is_cancelled_and_never_drawn(running: Workshop) -> None:
    long, waiting = running.submit(job(steps=900), Sender()).id, running.submit(job(), Sender()).id
    heard = running.follow(waiting)
    assert running.cancel(waiting).state == "cancelled"
    assert [one.text for one in heard if one.kind == "state"][-1] == "cancelled"
    running.cancel(long)
    running.wait(long, 30)
    assert running.queue.ticket(waiting).attempts == 0


def test_what_was_finished_before_a_cancel_stays_and_the_job_can_be_tried_again(running: Workshop) -> None:
    name = running.submit(job(count=20, batch=1, steps=4), Sender()).id
    listener = running.follow(name)
    for event in listener:
        if event.kind == "result":
            running.cancel(name)
    first = pixels(running, name)
    assert 0 < len(first) < 20
    running.retry(name)
    assert running.wait(name, 60).state == "done"
    assert len(pixels(running, name)) == 20
    assert np.array_equal(pixels(running, name)[0], first[0])


class _Fault(Exception):
    pass


def broken_at(seed: int, error: Callable[[], Exception]) -> Callable[[str, str], Studio]:
    """Opens a studio that cannot plan the pictures of one seed."""

    def opened(_name: str, _device: str) -> Studio:
        studio = Studio(tiny_model())
        real = studio.size_notices

        def notices(*given: Any, **more: Any) -> Any:
            raise error()

        def resolved(request: Any) -> Any:
            studio.size_notices = notices if request.seed == seed else real  # type: ignore[method-assign]
            return request

        studio.resolved = resolved  # type: ignore[method-assign, assignment]
        return studio

    return opened


def test_a_fault_in_one_job_takes_no_other(tmp_path: Path) -> None:
    with workshop(tmp_path, opened=broken_at(7, lambda: _Fault("oh"))) as made:
        names = [made.submit(job(seed=seed, guidance=7.5), Sender(client=str(seed))).id for seed in (6, 7, 8)]
        assert [made.wait(name, 30).state for name in names] == ["done", "failed", "done"]
        assert made.queue.ticket(names[1]).error == "The program has a fault here: _Fault."


def test_what_the_disk_refuses_is_not_the_senders_fault(running: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any) -> None:
        raise OutputError("/there cannot be written: the disk is full.")

    monkeypatch.setattr("app.jobs.history.History.add", refused)
    ticket = running.wait(running.submit(job(), Sender()).id, 30)
    assert ticket.error == "The program cannot keep what it drew: /there cannot be written: the disk is full."
    assert ticket.is_fault


def memory_for(most: int) -> Callable[[str, str], Studio]:
    """Opens a studio whose device has memory for so many rows of pictures."""

    def opened(_name: str, _device: str) -> Studio:
        studio = Studio(tiny_model())

        def look(_net: Any, given: Any) -> None:
            if len(given[0]) > most:
                raise torch.OutOfMemoryError("CUDA out of memory.")

        studio.model.unet.register_forward_pre_hook(look)
        return studio

    return opened


def test_too_little_memory_halves_the_batch_and_says_so(tmp_path: Path) -> None:
    with workshop(tmp_path, opened=memory_for(4)) as made:  # two rows a picture
        name = made.submit(job(count=8, batch=8), Sender()).id
        assert made.wait(name, 30).state == "done"
        assert len(pixels(made, name)) == 8
        notices = made.queue.ticket(name).notices
        assert [text.partition("; ")[2] for text in notices] == ["4 at a time are tried.", "2 at a time are tried."]


def test_too_little_memory_for_one_picture_is_a_sentence(tmp_path: Path) -> None:
    with workshop(tmp_path, opened=memory_for(1)) as made:
        name = made.submit(job(), Sender()).id
        ticket = made.wait(name, 30)
        assert ticket.state == "failed"
        assert "too little memory" in str(ticket.error)


def test_what_waits_and_what_is_drawn_goes_on_after_a_restart(tmp_path: Path) -> None:
    with workshop(tmp_path) as made:
        long = made.submit(job(steps=60), Sender()).id
        later = made.submit(job(seed=2), Sender()).id
        until(lambda: made.broadcast.running(long))
    with workshop(tmp_path) as again:
        assert again.queue.ticket(long).attempts <= 1  # ended in good order, which counts for nothing
        assert again.wait(long, 60).state == "done"
        assert again.wait(later, 30).state == "done"
        assert np.array_equal(pixels(again, long)[0], drawn(tiny_studio(), steps=60)[0])


def test_a_job_that_can_be_seen_to_fail_is_not_put_into_the_line(running: Workshop) -> None:
    with pytest.raises(Exception, match="No subject was given"):
        running.submit(Job.of(asked()), Sender())
    with pytest.raises(Exception, match="photo"):
        running.submit(Job.of(asked(), subject=Input(b"not a picture", "dog")), Sender())
    assert running.queue.count(("waiting", "drawing", "done", "failed")) == 0


def test_two_programs_do_not_draw_in_one_folder(tmp_path: Path) -> None:
    with workshop(tmp_path, starts=False), pytest.raises(OutputError, match="Another blipdiff draws"):
        Workshop(tmp_path, machine(), library=tmp_path / "subjects")


def test_previews_take_a_small_share_of_a_run() -> None:
    budget = PreviewBudget()
    assert budget.every("mini", 4, 20) == 2  # nothing was seen yet: ten
    for _ in range(20):
        budget.saw("mini", 4, 0.1, shown=False)
        budget.saw("mini", 4, 0.125, shown=True)
    assert budget.every("mini", 4, 20) == 7  # two previews: 0.05 s of 2 s
    assert budget.every("mini", 4, 20, least=4) == 5
    assert budget.every("mini", 1, 20) == 2
    assert budget.every("mini", 4, 1) == budget.every("mini", 4, 2, least=3) == 1


def test_a_listener_who_hears_nothing_holds_no_memory() -> None:
    broadcast = Broadcast()
    listener = broadcast.listen("job")
    for step in range(5000):
        broadcast.tell(JobEvent("job", "progress", step=step, previews={0: b"x"}))
    assert len(listener._unheard) < 20
    assert list(listener._unheard)[-1].step == 4999
    listener.close()
    assert broadcast._listeners == {}


def test_the_jobs_of_pictures_draw_them_again(running: Workshop) -> None:
    name = running.submit(job(seed=4), Sender()).id
    running.wait(name, 30)
    entry = running.history.entry(running.results(running.queue.ticket(name))[0])
    again = [event.picture for event in run_job(tiny_studio(), running.history.job(entry)) if hasattr(event, "picture")]
    assert (
        hashlib.sha256(again[0].image.tobytes()).digest()
        == hashlib.sha256(Image.open(running.history.file(entry)).tobytes()).digest()
    )
