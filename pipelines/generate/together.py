"""Generate, several jobs in one batch: other words, subjects and seeds in each row, all else the same."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from blipdiff.attention.reference import ReferenceRows
from blipdiff.conditioning.guidance import concat
from blipdiff.errors import ConfigError
from blipdiff.images import to_pictures
from blipdiff.latents import decode_latents
from pipelines.batches import Prepared, Round
from pipelines.controls.details import Details
from pipelines.job import Job
from pipelines.plan import EncodedRequest, SamplingPlan, encode, execute, picture_size, plan_rows
from pipelines.studio import Studio
from pipelines.task import Result

ROWS, ROW = "rows", "row"  # in a job's detail: among how many rows its picture was drawn, and which one it was
_MOST_ROWS = 64


@dataclass(frozen=True, slots=True, eq=False)
class _Row:
    job: Job  # as its picture keeps it
    encoded: EncodedRequest
    details: Details


def prepare_together(studio: Studio, jobs: Sequence[Job], *, only: int | None = None) -> Prepared:
    """One picture for each of several opened jobs, drawn in one batch; `GenerateRequest.of_a_row` of all is the same.

    Each result's detail is its job's place among them. A picture keeps its own job alone, with the number of rows and
    its own: matrix kernels round by the size of a batch and not by what is in its other rows, so that among as many
    copies of itself it comes out the same to the last bit.

    only: the one row that is wanted

    Raises: BlipdiffError for what the model cannot do.
    """
    rows = [_row(studio, job, number, len(jobs)) for number, job in enumerate(jobs)]
    plan = _plan(studio, rows)

    def finish(latents: Tensor) -> Iterator[Result]:
        for number, row in enumerate(rows):
            if only in (None, number):
                request = row.encoded.request
                (image,) = to_pictures(decode_latents(studio.model.vae, latents[number : number + 1]))
                picture = studio.picture(image, request.seed, row.job)
                yield Result(picture, f"{request.category}-{request.seed}", detail=number)

    seeds = tuple(row.encoded.request.seed for row in rows)
    notices = dict.fromkeys(text for row in rows for text in (*row.details.notices, *row.encoded.warnings))
    size = picture_size(studio.model, rows[0].encoded.request)
    one = Round(execute(studio.model.unet, plan), seeds, finish)
    return Prepared(size, ((plan, 1),), lambda: iter((one,)), 1, tuple(notices))


def was_among_others(job: Job) -> bool:
    """Whether a job is that of a picture which was drawn among rows of other jobs."""
    return job.index is not None and ROWS in job.detail


def prepare_again(studio: Studio, job: Job) -> Prepared:
    """A picture that was drawn among rows of other jobs. Raises: ConfigError for damaged metadata."""
    rows, row = _place(job.detail)
    return prepare_together(studio, [replace(job, index=None, detail={})] * rows, only=row)


def _place(detail: Mapping[str, Any]) -> tuple[int, int]:
    rows, row = detail.get(ROWS), detail.get(ROW)
    whole = all(isinstance(one, int) and not isinstance(one, bool) for one in (rows, row))
    if not whole or not 0 <= row < rows <= _MOST_ROWS:  # type: ignore[operator]
        raise ConfigError(f"The metadata is damaged: the picture was row {row!r:.20} of {rows!r:.20}.")
    return int(rows), int(row)  # type: ignore[arg-type]


def _row(studio: Studio, job: Job, number: int, count: int) -> _Row:
    request = studio.resolved(job.request)
    subject = studio.subject_of(job.given("subject"), fit=request.fit)
    detail = {} if count == 1 else {ROWS: count, ROW: number}
    details = studio.details(request, job.given("subject"))
    kept = replace(job, request=request, inputs={"subject": details.kept(subject)}, index=0, detail=detail)
    return _Row(kept, encode(studio.model, request, subject), details)


def _plan(studio: Studio, rows: Sequence[_Row]) -> SamplingPlan:
    negatives = [row.encoded.negative for row in rows if row.encoded.negative is not None]
    positive = concat([row.encoded.positive for row in rows])
    seeds = [row.encoded.request.seed for row in rows]
    negative = concat(negatives) if negatives else None
    plan = plan_rows(studio.model, rows[0].encoded.request, positive, negative, seeds)
    reading = [row.details.together(plan).more_keys for row in rows]
    return plan if all(one is None for one in reading) else replace(plan, more_keys=ReferenceRows(reading))
