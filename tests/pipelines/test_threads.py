"""Eight threads on one pipeline and on one studio: every picture is what it is alone, and every call is its own."""

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from threading import Barrier, Event, Thread
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from blipdiff.conditioning.subject import SubjectPhoto
from pipelines import BlipDiffusionPipeline
from pipelines.edit.request import EditRequest
from pipelines.generate.request import GenerateRequest
from pipelines.job import Job
from pipelines.job import run as run_job
from pipelines.studio import Studio
from tests.support.face import draw, seeded
from tests.support.studios import pictures
from tests.support.tiny_models import photo, tiny_model

pytest_plugins = ["tests.support.face_fixtures"]


@pytest.fixture(autouse=True)
def frequent_switches() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def together(works: Sequence[Callable[[], Any]]) -> list[Any]:
    """What each work gives, all begun at the same moment in threads of their own; their errors are raised."""
    results: dict[int, Any] = {}
    start = Barrier(len(works))

    def guarded(place: int, work: Callable[[], Any]) -> None:
        start.wait(30)
        try:
            results[place] = work()
        except BaseException as error:
            results[place] = error

    threads = [Thread(target=guarded, args=pair, daemon=True) for pair in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive(), "it hangs"
    for result in results.values():
        if isinstance(result, BaseException):
            raise result
    return [results[place] for place in range(len(works))]


def pipeline_calls(pipe: BlipDiffusionPipeline, source: Image.Image) -> list[Callable[[], torch.Tensor]]:
    def call(number: int) -> Callable[[], torch.Tensor]:
        asked = {"num_inference_steps": 2 + number % 5, "guidance_scale": 1.0 + number, "reference_image": source}
        return lambda: draw(pipe, **asked, generator=seeded(number), prompt="on a beach " * (1 + number % 3))

    return [call(number) for number in range(8)]


def test_eight_threads_on_one_pipeline_draw_what_each_draws_alone(pipe: BlipDiffusionPipeline, tmp_path: Path) -> None:
    photo(0, (64, 48)).save(tmp_path / "photo.png")

    def fresh() -> Image.Image:
        return Image.open(tmp_path / "photo.png")  # not decoded yet: the threads do it, on one object

    alone = [call() for call in pipeline_calls(pipe, fresh())]
    for _ in range(2):
        drawn = together(pipeline_calls(pipe, fresh()))
        assert [torch.equal(one, other) for one, other in zip(drawn, alone, strict=True)] == [True] * 8


def test_each_threads_call_tells_its_own_length_and_scale_and_stops_alone(pipe: BlipDiffusionPipeline) -> None:
    everybody, stopped = Barrier(8), Event()
    steps: dict[int, int] = {}

    def call(number: int) -> None:
        def watch(given: Any, index: int, _timestep: Any, values: dict[str, Any]) -> dict[str, Any]:
            steps[number] = index + 1
            if index == 0:
                everybody.wait(30)
                if number == 0:
                    given._interrupt = True
                    stopped.set()
                assert stopped.wait(30)
            assert (given.num_timesteps, given.guidance_scale) == (4 + number, 2.0 + number)  # PNDM has a call more
            assert given.interrupt == (number == 0)
            return values

        draw(pipe, callback_on_step_end=watch, num_inference_steps=3 + number, guidance_scale=2.0 + number)

    together([lambda number=number: call(number) for number in range(8)])
    assert steps == {0: 1} | {number: 4 + number for number in range(1, 8)}


def test_a_thread_that_draws_nothing_stops_all_that_run(pipe: BlipDiffusionPipeline) -> None:
    begun, asked = Barrier(3), Event()
    steps: list[int] = []

    def watch(_pipe: Any, index: int, _timestep: Any, values: dict[str, Any]) -> dict[str, Any]:
        steps.append(index)
        if index == 0:
            begun.wait(30)
            assert asked.wait(30)
        return values

    def stop() -> None:
        begun.wait(30)
        pipe._interrupt = True
        asked.set()

    def run() -> Any:
        return draw(pipe, callback_on_step_end=watch, num_inference_steps=6)

    together([run, run, stop])
    assert steps == [0, 0]


def test_eight_threads_on_one_studio_make_what_each_makes_alone() -> None:
    studio = Studio(tiny_model())

    def made(number: int) -> np.ndarray:
        own: dict[str, Any] = {"steps": 2 + number, "count": 1, "seed": number, "guidance": 3.0}
        request: Any = GenerateRequest(category="dog", **own)
        if number % 2:
            request = EditRequest(source="dog", target="tiger", from_prompt=True, **own)
        subject = SubjectPhoto(photo(number % 3), "tiger" if number % 2 else "dog")
        (picture,) = pictures(run_job(studio, Job.of(request, subject=subject)))
        return np.asarray(picture.image)

    works = [lambda n=n: made(n) for n in range(8)]
    alone = [work() for work in works]
    assert all(np.array_equal(one, other) for one, other in zip(together(works), alone, strict=True))


def test_a_net_that_eight_threads_ask_for_is_loaded_once() -> None:
    studio = Studio(tiny_model())
    nets = together([lambda: studio.nets.net("mini-canny")] * 8)
    assert all(net is nets[0] for net in nets)


def test_models_of_one_seed_are_equal_whoever_makes_them_at_once() -> None:
    """Else a worker that opens a model beside another one draws with weights that nobody else has."""
    made = together([tiny_model] * 3)
    assert {model.identity.model for model in made} == {tiny_model().identity.model}
