"""Generate, from a job to what can be drawn; and the jobs of pictures that earlier versions made."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from pipelines.batches import Prepared, batches_of, result_of, seeded_rounds
from pipelines.choosing import choice_for, ranked
from pipelines.generate.request import GenerateRequest
from pipelines.generate.together import prepare_again, was_among_others
from pipelines.job import Job
from pipelines.metadata import earlier_job, take_subject
from pipelines.parameters import request_from
from pipelines.plan import encode, picture_size, plan_encoded
from pipelines.studio import Studio


def prepare(studio: Studio, job: Job) -> Prepared:
    """The request's pictures, in batches.

    Raises: BlipdiffError for what the model cannot do.
    """
    if was_among_others(job):
        return prepare_again(studio, job)
    request: GenerateRequest = job.request
    subject = studio.subject_of(job.given("subject"), fit=request.fit)
    encoded = encode(studio.model, request, subject)
    details = studio.details(request, job.given("subject"))
    batches = batches_of(request, job.index)
    plan = partial(plan_encoded, studio.model, encoded, details=details)
    kept = replace(job, inputs={"subject": details.kept(subject)})
    choice = choice_for(studio, job)
    made = result_of(studio, kept, request.category, choice)
    return Prepared(
        picture_size(studio.model, request),
        ((plan(batch), 1) for batch in batches),
        lambda: seeded_rounds(studio, request, plan, made, job.index),
        len(batches),
        (*details.notices, *encoded.warnings, *(choice.notices if choice else ())),
        last=ranked(choice, request.category),
    )


def earlier(metadata: Mapping[str, Any]) -> Job:
    """The job of a picture whose metadata are of version 1. Raises: ConfigError for damaged ones."""
    values = dict(metadata["request"])
    subject = take_subject(values, str(values.get("category", "")), metadata)
    request = request_from(GenerateRequest, values)
    return earlier_job(metadata, Job("generate", request, {"subject": (subject,)}))
