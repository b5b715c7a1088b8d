"""Jobs: written down and read again they draw the same, whatever their inputs were; damaged ones are refused."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from blipdiff.errors import BlipdiffError, ConfigError
from pipelines.job import JOB_VERSION, Job, run
from pipelines.metadata import job_of
from pipelines.studio import Studio
from pipelines.task import Result, task_named, tasks
from tests.support.every_job import JOBS, assert_same
from tests.support.studios import asked, counted, dog, pictures
from tests.support.tiny_models import photo, tiny_model

pytest_plugins = ["tests.support.job_fixtures"]


def results(studio: Studio, job: Job) -> list[Result]:
    return [event for event in run(studio, job) if isinstance(event, Result)]


def test_there_is_a_job_of_every_task(net: Path) -> None:
    others = {"grid", "personalize"}  # their pictures are of other jobs
    assert {make(net).task for make in JOBS.values()} == set(tasks()) - others


@pytest.mark.parametrize("name", JOBS)
def test_a_job_survives_json_and_draws_the_same(name: str, studio: Studio, net: Path) -> None:
    job = JOBS[name](net)
    again = Job.from_json(job.to_json())
    assert again.request == job.request
    assert again.to_json() == job.to_json()
    first, second = results(studio, job), results(studio, again)
    assert len(first) >= 1
    assert [one.name for one in first] == [one.name for one in second]
    for one, other in zip(first, second, strict=True):
        assert_same(one.picture, other.picture)
        assert set(one.beside) == set(other.beside)


@pytest.mark.parametrize("name", JOBS)
def test_every_picture_carries_the_job_that_draws_it_alone(name: str, studio: Studio, net: Path) -> None:
    job = JOBS[name](net)
    for one in results(studio, job):
        kept = job_of(json.loads(json.dumps(one.picture.metadata())))
        assert kept.index == one.picture.index
        if name == "edit, photo":
            kept = kept.completed(source=[photo(1)])
        (again,) = results(studio, kept)
        assert_same(one.picture, again.picture)
        assert (one.name, one.label) == (again.name, again.label)


@pytest.mark.parametrize("name", JOBS)
def test_a_picture_of_no_such_number_is_refused(name: str, studio: Studio, net: Path) -> None:
    job = JOBS[name](net)
    for index in (99, -1):
        with counted(studio.model.unet) as calls, pytest.raises(ConfigError, match="damaged"):
            next(run(studio, replace(job, index=index)))
        assert calls == []


def told(**changes: Any) -> str:
    return json.dumps(Job.of(asked(), subject=dog()).as_mapping() | changes, sort_keys=True)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "5",
        "{}",
        "[" * 100_000,
        "9" * 5000,
        '{"version": NaN}',
        told(version=None),
        told(version=True),
        told(version=0),
        told(version="1"),
        told(version=1.5),
        told(task=None),
        told(task=["generate"]),
        told(request=None),
        told(request=[]),
        told(request={"category": "dog", "surprise": 1}),
        told(request={}),
        told(inputs=None),
        told(inputs=[]),
        told(inputs={"weather": []}),
        told(inputs={"subject": {}}),
        told(inputs={"subject": [5]}),
        told(inputs={"subject": [{"word": 5}]}),
        told(inputs={"subject": [{"weight": "1"}]}),
        told(inputs={"subject": [{"box": [0, 1]}]}),
        told(inputs={"subject": [{"box": [0, 0, 1, "1"]}]}),
        told(inputs={"subject": [{"mask": 5}]}),
        told(inputs={"subject": [{"picture": "hello"}]}),
        told(inputs={"subject": [{"picture": 5}]}),
        told(inputs={"subject": [{"file": "no base64!"}]}),
        told(inputs={"subject": [{"file": 5}]}),
        told(inputs={"subject": [{"rows": "aGVsbG8="}]}),
        told(index="0"),
        told(index=True),
        told(detail=5),
        told(model=5),
    ],
    ids=lambda text: text[:30],
)
def test_a_damaged_job_is_refused(text: str) -> None:
    with pytest.raises(BlipdiffError):
        Job.from_json(text).opened()


def test_a_job_of_a_newer_version_or_an_unknown_task_says_so() -> None:
    with pytest.raises(ConfigError, match=f"is of version {JOB_VERSION + 1}; this blipdiff reads up to {JOB_VERSION}"):
        Job.from_json(told(version=JOB_VERSION + 1))
    with pytest.raises(ConfigError, match="There is no task 'paint'; choose one of: generate, "):
        Job.from_json(told(task="paint"))
    with pytest.raises(ConfigError, match="no task"):
        task_named("")


def test_a_job_for_another_model_is_refused_before_anything_is_drawn(studio: Studio) -> None:
    (made,) = pictures(run(studio, Job.of(asked(), subject=dog())))
    job = job_of(made.metadata())
    assert job.model == made.model
    other = Studio(tiny_model(1))
    with counted(other.model.unet) as calls, pytest.raises(ConfigError, match="was made by the model tiny"):
        next(run(other, job))
    assert calls == []
