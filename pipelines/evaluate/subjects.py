"""Evaluate: pictures of unseen subjects from a model, measured by what it has no part in; and a grid to look at."""

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from PIL import Image

from blipdiff.attention.reference import ReferenceRows
from blipdiff.conditioning.guidance import Guidance, concat
from blipdiff.conditioning.prompt import amplify, build_prompt
from blipdiff.conditioning.subject import SubjectEmbedding, SubjectPhoto
from blipdiff.cut_out import cut_out, reduced
from blipdiff.data.pairs import PairLibrary, Split
from blipdiff.data.records import Pixels
from blipdiff.errors import ConfigError, ImageError
from blipdiff.evaluation.contexts import ContextClassifier, library_key, train_context_classifier
from blipdiff.evaluation.ensemble import Ensemble
from blipdiff.evaluation.protocols import Trial, draw_trials, subject_views
from blipdiff.evaluation.report import Report
from blipdiff.evaluation.sheets import contact_sheet, save_sheet
from blipdiff.evaluation.summary import (
    NO_SUBJECT,
    RIGHT,
    TRUE,
    WRONG,
    Answers,
    collect,
    lines_of,
    most_missed,
    notes_of,
    rows_of,
)
from blipdiff.images import to_pictures
from blipdiff.latents import decode_latents
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.outputs import written_file
from blipdiff.ranges import USUAL_SCHEDULER, USUAL_STEPS
from blipdiff.sampling.cost import own_size
from pipelines.controls.details import Details, states_of
from pipelines.evaluate.hard import hard_lines
from pipelines.evaluate.requests import EvaluateRequest, EvaluationProgress
from pipelines.generate.request import GenerateRequest
from pipelines.metadata import library_versions
from pipelines.plan import EncodedRequest, SamplingPlan, encode, execute, plan_encoded
from pipelines.studio import Studio

CLASSIFIER_FILE = "context-judge.safetensors"


@dataclass(frozen=True, slots=True, eq=False)
class Wanted:
    """One picture to draw; without a photo the words stand alone."""

    photo: Image.Image | None
    category: str
    prompt: str
    seed: int


Event: TypeAlias = EvaluationProgress | Report


def evaluate(
    model: BlipDiffusion | Studio,
    library: PairLibrary,
    out_folder: str | Path,
    request: EvaluateRequest | None = None,
    *,
    classifier_file: Path | None = None,
) -> Iterator[Event]:
    """Draws every trial's prompt with the right photo, a wrong photo and no photo, and has them scored.

    Progress first, the report last, which is then also in `out_folder` as report.json and report.html. The
    classifier of contexts is read from `classifier_file`, by default in `out_folder`, or trained once on the
    library and kept there.

    Raises: ConfigError where the library has too few unseen concepts, OutputError where nothing can be written.
    """
    request, folder, start = request or EvaluateRequest(), Path(out_folder), time.monotonic()
    model = model.model if isinstance(model, Studio) else model
    with written_file(folder / "probe") as part:  # to fail now rather than after an hour
        part.touch()
    (folder / "probe").unlink()
    if request.guidance is None:
        request = replace(request, guidance=model.guidance)  # the report tells it
    trials = _trials(library, request)
    contexts = yield from _context_classifier(library, classifier_file or folder / CLASSIFIER_FILE)
    pictures: dict[str, list[Pixels]] = {TRUE: [trial.pair.target for trial in trials]}
    for column in (RIGHT, WRONG, NO_SUBJECT):
        pictures[column] = yield from _drawn(model, column, [_wanted(trial, column) for trial in trials], request)
    again = [_again(trial, seed) for trial in trials[: request.varied] for seed in range(request.seeds)]
    varied = yield from _drawn(model, "several seeds", again, request)
    groups = [varied[first : first + request.seeds] for first in range(0, len(varied), request.seeds)]
    ensemble = Ensemble.of_library(library)
    answers = yield from _answers(library, trials, pictures, contexts, ensemble)
    found = {"scenes most often missed": most_missed(answers, trials), "seconds": round(time.monotonic() - start)}
    lines = tuple(lines_of(answers, trials, groups))
    if request.hard:
        lines += tuple((yield from hard_lines(model.vae, library, trials, pictures, ensemble, choices=request.choices)))
    headings, rows = rows_of(answers, trials, pictures, request.shown)
    report = Report(_about(model, library, request) | found, lines, notes_of(request.choices), headings, rows)
    report.write(folder)
    yield report


