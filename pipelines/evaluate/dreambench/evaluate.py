"""`blipdiff evaluate dreambench`: drawn, scored and reported, whatever of it is there already."""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from blipdiff.errors import ConfigError
from blipdiff.evaluation.dreambench.benchmark import PUBLISHED_PICTURES, Benchmark, BenchPicture
from blipdiff.evaluation.dreambench.encoders import Encoders
from blipdiff.evaluation.dreambench.page import BenchReport
from blipdiff.evaluation.dreambench.scores import Scored, by_subject, compared, figures_of, real_figures
from blipdiff.evaluation.page import Shown
from blipdiff.images import fitted, open_picture
from pipelines.evaluate.dreambench.drawing import Begun, Shard, draw_missing
from pipelines.evaluate.dreambench.judging import Judge, judged
from pipelines.evaluate.dreambench.run_folder import RunFolder
from pipelines.evaluate.dreambench.scoring import score
from pipelines.evaluate.requests import DreamBenchRequest, EvaluationProgress
from pipelines.handing import HandOut
from pipelines.metadata import library_versions
from pipelines.studio import Studio

_SIDE = 128  # pixels of a picture in the report

Event: TypeAlias = EvaluationProgress | BenchReport


def begin(studio: Studio, benchmark: Benchmark, place: Path, request: DreamBenchRequest) -> Begun:
    """The run in a folder, begun or gone on with. Raises: ConfigError where it is one of other settings."""
    model = studio.model
    guidance, detail = model.scale(request.guidance), model.detail(request.detail)
    request = replace(_resolved(benchmark, request), guidance=guidance, detail=detail)
    return Begun(studio, RunFolder.begin(place, benchmark, studio.model, request), request)


def draw_benchmark(
    studio: Studio | HandOut,
    benchmark: Benchmark,
    place: Path,
    request: DreamBenchRequest | None = None,
    *,
    shard: Shard | None = None,
    limit: int | None = None,
) -> Iterator[EvaluationProgress]:
    """Draws into the folder `place` what is not there yet.

    studio: the one that draws, or what hands out units to workers that have begun the run (`begin`); shard: the part
    of this process, where several share the work; limit: only the first so many of all pictures

    Raises: ConfigError where the folder holds a run of other settings, OutputError where it cannot be written.
    """
    request = _resolved(benchmark, request or DreamBenchRequest())
    drawing = begin(studio, benchmark, place, request) if isinstance(studio, Studio) else studio
    yield from draw_missing(drawing, benchmark, place, request, shard=shard, limit=limit)


def report_benchmark(
    encoders: Encoders,
    benchmark: Benchmark,
    place: Path,
    *,
    against: Path | None = None,
    judge: Judge | None = None,
    shown: int = 6,
) -> Iterator[Event]:
    """Progress first, the report of the pictures that are there last, which is then also in the folder.

    against: another run's folder, compared picture by picture; judge: asked for marks as well; shown: pictures of each
    subject on the page

    Raises: ConfigError for a folder without a run or without pictures, or one of other photos or prompts.
    """
    folder = RunFolder.read(place)
    pictures = _planned(benchmark, folder)
    found = yield from score(encoders, benchmark, folder, pictures)
    if not found.pictures:
        raise ConfigError(f"There are no pictures in {place} yet; draw some first.")
    scored: Sequence[Scored] = found.pictures
    if judge is not None:
        scored = yield from judged(judge, folder, pictures, scored)
    comparison = () if against is None else tuple(compared(scored, (yield from _other(encoders, benchmark, against))))
    report = BenchReport(
        about=_about(folder, encoders, benchmark),
        planned=len(pictures),
        drawn=len(scored),
        lines=(*figures_of(scored), *real_figures(found.real)),
        subjects=by_subject(scored),
        rows=_rows(benchmark, folder, pictures, shown),
        against="" if against is None else against.name,
        comparison=comparison,
    )
    report.write(place)
    yield report


def _other(
    encoders: Encoders, benchmark: Benchmark, against: Path
) -> Generator[EvaluationProgress, None, tuple[Scored, ...]]:
    other = RunFolder.read(against)
    return (yield from score(encoders, benchmark, other, _planned(benchmark, other))).pictures


def _planned(benchmark: Benchmark, folder: RunFolder) -> list[BenchPicture]:
    if (folder.settings.get("benchmark"), folder.settings.get("data")) != (benchmark.name, benchmark.fingerprint()):
        raise ConfigError(
            f"{folder.place} holds a run on {folder.settings.get('benchmark')} of other photos or prompts than these; "
            "give the copy that it was drawn from."
        )
    return benchmark.pictures(int(folder.settings["request"]["pictures"]))


def _resolved(benchmark: Benchmark, request: DreamBenchRequest) -> DreamBenchRequest:
    """With as many pictures as were published where none are said, as the run's settings tell them."""
    return replace(request, pictures=request.pictures or PUBLISHED_PICTURES[benchmark.name])


def _about(folder: RunFolder, encoders: Encoders, benchmark: Benchmark) -> dict[str, Any]:
    plain = {name: value for name, value in folder.settings.items() if name not in ("request", "version")}
    told = {"DINO": encoders.dino.key, "CLIP": encoders.clip.key, "resize of DINO": encoders.dino.resize}
    missing = {"missing photos": ", ".join(benchmark.missing) or "none", "subjects": len(benchmark.subjects)}
    return {**plain, **folder.settings["request"], **told, **missing, **library_versions()}


def _rows(
    benchmark: Benchmark, folder: RunFolder, pictures: Sequence[BenchPicture], most: int
) -> tuple[tuple[Shown, ...], ...]:
    """Each subject's first photo and `most` pictures, spread over its prompts."""
    rows = []
    for subject in benchmark.subjects:
        own = [one for one in pictures if one.subject is subject and folder.picture(one).is_file()]
        firsts = [one for one in own if one.place == 0]
        firsts = own if len(firsts) < most else firsts
        picked = [firsts[round(place)] for place in np.linspace(0, len(firsts) - 1, min(most, len(firsts)))]
        shown = [Shown(_small(folder.picture(one)), one.caption) for one in picked]
        rows.append((Shown(_small(subject.photos[0]), f"{subject.name}: {subject.category}"), *shown))
    return tuple(rows)


def _small(path: Path) -> Any:
    return np.asarray(fitted(open_picture(path), (_SIDE, _SIDE), "pad"))
