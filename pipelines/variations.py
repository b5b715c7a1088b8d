"""Variations: the job of pictures near another one."""

from dataclasses import fields, replace
from typing import Any

from blipdiff.errors import ConfigError
from pipelines.job import Job
from pipelines.requests import Sampling
from pipelines.task import task_named


def varied(job: Job, strength: float, seed: int, *, count: int = 1) -> Job:
    """The job of pictures whose noise is near that of a job's one picture, as `Sampling.variation` says.

    A variation is varied from where it is. With a strength of 0 it is the job itself, which draws the same picture.

    seed: where the first goes to; the others count up from it; count: how many, where the picture is one of several
    seeds

    Raises: ConfigError for pictures that come from no seed, and for a strength or seed out of range.
    """
    request = job.request
    if not isinstance(request, Sampling):
        raise ConfigError(f"What {job.task} makes comes from no seed; it has no variations.")
    if strength == 0:
        return job
    number = request.seed + (job.index or 0) if request.count > 1 else request.seed
    asked: dict[str, Any] = {
        "seed": request.seed_of(number),
        "variation": strength,
        "variation_seed": seed,
        "variation_of": request.turns(number),
    }
    if is_counted(job):
        return replace(job, request=replace(request, **asked, count=count), index=None)
    if count > 1:
        raise ConfigError(f"This picture of {job.task} is varied once at a time; ask again for another one.")
    return replace(job, request=replace(request, **asked))


def is_counted(job: Job) -> bool:
    """Whether a job's pictures are told apart by their seeds alone."""
    by_input = any(kind.has_noise and job.given(name) for name, kind in task_named(job.task).inputs.items())
    return not by_input and any(item.name == "count" and item.init for item in fields(job.request))
