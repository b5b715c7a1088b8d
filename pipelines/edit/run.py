"""Edit, from a job to what can be drawn: sources, one after the other, become pictures before and after."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from blipdiff.attention.word_maps import map_sheet
from blipdiff.errors import BlipdiffError, ConfigError
from blipdiff.filenames import short_name
from blipdiff.latents import size_factor
from blipdiff.sampling.loop import Step
from pipelines.batches import Prepared, Round, check_index
from pipelines.controls.details import Details
from pipelines.controls.nets import Followed
from pipelines.edit.composite import EditPictures, edit_pictures
from pipelines.edit.invert import Inversion, PhotoSource, invert_photo, prepare_photo, work_size
from pipelines.edit.plan import EditPlan, EncodedEdit, encode_edit, plan_edit
from pipelines.edit.request import BY_FRACTIONS, EditRequest
from pipelines.inputs import Input, mask_input, pixels_hash
from pipelines.job import Job
from pipelines.metadata import earlier_controls, earlier_job, earlier_mask, earlier_subject
from pipelines.parameters import request_from
from pipelines.pictures import EDITED_PHOTO_TYPE, Picture
from pipelines.plan import SamplingPlan, execute, picture_size
from pipelines.studio import Studio
from pipelines.task import Notice, Result

# what requests that do not name these were drawn with
_OLD_DEFAULTS = {"mask_use": "joined", "keep_background": False, "counting": BY_FRACTIONS}
_LEAST_EDITED = 0.05  # of a mask's highest value
_INVERTED = 2  # runs that an edited photo costs: about as much for the inversion as for the edit
_LARGE = "The painted mask is too large for the metadata; to run this edit again, give the mask again."
_MISSED = (
    "Nothing was edited: what is swapped was seen outside of the painted mask. With its use 'alone' the whole mask is "
    "edited."
)


@dataclass(frozen=True, slots=True, eq=False)
class _Source:
    """What one edit begins with: a seed, or a photo that is ready to be inverted."""

    job: Job  # as its picture keeps it
    followed: Followed
    mask: Input | None
    photo: PhotoSource | None = None
    name: str = ""

    @property
    def seed(self) -> int:
        request: EditRequest = self.job.request
        return request.seed if self.photo is not None else request.seed + (self.job.index or 0)


def prepare(studio: Studio, job: Job) -> Prepared:
    """An edit for each photo, or for each of the request's seeds. A result's detail is its `EditPictures`.

    Raises: BlipdiffError for what the model cannot do.
    """
    request: EditRequest = job.request
    given = job.given("subject")
    subject = studio.subject_of(given, fit=request.fit) if given else None
    encoded = encode_edit(studio.model, request, subject)
    details = studio.details(request, given)
    kept = replace(job, inputs={} if subject is None else {"subject": details.kept(subject)})
    notices = [*details.notices, *encoded.warnings]
    masks = job.given("mask")
    if masks:
        told = mask_input(masks[0].image)
        kept = replace(kept, inputs={**kept.inputs, "mask": (told,)})
        notices += [_LARGE] if told.content is None else []
    check_index(job.index, len(job.given("source")) or request.count)
    photos = [one for place, one in enumerate(job.given("source")) if job.index in (None, place)]
    sources = (
        [_of_photo(studio, job, kept, one) for one in photos] if photos else list(_of_seeds(studio, job, kept, masks))
    )
    rehearsed = [_rehearsed(studio, encoded, one, details) for one in (sources if photos else sources[:1])]
    height, width = (side * size_factor(studio.model.vae) for side in rehearsed[0].latents.shape[-2:])
    runs = _INVERTED if photos else len(sources)
    return Prepared(
        (width, height),
        [(plan, runs) for plan in rehearsed],
        lambda: (one for source in sources for one in _rounds(studio, encoded, source, details)),
        len(sources) * (_INVERTED if photos else 1),
        [*notices, *(text for one in sources for text in one.followed.notices)],
    )


def earlier(metadata: Mapping[str, Any]) -> Job:
    """The job of a picture whose metadata are of version 1. Raises: ConfigError for damaged ones."""
    values = dict(metadata["request"])
    for name in ("task", "part"):
        values.pop(name, None)
    masked = "painted" in values
    text, painted, photo, controls, maps = (
        values.pop(name, None) for name in ("subject", "painted", "photo", "controls", "maps")
    )
    inputs = {"map": earlier_controls({"controls": controls, "maps": maps})}
    values |= {"controls": controls or (), "from_prompt": photo is None}
    request = request_from(EditRequest, _OLD_DEFAULTS | values)
    if text is not None:
        inputs["subject"] = (earlier_subject(text, request.subject_category, metadata),)
    if masked:
        inputs["mask"] = (earlier_mask(painted),)
    if photo is None:
        return earlier_job(metadata, Job("edit", request, inputs))
    if not isinstance(photo, Mapping) or not isinstance(photo.get("pixels"), str):
        raise ConfigError("The metadata is damaged: the photo that was edited is not told.")
    inputs["source"] = (Input(None, str(photo.get("name")), pixels=photo["pixels"]),)
    return Job("edit", request, inputs, 0, model=metadata["model"])


def _of_seeds(studio: Studio, job: Job, kept: Job, masks: tuple[Input, ...]) -> Iterator[_Source]:
    followed = studio.nets.followed(job, picture_size(studio.model, job.request))
    kept = _told(kept, followed)
    for index in range(job.request.count):
        if job.index in (None, index):
            yield _Source(replace(kept, index=index), followed, masks[0] if masks else None)


def _of_photo(studio: Studio, job: Job, kept: Job, photo: Input) -> _Source:
    """A photo with the structures that its edit follows at its own size: its own, where none is named."""
    request: EditRequest = job.request
    mask = next(iter(job.given("mask")), None)
    try:
        source = prepare_photo(studio.model, request, photo.image, mask=None if mask is None else mask.image)
    except BlipdiffError as error:
        raise type(error)(f"{photo.word or 'photo'}: {error}") from error
    own = None if job.given("structure") else [photo.image]
    followed = studio.nets.followed(job, work_size(studio.model, request, source.photo.size), own)
    told = Input(None, photo.word or "photo", pixels=pixels_hash(source.photo))
    kept = replace(_told(kept, followed), index=0)
    return _Source(replace(kept, inputs={**kept.inputs, "source": (told,)}), followed, mask, source, told.word)


def _told(kept: Job, followed: Followed) -> Job:
    request = replace(kept.request, controls=followed.controls)
    return replace(kept, request=request, inputs={**kept.inputs, **followed.inputs()})


def _rehearsed(studio: Studio, encoded: EncodedEdit, source: _Source, details: Details) -> SamplingPlan:
    """The plan as if the inversion had run, for what is wrong with it to be told now."""
    way = () if source.photo is None else (source.photo.latents,)
    return _plan(studio, encoded, source, way, details).sampling


def _plan(studio: Studio, encoded: EncodedEdit, source: _Source, way: tuple[Tensor, ...], details: Details) -> EditPlan:
    controls = source.followed.branches
    if source.photo is not None:
        return plan_edit(studio.model, encoded, Inversion(source.photo, way), controls=controls, details=details)
    mask = None if source.mask is None else source.mask.image
    return plan_edit(studio.model, encoded, source.seed, mask=mask, controls=controls, details=details)


def _rounds(studio: Studio, encoded: EncodedEdit, source: _Source, details: Details) -> Iterator[Round]:
    """The inversion of a photo, and the edit."""
    way: list[Tensor] = []
    if source.photo is not None:
        way.append(source.photo.latents)
        steps = invert_photo(
            studio.model, encoded.request, encoded.positive, source.photo, controls=source.followed.branches
        )
        yield Round(_kept(steps, way), (source.seed,), shows=False)
    plan = _plan(studio, encoded, source, tuple(way), details)
    yield Round(
        execute(studio.model.unet, plan.sampling),
        (source.seed,) * 2,
        lambda latents: _finished(studio, encoded.request, plan, latents, source),
    )


def _kept(steps: Iterator[Step], way: list[Tensor]) -> Iterator[Step]:
    for step in steps:
        way.append(step.latents)
        yield step


def _finished(
    studio: Studio, request: EditRequest, plan: EditPlan, latents: Tensor, source: _Source
) -> Iterator[Notice | Result]:
    if _misses(plan, latents):
        yield Notice(_MISSED)
    is_photo = source.photo is not None
    keeps = request.keeps_background(photo=is_photo)
    pictures = edit_pictures(studio.model, plan, latents, photo=source.photo, keep_background=keeps)
    after = studio.picture(pictures.after, source.seed, source.job)
    if is_photo:
        after = replace(after, source_type=EDITED_PHOTO_TYPE)
    swapped = short_name(f"{request.source}-to-{request.target or request.source}")
    ending = short_name(source.name) if is_photo else request.named(source.seed)
    beside = _beside(after, pictures, is_photo=is_photo)
    facts = {"source": source.name if is_photo else None}
    yield Result(after, f"{swapped}-{ending}", beside=beside, detail=pictures, facts=facts)


def _beside(after: Picture, pictures: EditPictures, *, is_photo: bool) -> dict[str, Picture]:
    """What is saved beside the edited picture, by what it is."""
    before_type = None if is_photo else after.source_type  # nothing in a photo is generated
    found = {"before": replace(after, image=pictures.before, part="before", source_type=before_type)}
    if pictures.mask is not None:
        found["mask"] = replace(after, image=pictures.mask, part="mask", source_type=None)
    sheet = map_sheet(pictures.after, pictures.target_maps)
    return found | {"maps": replace(after, image=sheet, part="maps")}


def _misses(plan: EditPlan, latents: Tensor) -> bool:
    """Whether the words' place lies outside of the painted mask, and so nothing was edited."""
    blend = plan.blend
    if blend is None or blend.painted is None or blend.words is None or blend.use != "within":
        return False
    return float(blend.mask((latents.shape[-2], latents.shape[-1])).max()) < _LEAST_EDITED