def draw_pictures(
    model: BlipDiffusion,
    wanted: Sequence[Wanted],
    *,
    steps: int,
    guidance: float | None,
    scheduler: str,
    batch: int = 16,
    detail: float = 0.0,
    detail_sites: str = "all",
) -> Iterator[list[Image.Image]]:
    """The pictures in order, a batch at a time, each from its own seed.

    detail: read from each picture's own photo; one in which no subject stands out is not read
    """
    asked = {"steps": steps, "guidance": guidance, "scheduler": scheduler}
    asked |= {"detail": detail, "detail_sites": detail_sites}
    for first in range(0, len(wanted), batch):
        plans = [_plan(model, one, asked) for one in wanted[first : first + batch]]
        plan = side_by_side(plans)
        latents = plan.latents
        for step in execute(model.unet, plan):
            latents = step.latents
        yield to_pictures(decode_latents(model.vae, latents))


def side_by_side(plans: Sequence[SamplingPlan]) -> SamplingPlan:
    """The rows of all plans, which differ only in words, subjects and seeds, as one plan."""
    guides = [plan.guidance for plan in plans]
    against = [guide.negative for guide in guides if guide.negative is not None]
    guidance = Guidance(
        concat([guide.positive for guide in guides]),
        concat(against) if against else None,
        torch.cat([guide.scale for guide in guides]),
        guides[0].window,
    )
    latents = torch.cat([plan.latents for plan in plans])
    generators = [generator for plan in plans for generator in plan.generators or ()]
    reading = [plan.more_keys for plan in plans]
    more = ReferenceRows(reading) if any(one is not None for one in reading) else None  # type: ignore[arg-type]
    first = plans[0]
    return SamplingPlan(
        guidance, latents, first.scheduler, generators=generators, more_keys=more, caching=first.caching
    )


def subject_grid(
    studio: Studio,
    subjects: Sequence[SubjectPhoto],
    prompts: Sequence[str],
    path: str | Path,
    *,
    steps: int = USUAL_STEPS,
    guidance: float | None = None,
    scheduler: str = USUAL_SCHEDULER,
    seed: int = 0,
    side: int = 128,
) -> Path:
    """A PNG to look at: a row for each subject, its photo first, then one picture for each prompt, labelled.

    Every picture starts from the same noise. Raises: OutputError where it cannot be written.
    """
    wanted = [Wanted(one.image, one.category, prompt, seed) for one in subjects for prompt in prompts]
    batches = draw_pictures(studio.model, wanted, steps=steps, guidance=guidance, scheduler=scheduler)
    drawn = [picture for batch in batches for picture in batch]
    width = len(prompts)
    rows = [[one.image, *drawn[i * width : (i + 1) * width]] for i, one in enumerate(subjects)]
    sheet = contact_sheet(rows, ["photo", *prompts], [one.category for one in subjects], side)
    return save_sheet(sheet, Path(path))


def unseen_subjects(
    library: PairLibrary, count: int = 12, *, split: Split = "held_out", seed: int = 0
) -> list[SubjectPhoto]:
    """Photos of unseen subjects of as many concepts, for a grid."""
    pairs = [trial.pair for trial in draw_trials(library, split, subjects=count, pictures=1, choices=2, seed=seed)]
    return [SubjectPhoto(Image.fromarray(pair.photo), pair.category) for pair in pairs]


