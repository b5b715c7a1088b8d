"""Grids: one job under the values of two parameters, every picture its own job, and a sheet."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from blipdiff.errors import BlipdiffError
from pipelines.blend.request import BlendRequest
from pipelines.grid.request import GridRequest, grid_of
from pipelines.job import Job, run
from pipelines.studio import Studio
from pipelines.task import Progress, Result, Sheet
from tests.support.jobs import pixels_of, repeated
from tests.support.studios import counted, dog, drawn, job
from tests.support.tiny_models import PIXELS, tiny_model


@pytest.fixture(scope="module")
def studio() -> Studio:
    return Studio(tiny_model())


def made(studio: Studio, one: Job, x: str, y: str = "") -> tuple[list[Result], list[Sheet], list[Progress]]:
    events = list(run(studio, Job.of(grid_of(one, x, y))))
    kinds = (Result, Sheet, Progress)
    results, sheets, steps = ([event for event in events if isinstance(event, kind)] for kind in kinds)
    return results, sheets, steps  # type: ignore[return-value]


def test_every_cell_is_the_picture_of_its_own_request(studio: Studio, tmp_path: Path) -> None:
    results, (sheet,), steps = made(studio, job(seed=5, count=3), "steps=2,3", "guidance=1, 3.5")
    assert [one.label for one in results] == [
        "steps 2, guidance 1.0",
        "steps 3, guidance 1.0",
        "steps 2, guidance 3.5",
        "steps 3, guidance 3.5",
    ]
    assert [one.name for one in results][:2] == ["1-1-dog-5", "1-2-dog-5"]
    (alone,) = drawn(studio, seed=5, steps=3, guidance=3.5, batch=1)
    assert np.array_equal(pixels_of(results[3]), alone)
    (again,) = repeated(studio, results[3].picture.metadata())
    assert np.array_equal(pixels_of(again), alone)
    assert (steps[-1].step, sheet.kind, sheet.name) == (10, "grid", "generate-steps-by-guidance")
    sheet.write(tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as picture:
        assert picture.width > 2 * PIXELS


def test_equal_cells_are_drawn_once_and_words_and_switches_are_values(studio: Studio) -> None:
    with counted(studio.model.unet) as calls:
        results, *_ = made(studio, job(steps=2), "steps=2,2,3")
    assert (len(results), len(calls)) == (2, 5)
    results, *_ = made(studio, job(steps=2), "prompt=on a beach|in the snow, at night")
    assert [one.label for one in results] == ["prompt on a beach", "prompt in the snow, at night"]
    assert [one.picture.request["prompt"] for one in results] == ["on a beach", "in the snow, at night"]


def test_a_task_whose_pictures_come_last_has_a_grid_too(studio: Studio) -> None:
    blend = Job.of(BlendRequest(shape="one", steps=2), subject=[dog(), dog(1)])
    results, sheets, _ = made(studio, blend, "how=linear,spherical")
    assert [one.label for one in results] == ["mixing linear", "mixing spherical"]
    assert len(sheets) == 1


def test_a_grid_is_a_job_as_text_like_any_other(studio: Studio) -> None:
    one = Job.of(grid_of(job(steps=2), "seed=1,2"))
    again = Job.from_json(one.opened().to_json())
    assert (again.request.count, again.request.steps) == (2, 2)
    events = run(studio, again)
    assert len([event for event in events if isinstance(event, Result)]) == 2


@pytest.mark.parametrize(
    ("x", "y", "told"),
    [
        ("", "", "write it as steps=8,12,20|no parameter ''"),
        ("steps", "", "write it as steps=8,12,20"),
        ("steps=8,,9", "", "write it as steps=8,12,20"),
        ("stepz=8", "", "no parameter 'stepz'; choose one of: negative"),
        ("steps=many", "", "Steps is 'many'; give numbers"),
        ("steps=0", "", "Steps is 0; it goes from 1"),
        ("scheduler=fast", "", "choose one of"),
        ("steps=2", "steps=3", "goes across and down"),
        ("seed=" + ",".join(map(str, range(101))), "", "at most 100"),
        ("guidance-start=0.5,0.9", "guidance-stop=0.7", "."),
    ],
)
def test_what_no_grid_can_be_made_of_is_said_before_a_model_is_open(x: str, y: str, told: str) -> None:
    with pytest.raises(BlipdiffError, match=told):
        Job.of(grid_of(job(), x, y)).opened()


@pytest.mark.parametrize("changes", [{"task": "grid"}, {"task": "fly"}, {"request": None}, {"request": {"steps": -1}}])
def test_a_damaged_job_is_no_grid(changes: dict[str, Any]) -> None:
    with pytest.raises(BlipdiffError):
        GridRequest(job={**job().as_mapping(), **changes}, x="steps=2")
