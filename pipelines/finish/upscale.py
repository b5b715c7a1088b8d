"""Upscale, from a job to what can be drawn: a second pass of the model in tiles, or the pixels alone."""

from dataclasses import replace
from functools import partial

from PIL import Image

from blipdiff.filenames import short_name
from blipdiff.picture_files import check_pixels
from blipdiff.sampling.cost import times_own
from pipelines.batches import Prepared, batches_of, result_of, seeded_rounds
from pipelines.finish.own import drawn_on, filled, is_generated, kept_picture, seed_of
from pipelines.finish.plan import begun, work_size
from pipelines.finish.request import UpscaleRequest
from pipelines.job import Job
from pipelines.pictures import SOURCE_TYPE
from pipelines.studio import Studio
from pipelines.task import Result

__all__ = ["filled", "prepare"]


def prepare(studio: Studio, job: Job) -> Prepared:
    """The picture enlarged, once for each seed.

    Raises: BlipdiffError for what the model cannot do.
    """
    request: UpscaleRequest = job.request
    (given,) = job.given("picture")
    wanted = (round(given.image.width * request.times), round(given.image.height * request.times))
    check_pixels(wanted, "The enlarged picture")
    kept = replace(job, inputs={"picture": (kept_picture(given),)})
    if request.method == "plain":
        return Prepared(None, (), lambda: iter(()), 0, last=lambda _: [_resampled(studio, job, kept, wanted)])
    size = work_size(studio.model, wanted)
    started = begun(studio, job, given.image, size, request.strength)
    batches, plan = batches_of(request, job.index), partial(started.plan, studio.model)
    made = result_of(studio, replace(kept, inputs={**kept.inputs, **started.inputs}), _name(job))

    def result(image: Image.Image, number: int, batch: int) -> Result | None:
        found = made(image if image.size == wanted else image.resize(wanted, Image.Resampling.LANCZOS), number, batch)
        return None if found is None else replace(found, picture=replace(found.picture, source_type=drawn_on(job)))

    return Prepared(
        size,
        ((plan(batch), 1) for batch in batches),
        lambda: seeded_rounds(studio, request, plan, result, job.index),
        len(batches),
        (*started.details.notices, *started.encoded.warnings),
        side_by_side=max(1, round(times_own(studio.model, size))),  # each tile is of the model's own size
    )


def _resampled(studio: Studio, job: Job, kept: Job, size: tuple[int, int]) -> Result:
    larger = job.given("picture")[0].image.resize(size, Image.Resampling.LANCZOS)
    picture = studio.picture(larger, seed_of(job), replace(kept, index=0))
    return Result(replace(picture, source_type=SOURCE_TYPE if is_generated(job) else None), _name(job))


def _name(job: Job) -> str:
    return f"{short_name(job.given('picture')[0].word or 'picture')}-x{job.request.times:g}".replace(".", "_")
