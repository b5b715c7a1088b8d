"""Evaluate: pictures of unseen subjects from a model, measured by what it has no part in; and a grid to look at."""

import shutil
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from PIL import Image

from blipdiff.conditioning.subject import SubjectPhoto
from blipdiff.data.pairs import PairLibrary, Split
from blipdiff.data.records import Pixels
from blipdiff.errors import ConfigError
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
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.outputs import written_file
from blipdiff.ranges import USUAL_SCHEDULER, USUAL_STEPS
from pipelines.evaluate.drawing import Wanted, draw_batch, draw_pictures, drawn_batches
from pipelines.evaluate.hard import hard_lines
from pipelines.evaluate.requests import EvaluateRequest, EvaluationProgress
from pipelines.handing import HandOut, one_by_one
from pipelines.metadata import library_versions
from pipelines.studio import Studio

CLASSIFIER_FILE = "context-judge.safetensors"
_KEPT = ".drawn"  # batches of pictures, until the report is there


Event: TypeAlias = EvaluationProgress | Report


def evaluate(
    model: BlipDiffusion | Studio,
    library: PairLibrary,
    out_folder: str | Path,
    request: EvaluateRequest | None = None,
    *,
    classifier_file: Path | None = None,
    hand_out: HandOut | None = None,
) -> Iterator[Event]:
    """Draws every trial's prompt with the right photo, a wrong photo and no photo, and has them scored.

    Progress first, the report last, which is then also in `out_folder` as report.json and report.html. The
    classifier of contexts is read from `classifier_file`, by default in `out_folder`, or trained once on the
    library and kept there.

    hand_out: has pictures drawn by workers that have the same model; what they drew is kept until the report is there,
    so that a run that was stopped goes on

    Raises: ConfigError where the library has too few unseen concepts, OutputError where nothing can be written.
    """
    request, folder, start = request or EvaluateRequest(), Path(out_folder), time.monotonic()
    model = model.model if isinstance(model, Studio) else model
    with written_file(folder / "probe") as part:  # to fail now rather than after an hour
        part.touch()
    (folder / "probe").unlink()
    guidance, detail = model.scale(request.guidance), model.detail(request.detail)
    request = replace(request, guidance=guidance, detail=detail)  # the report tells them
    trials = _trials(library, request)
    contexts = yield from _context_classifier(library, classifier_file or folder / CLASSIFIER_FILE)
    kept = None if hand_out is None else folder / _KEPT
    drawing = hand_out or one_by_one(model), partial(draw_batch, request, kept)
    pictures: dict[str, list[Pixels]] = {TRUE: [trial.pair.target for trial in trials]}
    for column in (RIGHT, WRONG, NO_SUBJECT):
        wanted = [_wanted(trial, column) for trial in trials]
        pictures[column] = yield from drawn_batches(*drawing, column, wanted, request.batch)
    again = [_again(trial, seed) for trial in trials[: request.varied] for seed in range(request.seeds)]
    varied = yield from drawn_batches(*drawing, "several seeds", again, request.batch)
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
    if kept is not None:
        shutil.rmtree(kept, ignore_errors=True)
    yield report


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
