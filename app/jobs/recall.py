"""Recall: the job of an earlier picture, complete, wherever its parts are kept."""

from dataclasses import replace

from app.jobs import kept_jobs
from app.jobs.entries import Entry
from app.jobs.workshop import Workshop
from blipdiff.errors import BlipdiffError
from pipelines.inputs import Input
from pipelines.job import Job
from pipelines.task import task_named


def recalled(workshop: Workshop, entry: Entry) -> Job:
    """The job that draws a picture again; what its file leaves out, such as an edit's photo, comes from the queue.

    Pictures that are kept nowhere are inputs without content, which are given again (`Job.completed`).

    Raises: ConfigError for a picture whose metadata are damaged.
    """
    job, asked = workshop.history.job(entry), asked_job(workshop, entry)
    return job if asked is None else _completed(job, asked)


def as_asked(workshop: Workshop, entry: Entry) -> Job:
    """The job that a picture came of as it was asked for, with photos that are kept in the queue alone.

    Where the queue has it no longer, and for a cell of a grid, it is the job that draws the picture again.

    Raises: ConfigError for a picture whose metadata are damaged.
    """
    job, asked = recalled(workshop, entry), asked_job(workshop, entry)
    return job if asked is None or asked.task != job.task else replace(asked, index=job.index)


def asked_job(workshop: Workshop, entry: Entry) -> Job | None:
    """What the queue, or the project that a picture came with, has of its job; None where neither has it."""
    try:
        return workshop.queue.job(entry.job)
    except BlipdiffError:
        return kept_jobs.find(workshop.history, entry.job)


def _completed(job: Job, asked: Job) -> Job:
    inputs = dict(job.inputs)
    for name in task_named(job.task).inputs:
        missing = [one for one in job.given(name) if one.content is None]
        if not missing:
            continue
        for given in _candidates(asked, name, len(missing)):
            try:
                inputs[name] = replace(job, inputs=inputs).completed(**{name: given}).given(name)
                break
            except BlipdiffError:  # of several photos this is another one
                continue
    return replace(job, inputs=inputs)


def _candidates(asked: Job, name: str, count: int) -> list[list[Input]]:
    """What was given under a name, in groups of so many."""
    given = list(asked.given(name))
    return [given[first : first + count] for first in range(len(given) - count + 1)]