def _plan(model: BlipDiffusion, one: Wanted, asked: Mapping[str, Any]) -> SamplingPlan:
    request = GenerateRequest(category=one.category, prompt=one.prompt, count=1, **asked)
    if one.photo is not None:
        subject = model.encode_subject(SubjectPhoto(one.photo, one.category), fit=request.fit)  # type: ignore[arg-type]
        plan = plan_encoded(model, encode(model, request, subject), [one.seed])
        return plan if request.detail == 0 else _reading(model, request, one.photo, subject, plan)
    words = amplify(build_prompt(one.category, one.prompt), model.prompt_tokenizer, model.positions, request.repeats)
    negative = model.encode_prompts([""]) if model.scale(request.guidance) != 1 else None
    return plan_encoded(model, EncodedRequest(request, model.encode_prompts([words.text]), negative, ()), [one.seed])


def _reading(
    model: BlipDiffusion, request: GenerateRequest, photo: Image.Image, subject: SubjectEmbedding, plan: SamplingPlan
) -> SamplingPlan:
    try:
        layers = reduced(cut_out(photo).image, max(own_size(model)))
    except ImageError:
        return plan
    states = states_of(model, layers, subject, request.detail_sites, most_bytes=0)
    return Details(request, (states,)).apart(plan)


def _trials(library: PairLibrary, request: EvaluateRequest) -> list[Trial]:
    return draw_trials(
        library,
        "source" if request.split == "source" else "held_out",
        subjects=request.subjects,
        pictures=request.pictures,
        choices=request.choices,
        scenes=request.scenes,
        seed=request.seed,
    )


def _wanted(trial: Trial, column: str) -> Wanted:
    photo = {RIGHT: trial.pair.photo, WRONG: trial.wrong_photo}.get(column)
    image = None if photo is None else Image.fromarray(photo)
    return Wanted(image, trial.pair.category, trial.pair.prompt, trial.seed)


def _again(trial: Trial, seed: int) -> Wanted:
    return Wanted(Image.fromarray(trial.pair.photo), trial.pair.category, trial.pair.prompt, seed)


def _drawn(
    model: BlipDiffusion, stage: str, wanted: Sequence[Wanted], request: EvaluateRequest
) -> Generator[EvaluationProgress, None, list[Pixels]]:
    """Progress after each batch; returns the pixels of all pictures."""
    pictures: list[Pixels] = []
    batches = draw_pictures(
        model,
        wanted,
        steps=request.steps,
        guidance=request.guidance,
        scheduler=request.scheduler,
        batch=request.batch,
        detail=request.detail,
        detail_sites=request.detail_sites,
    )
    for batch in batches:
        pictures += [np.asarray(picture) for picture in batch]
        yield EvaluationProgress(stage, len(pictures), len(wanted))
    return pictures


def _context_classifier(library: PairLibrary, path: Path) -> Generator[EvaluationProgress, None, ContextClassifier]:
    """The classifier in the file, where it was trained on this library; else a new one, kept there."""
    if path.is_file():
        kept = ContextClassifier.load(path)
        if kept.library == library_key(library):
            return kept
    for training in train_context_classifier(library):
        yield EvaluationProgress("learning contexts", training.done, training.total)
        if training.classifier is not None:
            training.classifier.save(path)
            return training.classifier
    raise ConfigError("The classifier of contexts was trained on no pictures.")


def _answers(
    library: PairLibrary,
    trials: Sequence[Trial],
    pictures: Mapping[str, Sequence[Pixels]],
    contexts: ContextClassifier,
    ensemble: Ensemble,
) -> Generator[EvaluationProgress, None, Answers]:
    """Progress after each trial; returns what every metric says of every picture."""
    answers = Answers(contexts={column: contexts.classify(drawn) for column, drawn in pictures.items()})
    for number, trial in enumerate(trials):
        views = subject_views(library, [*trial.candidates, trial.wrong])
        for column, drawn in pictures.items():
            collect(answers, column, ensemble.compare(drawn[number], views), trial)
        yield EvaluationProgress("scoring", number + 1, len(trials))
    return answers


def _about(model: BlipDiffusion, library: PairLibrary, request: EvaluateRequest) -> dict[str, Any]:
    counts = {f"subjects of the split {split}": len(members) for split, members in library.members.items()}
    return {
        "model": model.name,
        "fingerprint": model.subject_fingerprint,
        **asdict(request),
        **counts,
        "library": library_key(library),
        **library_versions(),
    }
