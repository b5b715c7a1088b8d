"""Sizes far from a model's own are told of before the work, with their time, and refused above a factor."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from blipdiff.checkpoints import load_model
from blipdiff.errors import ConfigError
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.sampling.cost import counted, most_pixels, seconds_of
from pipelines.blend.request import BlendRequest
from pipelines.edit.request import EditRequest
from pipelines.generate.request import AttendRequest
from pipelines.inputs import Input
from pipelines.job import Job, run
from pipelines.plan import encode, execute, plan_encoded
from pipelines.scene.request import SceneRequest
from pipelines.sizes import unet_rows
from pipelines.studio import Studio, purpose
from pipelines.task import Event, Notice
from tests.support.openvino_nets import needs_openvino
from tests.support.studios import asked, dog
from tests.support.studios import counted as calls_of
from tests.support.tiny_models import PIXELS, tiny_model

FAR = 4 * PIXELS
WHOLE = (0.0, 0.0, 1.0, 1.0)


@pytest.fixture(scope="module")
def model() -> BlipDiffusion:
    return tiny_model()


@pytest.fixture(scope="module")
def studio(model: BlipDiffusion) -> Studio:
    return Studio(model)


def test_operations_are_those_of_a_real_call(model: BlipDiffusion) -> None:
    plan = plan_encoded(model, encode(model, asked(guidance=1.0), model.encode_subject(dog())), [0])
    with FlopCounterMode(display=False) as seen:
        next(execute(model.unet, plan))
    found = counted(model, (PIXELS, PIXELS))
    assert seen.get_total_flops() <= found.row < 1.5 * seen.get_total_flops(), "a processor's attention is not counted"
    larger = counted(model, (FAR, FAR))
    assert larger.row > 16 * found.row, "attention grows with the square of the pixels"
    assert larger.picture >= 16 * found.picture > 0


def test_time_grows_with_the_rows_that_are_computed(model: BlipDiffusion) -> None:
    assert seconds_of(model, (PIXELS, PIXELS), 1000, 0) > seconds_of(model, (PIXELS, PIXELS), 1, 0) > 0


@pytest.mark.parametrize("window", [(0.0, 1.0), (0.0, 0.5)])
def test_rows_are_counted_as_they_are_computed(model: BlipDiffusion, window: tuple[float, float]) -> None:
    request = asked(guidance=3.0, steps=4, guidance_start=window[0], guidance_stop=window[1], scheduler="ddim")
    plan = plan_encoded(model, encode(model, request, model.encode_subject(dog())), [0, 1])
    with calls_of(model.unet) as rows:
        list(execute(model.unet, plan))
    assert unet_rows(plan) == sum(rows)


TASKS = ("generate", "attend", "blend", "scene", "edit")


def events(studio: Studio, task: str, width: int, height: int) -> Iterator[Event]:
    size: dict[str, Any] = {"width": width, "height": height, "steps": 2}
    jobs = {
        "generate": Job.of(asked(**size), subject=dog()),
        "attend": Job.of(AttendRequest(category="dog", **size), subject=dog()),
        "blend": Job.of(BlendRequest(frames=2, **size), subject=[dog(), dog(1)]),
        "scene": Job.of(SceneRequest(prompt="a {dog}", **size), subject=Input(dog(), "dog", box=WHOLE)),
        "edit": Job.of(EditRequest(source="dog", target="tiger", from_prompt=True, **size), subject=dog()),
    }
    return run(studio, jobs[task])


@pytest.mark.parametrize("task", TASKS)
def test_every_task_tells_of_a_far_size_with_its_time_before_a_step(studio: Studio, task: str) -> None:
    first = next(events(studio, task, FAR, FAR))
    assert isinstance(first, Notice)
    assert f"{FAR} x {FAR} pixels are far from the {PIXELS} x {PIXELS}" in first.text
    assert "They take about" in first.text
    own = events(studio, task, PIXELS, PIXELS)
    assert not any(isinstance(event, Notice) and "far from" in event.text for event in own)


@pytest.mark.parametrize(
    ("width", "height", "is_told"), [(8, 64, True), (64, 8, True), (16, 64, False), (8, 32, False)]
)
def test_a_picture_that_is_far_longer_than_wide_is_told_of(
    studio: Studio, width: int, height: int, is_told: bool
) -> None:
    texts = [event.text for event in events(studio, "generate", width, height) if isinstance(event, Notice)]
    assert any("one side is 8 times the other" in text for text in texts) == is_told


@pytest.mark.parametrize("task", TASKS)
def test_sizes_above_the_factor_are_refused_before_anything_is_computed(studio: Studio, task: str) -> None:
    with calls_of(studio.model.unet) as calls, pytest.raises(ConfigError, match=r"at most 16 times"):
        next(events(studio, task, 4096, 4096))
    assert calls == []


def test_the_limit_is_that_of_the_models_own_size(model: BlipDiffusion) -> None:
    assert most_pixels(model) == 512 * 512
    large = replace(model, unet=type(model.unet).from_config({**model.unet.config, "sample_size": 256}))
    assert most_pixels(large) == 16 * 512 * 512


@pytest.mark.bundled
def test_the_bundled_model_says_what_it_is_for_and_what_draws_photographs(model: BlipDiffusion) -> None:
    said = purpose(load_model("mini"))
    assert said is not None
    assert "drawn things at 128 x 128" in said
    assert "--model Salesforce/blipdiffusion --download" in said
    assert purpose(model) is None


def test_an_estimate_changes_no_random_numbers_and_no_picture(studio: Studio) -> None:
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    seconds_of(studio.model, (FAR, FAR), 1, 1)
    assert torch.equal(before, torch.random.get_rng_state())


@needs_openvino
def test_the_time_is_that_of_what_computes(tmp_path: Path) -> None:
    studio = Studio(tiny_model(), engine="openvino", converted=tmp_path)

    def told(task: str) -> None:
        texts = (event.text for event in events(studio, task, FAR, FAR) if isinstance(event, Notice))
        assert next(text for text in texts if "They take about" in text)

    with calls_of(studio.model.unet) as calls:
        told("generate")
    assert calls == [], "OpenVINO draws it, and was timed"
    with calls_of(studio.model.unet) as calls:
        told("attend")
    assert calls, "torch draws what looks into the U-Net"
