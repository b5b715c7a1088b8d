"""A batch that memory does not suffice for: halved, with a word, and each picture repeats as it was really drawn."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch

from blipdiff.errors import OutOfMemoryError, is_out_of_memory
from pipelines.metadata import job_of
from pipelines.pictures import Picture
from pipelines.studio import Studio
from pipelines.task import Notice, Progress, Result
from tests.support.studios import counted, events_of_job, pictures, pixels, run
from tests.support.tiny_models import tiny_model

CUDA = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


@pytest.fixture
def studio() -> Studio:
    return Studio(tiny_model())


@contextmanager
def memory_for(studio: Studio, rows: int, error: BaseException | None = None) -> Iterator[None]:
    """A U-Net whose device has memory for so many rows; without an error, what the processor's allocator raises."""

    def look(_net: Any, given: Any) -> None:
        if len(given[0]) > rows:
            if error is not None:
                raise error
            torch.empty(2**60, dtype=torch.uint8)

    hook = studio.model.unet.register_forward_pre_hook(look)
    try:
        yield
    finally:
        hook.remove()


def notices(events: list[Any]) -> list[str]:
    return [event.text for event in events if isinstance(event, Notice) and "memory" in event.text]


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("could not create a primitive"),  # what oneDNN says where its code or its scratch finds no place
        RuntimeError("could not create a memory object"),
        RuntimeError("Exception from src/inference/src/cpp/infer_request.cpp:223: std::bad_alloc"),
    ],
    ids=str,
)
def test_other_words_for_too_little_memory_are_understood(error: Exception) -> None:
    assert is_out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("could not create a primitive descriptor for the convolution forward propagation primitive."),
        RuntimeError("The size of tensor a (4) must match the size of tensor b (8)."),
    ],
    ids=str,
)
def test_what_is_no_shortage_of_memory_is_not_taken_for_one(error: Exception) -> None:
    assert not is_out_of_memory(error)


def tried(*batches: int) -> list[str]:
    return [f"There is too little memory for this batch; {batch} at a time are tried." for batch in batches]


@pytest.mark.parametrize("error", [None, CUDA, MemoryError()])
def test_a_batch_is_halved_with_one_notice_and_the_run_goes_on(studio: Studio, error: BaseException | None) -> None:
    with counted(studio.model.unet) as calls, memory_for(studio, 4, error):  # two rows a picture
        events = list(run(studio, count=8, batch=4, seed=3, steps=2))
    assert notices(events) == tried(2)
    assert [picture.seed for picture in pictures(events)] == list(range(3, 11))
    assert calls == [8, *[4] * 8], "a batch that was too large is not tried again"


def test_halving_goes_on_until_it_fits(studio: Studio) -> None:
    with memory_for(studio, 2):
        events = list(run(studio, count=5, batch=5, steps=1))
    assert notices(events) == tried(2, 1)
    assert len(pictures(events)) == 5


@pytest.mark.parametrize(("count", "batch"), [(6, 3), (8, 8), (7, 5)])
def test_pictures_keep_the_batch_that_they_were_drawn_in_and_repeat(studio: Studio, count: int, batch: int) -> None:
    with memory_for(studio, 4):
        found = pictures(list(run(studio, count=count, batch=batch, seed=5, steps=2)))
    assert [picture.seed for picture in found] == list(range(5, 5 + count))
    small = pictures(list(run(studio, count=count, batch=2 if batch != 3 else 1, seed=5, steps=2)))
    for picture, other in zip(found, small, strict=True):
        assert picture.metadata() == other.metadata()
        assert np.array_equal(pixels(picture), pixels(other))
        assert np.array_equal(pixels(again(studio, picture)), pixels(picture))


def again(studio: Studio, picture: Picture) -> Picture:
    (found,) = pictures(events_of_job(studio, job_of(picture.metadata())))
    return found


