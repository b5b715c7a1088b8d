"""Redraw, from a job to what can be drawn: a region of a picture from another seed, every pixel outside as it was."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageFilter

from blipdiff.filenames import short_name
from blipdiff.images import picture_tensor
from blipdiff.latents import size_factor
from blipdiff.sampling.cost import times_own
from pipelines.batches import Prepared, batches_of, result_of, seeded_rounds
from pipelines.controls.nets import Branch, Followed
from pipelines.finish.own import drawn_on, filled, kept_picture
from pipelines.finish.plan import Begun, begun, is_tiled, work_size
from pipelines.finish.request import RedrawRequest
from pipelines.inputs import mask_input
from pipelines.job import Job
from pipelines.plan import SamplingPlan
from pipelines.studio import Studio
from pipelines.task import Result

__all__ = ["filled", "prepare"]

_UNFOLLOWED = (
    "The picture is larger than the model's own size and is drawn in tiles, which do not follow its structure."
)


@dataclass(frozen=True, slots=True, eq=False)
class _Region:
    """What is drawn anew: of the picture, and on the latents."""

    started: Begun
    mask: Image.Image  # "L", of the picture's size
    branches: tuple[Branch, ...] = ()

    def plan(self, studio: Studio, seeds: Sequence[int]) -> SamplingPlan:
        """One row for each seed, free inside the mask."""
        size = (self.started.latents.shape[-2], self.started.latents.shape[-1])
        grey = picture_tensor(self.mask).mean(0)[None, None]  # (1, 1, H, W)
        covered = torch.nn.functional.interpolate(grey, size=size, mode="area")[0, 0]
        free = (covered > 0).float()  # every place that shows in the region, even in a corner of it
        plan = self.started.plan(studio.model, seeds, free)
        return plan if plan.wrap is not None else replace(plan, controls=self.branches)


def prepare(studio: Studio, job: Job) -> Prepared:
    """The picture with its region anew, once for each seed; beside each what was before, and the mask.

    Raises: BlipdiffError for what the model cannot do.
    """
    request: RedrawRequest = job.request
    (given,), (mask,) = job.given("picture"), job.given("mask")
    size = work_size(studio.model, given.image.size)
    started = begun(studio, job, given.image, size, request.strength)
    followed, notices = _followed(studio, job, size)
    region = _Region(started, mask.image, followed.branches)
    inputs = {"picture": (kept_picture(given),), "mask": (mask_input(mask.image),), **started.inputs}
    controls = followed.controls if followed.maps else ()
    kept = replace(job, request=replace(request, controls=controls), inputs={**inputs, **followed.inputs()})
    name = f"{short_name(given.word or 'picture')}-redrawn"
    made, edge = result_of(studio, kept, name), _edge(mask.image, request.softness * size_factor(studio.model.vae))
    batches = batches_of(request, job.index)

    def plan(batch: Sequence[int]) -> SamplingPlan:
        return region.plan(studio, batch)

    def result(image: Image.Image, number: int, batch: int) -> Result | None:
        found = made(_laid_over(given.image, image, edge), number, batch)
        if found is None:
            return None
        picture = replace(found.picture, source_type=drawn_on(job))
        beside = {
            "before": replace(picture, image=given.image, part="before"),
            "mask": replace(picture, image=mask.image, part="mask", source_type=None),
        }
        return replace(found, picture=picture, beside=beside)

    return Prepared(
        size,
        ((plan(batch), 1) for batch in batches),
        lambda: seeded_rounds(studio, request, plan, result, job.index),
        len(batches),
        (*notices, *followed.notices, *started.details.notices, *started.encoded.warnings),
        side_by_side=max(1, round(times_own(studio.model, size))),
    )


def _followed(studio: Studio, job: Job, size: tuple[int, int]) -> tuple[Followed, list[str]]:
    """What the region follows: the picture's own structure where the whole picture is drawn at once."""
    if not job.request.controls:
        return Followed(), []
    if is_tiled(studio.model, size):
        return Followed(), [_UNFOLLOWED]
    return studio.nets.followed(job, size), []


def _edge(mask: Image.Image, width: float) -> npt.NDArray[np.float32]:
    """How much of each pixel is new: (H, W) in [0, 1], nothing outside of the mask, a ramp of `width` pixels inside."""
    painted = np.asarray(np.asarray(mask, np.float32) / 255, np.float32)
    around = max(1, round(width))
    if width > 0:
        inner = mask.filter(ImageFilter.MinFilter(2 * around + 1)).filter(ImageFilter.BoxBlur(around))
        soft = np.asarray(inner, np.float32) / 255
        if soft.max() > 0.99:  # else the mask is narrower than its ramp
            return np.asarray(np.minimum(soft, painted), np.float32)
    return painted


def _laid_over(before: Image.Image, drawn: Image.Image, share: npt.NDArray[np.float32]) -> Image.Image:
    """The drawn picture where it shares in the result; where it does not, the very pixels of before."""
    fresh = np.asarray(drawn.resize(before.size, Image.Resampling.LANCZOS) if drawn.size != before.size else drawn)
    own, part = np.asarray(before, np.float32), share[..., None]
    return Image.fromarray(np.round(own + (fresh.astype(np.float32) - own) * part).astype(np.uint8))
