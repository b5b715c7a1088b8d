"""Stylize, from a job to what can be drawn; and the jobs of pictures that earlier versions made."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from blipdiff.errors import ConfigError
from blipdiff.latents import latent_size
from pipelines.batches import Prepared, batches_of, result_of, seeded_rounds
from pipelines.choosing import choice_for, ranked
from pipelines.job import Job
from pipelines.metadata import earlier_controls, earlier_job, take_subject
from pipelines.parameters import request_from
from pipelines.plan import picture_size
from pipelines.studio import Studio
from pipelines.stylize.plan import EncodedStyle, encode_style, plan_stylize, structure_size
from pipelines.stylize.request import StylizeRequest


@dataclass(frozen=True, slots=True, eq=False)
class ReadyStyle:
    """A job whose words, subject and maps have been checked against the model."""

    style: EncodedStyle
    kept: Job  # as its pictures keep it, but for their index
    notices: tuple[str, ...]


def prepare(studio: Studio, job: Job) -> Prepared:
    """The request's pictures, in batches.

    Raises: BlipdiffError for what the model cannot do.
    """
    ready = ready_style(studio, job)
    request = ready.style.request
    batches = batches_of(request, job.index)
    plan = partial(plan_stylize, studio.model, ready.style)
    choice = choice_for(studio, job)
    made = result_of(studio, ready.kept, request.category, choice)
    return Prepared(
        picture_size(studio.model, request),
        ((plan(batch), 1) for batch in batches),
        lambda: seeded_rounds(studio, request, plan, made, job.index),
        len(batches),
        (*ready.notices, *(choice.notices if choice else ())),
        last=ranked(choice, request.category),
    )


def ready_style(studio: Studio, job: Job) -> ReadyStyle:
    """What all pictures of an opened job share.

    Raises: BlipdiffError for what the model cannot do.
    """
    model, request = studio.model, job.request
    structures = job.given("map") or job.given("structure")
    width, height = structure_size(model, request, structures[0].image)
    latent_size(model.vae, height, width)
    followed = studio.nets.followed(job, (width, height))
    request = replace(request, width=width, height=height)
    subject = studio.subject_of(job.given("subject"), fit=request.fit)
    details = studio.details(request, job.given("subject"))
    style = replace(encode_style(model, request, subject, followed.branches), details=details)
    plan_stylize(model, style, [request.seed])
    inputs = {"subject": details.kept(subject), **followed.inputs()}
    kept = replace(job, request=replace(request, controls=followed.controls), inputs=inputs)
    return ReadyStyle(style, kept, (*followed.notices, *details.notices, *style.encoded.warnings))


def earlier(metadata: Mapping[str, Any]) -> Job:
    """The job of a picture whose metadata are of version 1. Raises: ConfigError for damaged ones."""
    values = dict(metadata["request"])
    own = values.pop("stylize", None)
    values.pop("task", None)
    if not isinstance(own, Mapping) or not isinstance(own.get("controls"), list):
        raise ConfigError("The picture was not made by stylizing; repeat it with the command that made it.")
    subject = take_subject(values, str(values.get("category", "")), metadata)
    maps = earlier_controls({**own, "maps": values.pop("maps", None)})
    request = request_from(StylizeRequest, {**values, **own})
    return earlier_job(metadata, Job("stylize", request, {"subject": (subject,), "map": maps}))
