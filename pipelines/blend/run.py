"""Blend, from a job to what can be drawn: one picture, a path whose frames find their places as it is drawn, a map."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from torch import Tensor

from blipdiff.conditioning.mixing import EXTRAPOLATION_KEY
from blipdiff.conditioning.paths import Shares, even_positions, positions_between
from blipdiff.distances import neighbour_distances
from blipdiff.errors import ConfigError, MissingDependencyError
from blipdiff.filenames import short_name
from blipdiff.images import to_pictures
from blipdiff.latents import decode_latents
from pipelines.batches import Prepared, Round, check_index
from pipelines.blend.plan import EncodedBlend, Spot, encode_blend, label_of, on_path, plan_blend, spot_batches, spots_of
from pipelines.blend.request import BlendRequest
from pipelines.controls.details import Details
from pipelines.inputs import card_input
from pipelines.job import Job
from pipelines.metadata import earlier_subject
from pipelines.parameters import request_from
from pipelines.pictures import Picture
from pipelines.plan import execute, picture_size
from pipelines.sheets import labelled_grid, mp4_encoder, save_animation
from pipelines.studio import Studio
from pipelines.task import Result, Sheet

_FIRST_ROUND = 3  # one in so many of a path's inner frames is placed evenly, the others by what those show
_FALLBACK = "webp"
_ACROSS = 9  # pictures in a row of a path's grid
_TOLD = ("category", "categories", "shares", "subject", "subjects", "company", "position", "extrapolated_by")


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """Where a result stands: its detail."""

    shares: Shares
    position: float | None  # along a path: 0 at the first subject, 1 at the second
    row: int
    column: int
    distance: float | None = None  # mean delta-E in Lab to the next frame of a path


@dataclass(slots=True, eq=False)
class _Drawn:
    """A blend being drawn: its pictures by their spots."""

    studio: Studio
    job: Job  # as pictures keep it
    encoded: EncodedBlend
    details: Details
    pictures: dict[Spot, Picture] = field(default_factory=dict)
    distances: list[float] = field(default_factory=list)  # of a path's neighbours

    def rounds(self, spots: Sequence[Spot]) -> Iterator[Round]:
        """A picture of one subject alone is drawn alone, which makes it the picture that generating that subject with
        this seed gives, bit for bit; the others are drawn in batches."""
        for places in spot_batches(spots, self.encoded.request.batch):
            batch = [spots[place] for place in places]
            plan, subjects = plan_blend(self.studio.model, self.encoded, batch, self.details)

            def finish(
                latents: Tensor, batch: list[Spot] = batch, subjects: list[Any] = subjects
            ) -> tuple[Result, ...]:
                images = to_pictures(decode_latents(self.studio.model.vae, latents))
                for spot, image, subject in zip(batch, images, subjects, strict=True):
                    detail = {
                        "batch": [[list(one.shares), one.position] for one in batch],
                        "spot": [list(spot.shares), spot.position],
                        "subject": self.encoded.request.target or subject.category,
                    }
                    if EXTRAPOLATION_KEY in (subject.provenance or {}):
                        detail["extrapolation"] = float((subject.provenance or {})[EXTRAPOLATION_KEY])
                    job = replace(self.job, index=len(self.pictures), detail=detail)
                    self.pictures[spot] = self.studio.picture(image, self.encoded.request.seed, job)
                return ()

            yield Round(execute(self.studio.model.unet, plan), (self.encoded.request.seed,) * len(batch), finish)

    def path(self, wanted: list[float], rounds: Sequence[int]) -> Iterator[Round]:
        """A path's frames. With perceptual spacing each round goes where the frames so far differ most.

        No frame is drawn only to measure: the measured ones are the path's own, so that the spacing costs nothing.
        """
        count = len(self.encoded.subjects)
        drawn: list[float] = []
        for size in [*rounds[1:], 0]:
            yield from self.rounds([on_path(position, count) for position in wanted])
            drawn = sorted([*drawn, *wanted])
            images = [self.pictures[on_path(place, count)].image for place in drawn]
            self.distances = list(neighbour_distances(images))
            wanted = positions_between(drawn, self.distances, size)


def prepare(studio: Studio, job: Job) -> Prepared:
    """The blend's pictures in reading order, each with a `Frame` as its detail, then its grid and its film.

    Each subject, and each picture's words, are encoded once.

    Raises: BlipdiffError for what cannot be blended.
    """
    model, request = studio.model, job.request
    given = job.given("subject")
    subjects = studio.subjects([one.reference for one in given], fit=request.fit)
    encoded = encode_blend(model, request, subjects)
    details = studio.details(request, given)
    kept = replace(job, inputs={"subject": details.inputs or tuple(map(card_input, subjects))})
    drawn = _Drawn(studio, kept, encoded, details)
    one, _ = plan_blend(model, encoded, [_middle(len(subjects))], details)
    check_index(job.index, _count(request, len(subjects)))
    if job.index is not None:
        batch, wanted = _batch(job.detail, len(subjects))
        rounds, pictures = partial(drawn.rounds, batch), len(batch)
        count = len(spot_batches(batch, request.batch))
        rows = [[wanted]]
    elif request.shape == "path":
        wanted_positions, sizes = _path_rounds(request, len(subjects))
        rounds, pictures, rows = partial(drawn.path, wanted_positions, sizes), request.frames, []
        first = [on_path(position, len(subjects)) for position in wanted_positions]
        count = len(spot_batches(first, request.batch)) + sum(-(-size // request.batch) for size in sizes[1:])
    else:
        weights = [weight for weight in (each.weight for each in given) if weight is not None]
        rows = [list(row) for row in spots_of(request, len(subjects), weights or None)]
        flat = [spot for row in rows for spot in row]
        rounds, count, pictures = partial(drawn.rounds, flat), len(spot_batches(flat, request.batch)), len(flat)
    kinds, notices = _films(request)
    return Prepared(
        picture_size(model, request),
        [(one, pictures)],
        rounds,
        count,
        (*notices, *details.notices, *encoded.warnings),
        last=lambda _results: _finished(drawn, rows, kinds, job),
    )


def earlier(metadata: Mapping[str, Any]) -> Job:
    """The job of a picture whose metadata are of version 1. Raises: ConfigError for damaged ones."""
    values = dict(metadata["request"])
    values.pop("task", None)
    told = {name: values.pop(name, None) for name in _TOLD}
    request = request_from(BlendRequest, values)
    if not all(isinstance(told[name], list) for name in ("categories", "subjects", "company", "shares")):
        raise ConfigError("The metadata lacks the blend's subjects, or is damaged; the frame cannot be repeated.")
    subjects = tuple(
        earlier_subject(text, str(category), metadata)
        for text, category in zip(told["subjects"], told["categories"], strict=False)
    )
    detail = {"batch": told["company"], "spot": [told["shares"], told["position"]]}
    _batch(detail, len(subjects))
    return Job("blend", request, {"subject": subjects}, metadata["index"], detail, metadata["model"])


def _count(request: BlendRequest, subjects: int) -> int:
    """How many pictures the whole blend has."""
    return request.frames if request.shape == "path" else sum(map(len, spots_of(request, subjects, None)))


def _middle(subjects: int) -> Spot:
    return Spot((1.0 / subjects,) * subjects)


def _path_rounds(request: BlendRequest, subjects: int) -> tuple[list[float], list[int]]:
    """The positions that are drawn first, and how many frames each round adds; the first round's are among those."""
    positions = even_positions(request.frames, subjects, request.extrapolation)
    inner, ends = list(positions[1:-1]), [positions[0], positions[-1]]
    rounds = [len(inner)]
    if request.spacing == "perceptual" and len(inner) > 1:
        first = -(-len(inner) // _FIRST_ROUND)
        inner = list(even_positions(first + 2, subjects, request.extrapolation)[1:-1])
        rest = request.frames - 2 - first
        rounds = [first, *(min(request.batch, rest - done) for done in range(0, rest, request.batch))]
    return [*ends, *inner], rounds


def _finished(drawn: _Drawn, rows: list[list[Spot]], kinds: Sequence[str], job: Job) -> Iterator[Result | Sheet]:
    request, subjects = drawn.encoded.request, drawn.encoded.subjects
    if not rows:
        rows = [sorted(drawn.pictures, key=lambda spot: spot.position or 0.0)]
    name = f"{short_name('-'.join(dict.fromkeys(one.category for one in subjects)))}-{request.seed}"
    count, results = _count(request, len(subjects)), list[Result]()
    for row, spots in enumerate(rows):
        for column, spot in enumerate(spots):
            index = len(results) if job.index is None else job.index
            picture = drawn.pictures[spot]
            picture = replace(picture, job={**picture.job, "index": index})
            distance = drawn.distances[column] if column < len(drawn.distances) and job.index is None else None
            frame = Frame(spot.shares, spot.position, row, column, distance)
            number = f"-{index + 1:0{len(str(count))}}" if count > 1 else ""
            facts = {"shares": list(spot.shares), "position": spot.position, "distance": distance}
            label = label_of(subjects, spot.shares)
            results.append(Result(picture, name + number, label, detail=frame, facts=facts))
    yield from results
    if count > 1 and job.index is None:
        yield from _sheets(results, rows, name, kinds, request)


def _sheets(
    results: Sequence[Result], rows: Sequence[Sequence[Spot]], name: str, kinds: Sequence[str], request: BlendRequest
) -> Iterable[Sheet]:
    shown = iter((one.picture.image, one.label) for one in results)
    grid = labelled_grid([[next(shown) for _ in row] for row in rows], across=_ACROSS if len(rows) == 1 else None)
    yield Sheet("grid", f"{name}-grid", ".png", lambda part: grid.save(part, format="PNG"))
    images = [one.picture.image for one in results]
    for kind in kinds:
        film = partial(save_animation, images, per_second=request.per_second, loop=request.loop)
        yield Sheet("film", name, f".{kind}", film)


def _films(request: BlendRequest) -> tuple[list[str], list[str]]:
    """The kinds of film to write; an MP4 that nothing here can encode becomes a WebP, with a word about it."""
    kinds, notices = [], []
    for kind in request.film_kinds:
        try:
            if kind == "mp4":
                mp4_encoder()
            kinds.append(kind)
        except MissingDependencyError as missing:
            notices.append(f"{missing} The film is written as .{_FALLBACK} instead.")
            kinds.append(_FALLBACK)
    return list(dict.fromkeys(kinds)), notices


def _batch(detail: Mapping[str, Any], subjects: int) -> tuple[list[Spot], Spot]:
    """The spots that were drawn together, and the one that is wanted. Raises: ConfigError for damaged metadata."""
    told = detail.get("batch")
    if not isinstance(told, list):
        raise ConfigError("The metadata lacks the blend's subjects, or is damaged; the frame cannot be repeated.")
    batch = [_spot_from(one, subjects) for one in told]
    wanted = _spot_from(detail.get("spot"), subjects)
    if wanted not in batch:
        raise ConfigError("The metadata is damaged: the frame is not among those that were drawn with it.")
    return batch, wanted


def _spot_from(told: Any, subjects: int) -> Spot:
    """What a frame's metadata tell of a spot: shares and position."""
    try:
        shares, position = told
        if position is not None and subjects < 2:
            raise ConfigError(f"The metadata is damaged: the frame lies on a path, which has {subjects} subjects.")
        spot = Spot(tuple(map(float, shares))) if position is None else on_path(float(position), subjects)
    except (TypeError, ValueError, ArithmeticError) as error:  # numbers may be beyond any
        raise ConfigError("The metadata is damaged: the frame's shares cannot be read.") from error
    if len(spot.shares) != subjects:
        raise ConfigError(f"The metadata is damaged: {subjects} subjects have {len(spot.shares)} shares.")
    return spot
