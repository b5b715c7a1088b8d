"""Run edits: sources, one after the other, become pictures before and after; or one again, from its metadata."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeAlias

from PIL import Image
from torch import Tensor

from blipdiff.conditioning.subject import SubjectEmbedding
from blipdiff.errors import BlipdiffError, ConfigError
from blipdiff.given_pictures import PictureLike
from blipdiff.images import as_rgb
from blipdiff.latents import size_factor
from blipdiff.sampling.loop import Step
from pipelines.composite import EditPictures, edit_pictures
from pipelines.controlled import Followed
from pipelines.edit import EditPlan, EncodedEdit, encode_edit, plan_edit
from pipelines.edit_request import BY_FRACTIONS, EditRequest
from pipelines.invert import Inversion, PhotoSource, invert_photo, prepare_photo
from pipelines.masks import mask_again, told_mask
from pipelines.nets import untold_nets
from pipelines.plan import SamplingPlan, execute
from pipelines.previews import preview_pictures
from pipelines.requests import request_from
from pipelines.results import EDITED_PHOTO_TYPE, Picture
from pipelines.studio import Notice, Progress, Studio, subject_from, subject_text
from pipelines.stylize_request import settings_from

TASK = "edit"  # in the metadata's request; a generated picture's request names no task
# what requests that do not name these were drawn with
_OLD_DEFAULTS = {"mask_use": "joined", "keep_background": False, "counting": BY_FRACTIONS}


@dataclass(frozen=True, slots=True, eq=False)
class SourcePhoto:
    """A photo to be edited, the name by which its results are called, and the structures that its edit follows."""

    image: Image.Image
    name: str = "photo"
    followed: Followed | None = None  # instead of the run's own, at the photo's own working size


@dataclass(frozen=True, slots=True, eq=False)
class Edited:
    """One edit that is done. `after` carries everything needed to repeat it; `name` tells a photo's."""

    after: Picture
    pictures: EditPictures
    name: str | None = None


_LEAST_EDITED = 0.05  # of a mask's highest value
_MISSED = (
    "Nothing was edited: what is swapped was seen outside of the painted mask. With its use 'alone' the whole mask is "
    "edited."
)

EditEvent: TypeAlias = Progress | Notice | Edited


_INVERTED = 2  # runs that an edited photo costs: about as much for the inversion as for the edit


@dataclass(frozen=True, slots=True, eq=False)
class _Start:
    """One source of the run: a seed, or a photo that is ready to be inverted."""

    seed: int
    index: int
    followed: Followed
    photo: PhotoSource | None = None
    name: str | None = None


def run_edit(
    studio: Studio,
    request: EditRequest,
    subject: SubjectEmbedding | None = None,
    photos: Sequence[SourcePhoto] = (),
    *,
    mask: PictureLike | None = None,
    followed: Followed | None = None,
    preview_every: int = 0,
) -> Iterator[EditEvent]:
    """The request's notices, its progress, and each edit as it is finished; closing stops it.

    Without photos, a generated picture for each of the request's seeds is edited. Everything that can be wrong is
    found before the first step.

    mask: of the sources' size, white where the edit may happen; followed: structures at the pictures' working size

    Raises: BlipdiffError for what the model cannot do.
    """
    if photos and request.count > 1:
        raise ConfigError(f"{request.count} pictures were asked for; a photo has no seeds, and is edited once.")
    encoded = encode_edit(studio.model, request, subject)
    followed = followed or Followed()
    starts = (
        [_photo_start(studio, request, photo, mask, place, followed) for place, photo in enumerate(photos)]
        if photos
        else [_Start(seed, place, followed) for place, seed in enumerate(request.seeds())]
    )
    rehearsed = [_rehearse(studio, encoded, start, mask) for start in (starts if photos else starts[:1])]
    yield from (Notice(text) for text in encoded.warnings)
    runs = _INVERTED if photos else len(starts)
    for plan in rehearsed:
        height, width = (side * size_factor(studio.model.vae) for side in plan.latents.shape[-2:])
        yield from studio.size_notices((width, height), [(plan, runs)])
    kept = asdict(encoded.request) | {"task": TASK, "subject": None if subject is None else subject_text(subject)}
    if mask is not None:
        kept["painted"] = told_mask(mask)
        if not isinstance(kept["painted"], str):
            yield Notice("The painted mask is too large for the metadata; to run this edit again, give the mask again.")
    for start in starts:
        yield from _edit(studio, encoded, start, kept, mask, preview_every, len(starts))


def repeat_edit(
    studio: Studio,
    metadata: Mapping[str, Any],
    photos: Sequence[SourcePhoto] = (),
    *,
    mask: PictureLike | None = None,
    followed: Followed | None = None,
) -> Iterator[EditEvent]:
    """The edit that this metadata came with, run again; a photo, which the metadata do not keep, is given again.

    followed: what the metadata tell of, from `restored_structures`

    Raises: ConfigError when another model or another task made it, or the photo is missing or another one.
    """
    yield from studio.check_maker(metadata)
    values = dict(metadata["request"])
    if values.pop("task", None) != TASK:
        raise ConfigError("The picture was not made by an edit; repeat it with the command that made it.")
    masked = "painted" in values
    text, painted, photo = (values.pop(name, None) for name in ("subject", "painted", "photo"))
    values.pop("part", None)
    told = [values.pop(name, None) for name in ("controls", "maps")]
    if told[0] and (followed is None or not followed.branches):
        raise ConfigError("The edit followed structures; give their control branches to repeat it.")
    request = request_from(EditRequest, _OLD_DEFAULTS | values)
    subject = None if text is None else subject_from(text, request.subject_category, studio.model.subject_fingerprint)
    if photo is None:
        if photos:
            raise ConfigError("The picture's source was generated, not a photo; leave the photo out.")
        request = replace(request, seed=metadata["seed"], count=1)
    else:
        _check_photo(photo, photos)
    mask = mask_again(painted, mask) if masked else mask
    yield from untold_nets(settings_from(told[0] or ()))
    yield from run_edit(studio, request, subject, photos, mask=mask, followed=followed)