def test_what_was_drawn_before_memory_ran_short_keeps_its_batch(studio: Studio) -> None:
    results = (event for event in run(studio, count=10, batch=5, seed=0, steps=1) if isinstance(event, Result))
    first = list(islice(results, 5))
    with memory_for(studio, 4):
        found = pictures([*first, *results])
    assert [picture.request["batch"] for picture in found] == [5] * 5 + [2] * 5
    assert [picture.seed for picture in found] == list(range(10)), "none twice, none left out"


def test_pictures_that_were_not_looked_at_for_want_of_memory_are_drawn_again(studio: Studio) -> None:
    looks, real = list[int](), studio.picture

    def picture(image: Any, seed: int, one: Any) -> Picture:
        looks.append(seed)
        if len(looks) == 4:
            raise CUDA
        return real(image, seed, one)

    studio.picture = picture  # type: ignore[method-assign]
    events = list(run(studio, count=4, batch=4, steps=1, seed=0))
    assert notices(events) == tried(2)
    assert looks == [0, 1, 2, 3, 0, 1, 2, 3]
    assert [one.seed for one in pictures(events)] == [0, 1, 2, 3]


def test_progress_counts_what_is_left(studio: Studio) -> None:
    with memory_for(studio, 4):
        told = [event for event in run(studio, count=8, batch=4, steps=2) if isinstance(event, Progress)]
    assert [one.step for one in told] == list(range(1, 9))
    assert {one.steps for one in told} == {8}


def test_memory_that_ends_in_the_middle_of_a_run_or_as_pictures_are_decoded(studio: Studio) -> None:
    for net in (studio.model.unet, studio.model.vae.decoder):
        calls = list[int]()

        def look(_net: Any, given: Any, calls: list[int] = calls) -> None:
            calls.append(len(given[0]))
            if len(calls) == 2:
                raise CUDA

        hook = net.register_forward_pre_hook(look)
        try:
            events = list(run(studio, count=4, batch=4, steps=2))
        finally:
            hook.remove()
        told = [(event.step, event.steps) for event in events if isinstance(event, Progress)]
        assert notices(events) == tried(2)
        assert told[-1] == (4, 4)
        assert [one.seed for one in pictures(events)] == list(range(4))


def test_a_run_that_is_left_as_its_batch_is_halved_leaves_the_model_as_it_was(studio: Studio) -> None:
    with memory_for(studio, 4):
        events = run(studio, count=8, batch=8, steps=2)
        assert any(isinstance(event, Notice) and "memory" in event.text for event in events)
        events.close()
    assert len(pictures(list(run(studio, count=2, batch=2, steps=2)))) == 2


def test_one_picture_that_does_not_fit_is_an_error_of_ours(studio: Studio) -> None:
    with memory_for(studio, 1), pytest.raises(OutOfMemoryError, match="too little memory"):
        list(run(studio, count=1, steps=1))


def test_a_picture_is_not_repeated_in_a_smaller_batch(studio: Studio) -> None:
    found = pictures(list(run(studio, count=4, batch=4, steps=1)))
    with memory_for(studio, 4), pytest.raises(OutOfMemoryError):
        again(studio, found[2])


def test_other_errors_pass(studio: Studio) -> None:
    with (
        memory_for(studio, 4, RuntimeError("shapes cannot be multiplied")),
        pytest.raises(RuntimeError, match="shapes"),
    ):
        list(run(studio, count=4, batch=4, steps=1))


def test_room_is_made_before_a_batch_is_halved(studio: Studio) -> None:
    rooms = [True]
    studio.make_room = lambda: bool(rooms) and rooms.pop()
    with memory_for(studio, 4):
        events = list(run(studio, count=4, batch=4, steps=1))
    assert not rooms
    assert notices(events) == tried(2)


def test_with_room_made_the_batch_is_as_large_as_before(studio: Studio) -> None:
    with ExitStack() as others:
        others.enter_context(memory_for(studio, 4))
        studio.make_room = lambda: others.close() is None
        events = list(run(studio, count=4, batch=4, steps=1))
    assert notices(events) == []
    assert {picture.request["batch"] for picture in pictures(events)} == {4}
