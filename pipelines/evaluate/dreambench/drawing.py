"""A benchmark's pictures are drawn, those alone that are not there; several processes may share them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from blipdiff.conditioning.subject import SubjectPhoto
from blipdiff.errors import ConfigError
from blipdiff.evaluation.dreambench.benchmark import PUBLISHED_PICTURES, Benchmark, BenchPicture
from blipdiff.images import open_picture
from pipelines.evaluate.dreambench.run_folder import RunFolder, given_photos
from pipelines.evaluate.requests import DreamBenchRequest, EvaluationProgress
from pipelines.generate.request import GenerateRequest
from pipelines.handing import HandOut
from pipelines.job import Job, run
from pipelines.pictures import save_picture
from pipelines.studio import Studio
from pipelines.task import Result

DRAWING = "drawing"


@dataclass(frozen=True, slots=True)
class Shard:
    """The part of a run that one process draws: the `number`-th of `count`, from 1."""

    number: int = 1
    count: int = 1

    @classmethod
    def of(cls, text: str) -> "Shard":
        """From "2/8". Raises: ConfigError for another text."""
        number, _, count = text.partition("/")
        if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count) <= 10_000):
            raise ConfigError(f"The shard is '{text}'; write the second of eight as 2/8.")
        return cls(int(number), int(count))


def units(benchmark: Benchmark, request: DreamBenchRequest) -> list[tuple[BenchPicture, ...]]:
    """The pictures that are drawn in one batch: of one prompt and one photo. A picture comes out only with its unit."""
    pictures = benchmark.pictures(request.pictures or PUBLISHED_PICTURES[benchmark.name])
    if request.condition == "each":
        return [(one,) for one in pictures]
    groups = groupby(pictures, key=lambda one: (one.subject.name, one.prompt))
    return [tuple(group) for _, group in groups]


@dataclass(frozen=True, slots=True)
class Begun:
    """A run that a studio has begun or goes on with: its folder, and what is asked for, the model's values in it."""

    studio: Studio
    folder: RunFolder
    request: DreamBenchRequest


def draw_missing(
    drawing: Begun | HandOut,
    benchmark: Benchmark,
    place: Path,
    request: DreamBenchRequest,
    *,
    shard: Shard | None = None,
    limit: int | None = None,
) -> Iterator[EvaluationProgress]:
    """Draws what is not there, each picture saved as it is done; progress counts those that are there.

    drawing: the run that was begun in the folder `place`, or what has units drawn by workers that begin it; shard: of
    several processes', by units in turn; limit: the first so many pictures of the plan alone

    Raises: OutputError where a picture cannot be written, BlipdiffError for what the model cannot do.
    """
    shard, folder = shard or Shard(), RunFolder(place, {})
    planned = _first(units(benchmark, request), limit)[shard.number - 1 :: shard.count]
    total = sum(len(unit) for unit in planned)
    done = sum(folder.picture(one).is_file() for unit in planned for one in unit)
    yield EvaluationProgress(DRAWING, done, total)
    missing = [unit for unit in planned if not all(folder.picture(one).is_file() for one in unit)]
    if isinstance(drawing, Begun):
        ends: Iterator[int] = (one for unit in missing for one in _drawn(drawing, unit))
    else:
        ends = drawing(missing, _draw_unit)
    for drawn in ends:
        done += drawn
        yield EvaluationProgress(DRAWING, done, total)


def _draw_unit(begun: Begun, unit: Sequence[BenchPicture]) -> int:
    """Draws what is not there of a unit; gives how many pictures that were."""
    return sum(_drawn(begun, unit))


def _drawn(begun: Begun, unit: Sequence[BenchPicture]) -> Iterator[int]:
    """One for each picture of a unit that was not there, when it is."""
    missing = {one.place: one for one in unit if not begun.folder.picture(one).is_file()}
    if not missing:
        return
    for event in run(begun.studio, _job(unit, begun.request)):
        if isinstance(event, Result) and unit[event.picture.index].place in missing:
            save_picture(event.picture, begun.folder.picture(unit[event.picture.index]))
            yield 1


def _first(found: Sequence[tuple[BenchPicture, ...]], limit: int | None) -> list[tuple[BenchPicture, ...]]:
    """Whole units up to so many pictures."""
    kept, count = list[tuple[BenchPicture, ...]](), 0
    for unit in found:
        if limit is not None and count >= limit:
            break
        kept.append(unit)
        count += len(unit)
    return kept


def _job(unit: Sequence[BenchPicture], request: DreamBenchRequest) -> Job:
    first = unit[0]
    subject, asked = first.subject, first.subject.prompts[first.prompt]
    places = given_photos(request.condition, len(subject.photos), first.place)
    generate = GenerateRequest(
        category=subject.category,
        prompt=asked.prompt,
        target=asked.target,
        weighting="off",
        count=len(unit),
        batch=len(unit),
        seed=request.seed + first.number,
        steps=request.steps,
        guidance=request.guidance,
        scheduler=request.scheduler,
        negative=request.negative,
        repeats=request.repeats,
        fit=request.fit,
        detail=request.detail,
        detail_sites=request.detail_sites,
    )
    photos = [SubjectPhoto(open_picture(subject.photos[place]), subject.category) for place in places]
    return Job.of(generate, subject=photos)