def parts_of(edited: Edited) -> dict[str, Picture]:
    """What is saved beside the edited picture, by what it is: "before", and "mask" where there is one."""
    after, pictures = edited.after, edited.pictures
    before_type = None if edited.name is not None else after.source_type  # nothing in a photo is generated
    found = {"before": _part(after, "before", pictures.before, before_type)}
    if pictures.mask is not None:
        found["mask"] = _part(after, "mask", pictures.mask, None)
    return found


def _part(after: Picture, name: str, image: Image.Image, source_type: str | None) -> Picture:
    return replace(after, image=image, request={**after.request, "part": name}, source_type=source_type)


def _photo_start(
    studio: Studio, request: EditRequest, photo: SourcePhoto, mask: PictureLike | None, place: int, followed: Followed
) -> _Start:
    try:
        source = prepare_photo(studio.model, request, photo.image, mask=mask)
    except BlipdiffError as error:
        raise type(error)(f"{photo.name}: {error}") from error
    return _Start(request.seed, place, photo.followed or followed, source, photo.name)


def _rehearse(studio: Studio, encoded: EncodedEdit, start: _Start, mask: PictureLike | None) -> SamplingPlan:
    """Makes the plan as if the inversion had run, for what is wrong with it to be told now."""
    controls = start.followed.branches
    if start.photo is None:
        return plan_edit(studio.model, encoded, start.seed, mask=mask, controls=controls).sampling
    inverted = Inversion(start.photo, (start.photo.latents,))
    return plan_edit(studio.model, encoded, inverted, controls=controls).sampling


def _edit(
    studio: Studio,
    encoded: EncodedEdit,
    start: _Start,
    kept: Mapping[str, Any],
    mask: PictureLike | None,
    preview_every: int,
    sources: int,
) -> Iterator[EditEvent]:
    model, request, controls = studio.model, encoded.request, start.followed.branches
    runs = 1 if start.photo is None else 2
    tell = _Teller(studio, start.seed, start.index * runs, sources * runs, preview_every)
    if start.photo is None:
        plan = plan_edit(model, encoded, start.seed, mask=mask, controls=controls)
    else:
        way = [start.photo.latents]
        for step in studio.in_turns(invert_photo(model, request, encoded.positive, start.photo, controls=controls)):
            way.append(step.latents)
            yield tell.of(step, shows=False)
        plan = plan_edit(model, encoded, Inversion(start.photo, tuple(way)), controls=controls)
        tell = replace(tell, run=tell.run + 1)
    latents = plan.sampling.latents
    for step in studio.in_turns(execute(model.unet, plan.sampling)):
        latents = step.latents
        yield tell.of(step)
    if _misses(plan, latents):
        yield Notice(_MISSED)
    yield _finished(studio, plan, latents, start, kept, request)


def _misses(plan: EditPlan, latents: Tensor) -> bool:
    """Whether the words' place lies outside of the painted mask, and so nothing was edited."""
    blend = plan.blend
    if blend is None or blend.painted is None or blend.words is None or blend.use != "within":
        return False
    return float(blend.mask((latents.shape[-2], latents.shape[-1])).max()) < _LEAST_EDITED


@dataclass(frozen=True, slots=True)
class _Teller:
    """Makes progress of steps: this is run number `run` of `runs`, all of the same length."""

    studio: Studio
    seed: int
    run: int
    runs: int
    preview_every: int

    def of(self, step: Step, *, shows: bool = True) -> Progress:
        due = shows and self.preview_every > 0 and (step.index + 1) % self.preview_every == 0
        previews: list[Image.Image] = []
        if due and step.clean is not None:
            with self.studio.computing():
                previews = preview_pictures(self.studio.model.vae, step.clean)
        return Progress(
            self.run * step.count + step.index + 1,
            self.runs * step.count,
            (self.seed,) * max(len(previews), 1),
            tuple(previews),
        )


def _finished(
    studio: Studio, plan: EditPlan, latents: Tensor, start: _Start, kept: Mapping[str, Any], request: EditRequest
) -> Edited:
    keeps = request.keeps_background(photo=start.photo is not None)
    with studio.computing():
        pictures = edit_pictures(studio.model, plan, latents, photo=start.photo, keep_background=keeps)
    values = {**kept, **start.followed.told}
    if start.photo is not None:
        values["photo"] = {"name": start.name, "pixels": pixels_hash(start.photo.photo)}
    after = studio.picture(pictures.after, start.seed, start.index, values)
    if start.photo is not None:
        after = replace(after, source_type=EDITED_PHOTO_TYPE)
    return Edited(after, pictures, start.name)


def pixels_hash(picture: PictureLike) -> str:
    """What tells whether two pictures have the same pixels, whatever their files."""
    rgb = as_rgb(picture)
    return hashlib.sha256(repr(rgb.size).encode() + rgb.tobytes()).hexdigest()


def _check_photo(made_of: Any, photos: Sequence[SourcePhoto]) -> None:
    name, pixels = (made_of.get(key) if isinstance(made_of, dict) else None for key in ("name", "pixels"))
    if len(photos) != 1:
        raise ConfigError(f"The picture was made of the photo {name}, which is not in its metadata; give that one too.")
    if pixels_hash(photos[0].image) != pixels:
        raise ConfigError(
            f"{photos[0].name} is not the photo {name} that the picture was made of: its pixels differ. Or that was "
            "edited by an earlier version, which left out a photo's colour profile."
        )
