"""Attend: pictures as generate draws them, with where each word and the subject were seen."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from blipdiff.attention.maps import heatmap
from blipdiff.attention.reference import ReferenceMap
from blipdiff.attention.store import CrossAttentionStore, cross_levels
from blipdiff.attention.word_maps import PHOTO_NAME, WordMap, map_sheet, overlay, word_maps
from blipdiff.filenames import short_name
from blipdiff.images import to_pictures
from blipdiff.latents import decode_latents
from blipdiff.models.blip_diffusion import BlipDiffusion
from pipelines.batches import Prepared, Round, batches_of
from pipelines.controls.details import Details
from pipelines.generate.request import AttendRequest
from pipelines.job import Job
from pipelines.pictures import Picture
from pipelines.plan import EncodedRequest, SamplingPlan, encode, execute, picture_size, plan_encoded
from pipelines.studio import Studio
from pipelines.task import Result


def prepare(studio: Studio, job: Job) -> Prepared:
    """The request's pictures, one after the other. A result's detail is its maps, as `word_maps` gives them.

    Raises: BlipdiffError for what the model cannot do.
    """
    model, request = studio.model, job.request
    subject = studio.subject_of(job.given("subject"), fit=request.fit)
    encoded = encode(model, request, subject)
    details = studio.details(request, job.given("subject"))
    kept = replace(job, inputs={"subject": details.kept(subject)})
    seeds = [seed for batch in batches_of(request, job.index) for seed in batch]
    return Prepared(
        picture_size(model, request),
        ((plan_attention_maps(model, encoded, [seed], details)[0], 1) for seed in seeds),
        lambda: _rounds(studio, kept, encoded, seeds, details),
        len(seeds),
        (*details.notices, *encoded.warnings),
    )


def plan_attention_maps(
    model: BlipDiffusion, encoded: EncodedRequest, seeds: Sequence[int], details: Details | None = None
) -> tuple[SamplingPlan, CrossAttentionStore, ReferenceMap | None]:
    """A plan that generates, and what has seen where when it has run: words, and the photo where it is read.

    All outer levels of the U-Net count.

    Raises: ConfigError as `plan_encoded`.
    """
    plan = plan_encoded(model, encoded, seeds, details=details)
    size = (plan.latents.shape[-2], plan.latents.shape[-1])
    store = CrossAttentionStore(size, cross_levels(model.unet))
    if plan.more_keys is None:
        return replace(plan, taps=(*plan.taps, store)), store, None
    read = ReferenceMap(size, len(model.unet.config.down_block_types))
    return replace(plan, taps=(*plan.taps, store, read)), store, read


def _rounds(
    studio: Studio, job: Job, encoded: EncodedRequest, seeds: Sequence[int], details: Details
) -> Iterator[Round]:
    for seed in seeds:
        plan, *seen = plan_attention_maps(studio.model, encoded, [seed], details)

        def finish(
            latents: Tensor, seed: int = seed, plan: SamplingPlan = plan, seen: list[Any] = seen
        ) -> Iterator[Result]:
            image = to_pictures(decode_latents(studio.model.vae, latents))[0]
            size = (image.height, image.width)
            maps = word_maps(seen[0].mean()[0], plan.guidance.positive.layouts[0], size)
            read = None if seen[1] is None else seen[1].mean()
            if read is not None:
                maps = (*maps, WordMap(PHOTO_NAME, (), heatmap(read[0][..., None], (0,), size)))
            picture = studio.picture(image, seed, replace(job, index=seed - job.request.seed))
            name = f"{short_name(job.request.category)}-{job.request.named(seed)}"
            yield Result(picture, name, beside=_shown(picture, maps, job.request), detail=maps)

        yield Round(execute(studio.model.unet, plan), (seed,), finish)


def _shown(picture: Picture, maps: Sequence[WordMap], request: AttendRequest) -> Mapping[str, Picture]:
    """The sheet of all maps, and each map where that is wanted."""
    shown = {"maps": map_sheet(picture.image, maps)}
    if request.each:
        shown |= {f"map-{number}-{one.word}": overlay(picture.image, one.heat) for number, one in enumerate(maps, 1)}
    return {name: replace(picture, image=image, part=name) for name, image in shown.items()}
