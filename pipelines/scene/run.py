"""Scene, from a job to what can be drawn; and the jobs of pictures that earlier versions made."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from blipdiff.conditioning.subject import SubjectEmbedding
from blipdiff.errors import ConfigError
from blipdiff.latents import latent_size
from blipdiff.masks import scaling_of
from pipelines.batches import Prepared, batches_of, result_of, seeded_rounds
from pipelines.inputs import Input, card_input, mask_input
from pipelines.job import Job
from pipelines.metadata import earlier_controls, earlier_job, earlier_mask, earlier_subject
from pipelines.parameters import request_from
from pipelines.plan import picture_size
from pipelines.scene.plan import arranged, encode_scene, plan_scene, region_masks
from pipelines.scene.request import SceneRequest
from pipelines.studio import Studio


def prepare(studio: Studio, job: Job) -> Prepared:
    """The scene's pictures, in batches.

    Raises: BlipdiffError for bindings, regions or subjects that cannot be used.
    """
    model = studio.model
    request, bound = arranged(model, job.request, job.given("subject"))
    width, height = picture_size(model, request)
    followed = studio.nets.followed(job, (width, height))
    masks = region_masks(request, bound, latent_size(model.vae, height, width))
    subjects = studio.subjects([one.reference for one in bound], fit=request.fit)
    words = [one.word for one in bound]
    rows = encode_scene(model, request, words, subjects)
    batches = batches_of(request, job.index)
    details = studio.details(request, bound)
    plan = partial(plan_scene, model, request, rows, masks, controls=followed.branches, details=details)
    told = tuple(
        replace(card, mask=None if one.mask is None else mask_input(one.mask.image))
        for one, card in zip(bound, details.inputs or _cards(bound, subjects), strict=True)
    )
    kept = replace(
        job, request=replace(request, controls=followed.controls), inputs={"subject": told, **followed.inputs()}
    )
    made = result_of(studio, kept, "-".join(words))
    painted = {one.word: one.mask.image for one in bound if one.mask is not None}
    return Prepared(
        (width, height),
        ((plan(batch), 1) for batch in batches),
        lambda: seeded_rounds(studio, request, plan, made, job.index),
        len(batches),
        (*followed.notices, *details.notices, *rows.warnings, *scaling_of(painted, (width, height))),
        side_by_side=len(bound),
    )


def _cards(bound: Sequence[Input], subjects: Sequence[SubjectEmbedding]) -> tuple[Input, ...]:
    return tuple(card_input(subject, one.word, box=one.box) for one, subject in zip(bound, subjects, strict=True))


def earlier(metadata: Mapping[str, Any]) -> Job:
    """The job of a picture whose metadata are of version 1. Raises: ConfigError for damaged ones."""
    values = dict(metadata["request"])
    regions, subjects, painted, controls, maps = (
        values.pop(name, None) for name in ("regions", "subjects", "painted", "controls", "maps")
    )
    for name in ("task", "category"):
        values.pop(name, None)
    inputs = {"map": earlier_controls({"controls": controls, "maps": maps})}
    request = request_from(SceneRequest, {**values, "controls": controls or ()})
    inputs["subject"] = tuple(
        _placed(word, earlier_subject(text, word, metadata), _mapping(regions).get(word), painted)
        for word, text in _mapping(subjects).items()
    )
    return earlier_job(metadata, Job("scene", request, inputs))


def _placed(word: str, subject: Input, region: Any, painted: Any) -> Input:
    """A subject in the region that its metadata tell of: a box, a painted mask, or one that is found."""
    if region == "found":
        return subject
    if region == "painted":
        text = _mapping(painted).get(word)
        if text is None:
            raise ConfigError(f"The painted mask of {word!r} was too large for the metadata; draw the scene anew.")
        return replace(subject, mask=earlier_mask(text))
    if isinstance(region, list) and len(region) == 4 and all(isinstance(side, int | float) for side in region):
        return replace(subject, box=(region[0], region[1], region[2], region[3]))
    raise ConfigError(f"The metadata is damaged: there is no region for {word!r}.")


def _mapping(told: Any) -> Mapping[str, Any]:
    if not isinstance(told, Mapping):
        raise ConfigError("The metadata is damaged: the scene's subjects cannot be read.")
    return told
