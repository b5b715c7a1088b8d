"""Evaluate edits: unseen subjects swapped for other unseen ones, measured against plainly drawing the new subject."""

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from blipdiff.conditioning.subject import SubjectPhoto
from blipdiff.data.pairs import PairLibrary
from blipdiff.data.records import Pixels
from blipdiff.evaluation.edits import EditTrial, background, draw_edit_trials, inside, mask_iou, psnr
from blipdiff.evaluation.ensemble import Ensemble
from blipdiff.evaluation.page import Shown
from blipdiff.evaluation.protocols import choice_of, forced_choice, subject_views
from blipdiff.evaluation.report import Line, Report
from blipdiff.evaluation.sheets import contact_sheet, save_sheet
from blipdiff.evaluation.statistics import Figure, mean
from blipdiff.images import fitted, to_pictures
from blipdiff.latents import decode_latents
from blipdiff.models.blip_diffusion import BlipDiffusion
from pipelines.controls.details import Details
from pipelines.edit.composite import edit_pictures
from pipelines.edit.invert import Inversion, invert_photo, prepare_photo
from pipelines.edit.plan import TARGET, EditPlan, encode_edit, plan_edit
from pipelines.edit.request import EditRequest
from pipelines.evaluate.drawing import details_of
from pipelines.evaluate.requests import EditEvaluationRequest, EvaluationProgress
from pipelines.metadata import library_versions
from pipelines.plan import SamplingPlan, execute

EDIT, KEPT, PLAIN, CEILING = "edit", "edit, background kept", "plain regeneration", "autoencoder"
SHEET = "edits.png"
_HEADINGS = ("before", "new subject", EDIT, KEPT, PLAIN, "mask", "true mask")
_NOTES = (
    "Each picture shows an unseen subject in a scene, and its true mask is known. The subject is swapped for another "
    "unseen one, of which the model is given a photo. The plain regeneration draws the new subject in the same scene "
    "from the very noise that the picture was inverted to, without any hold on attention or latents.",
    "Background: PSNR in dB against the picture, outside the true mask; the autoencoder's own is the most that an edit "
    "without kept pixels can reach. Subject: traced to the new one among ten, the old one among them, inside the true "
    "mask's square. Mask: intersection over union of the edit's mask with the true one.",
)


@dataclass(frozen=True, slots=True, eq=False)
class _Drawn:
    """What became of one trial, each picture (side, side, 3)."""

    pictures: Mapping[str, Pixels]  # EDIT, KEPT, PLAIN, CEILING
    mask: Pixels | None  # (side, side)


EditEvaluationEvent: TypeAlias = EvaluationProgress | Report


def evaluate_edits(
    model: BlipDiffusion, library: PairLibrary, folder: Path, request: EditEvaluationRequest | None = None
) -> Iterator[EditEvaluationEvent]:
    """Progress first, the report last, which is then also in `folder`, with a sheet of pictures beside it.

    Raises: ConfigError where the library has too few unseen concepts, OutputError where nothing can be written.
    """
    request, start = request or EditEvaluationRequest(), time.monotonic()
    trials = draw_edit_trials(
        library,
        "source" if request.split == "source" else "held_out",
        count=request.edits,
        choices=request.choices,
        seed=request.seed,
    )
    drawn = []
    for number, trial in enumerate(trials):
        drawn.append(_drawn(model, trial, edit_request(model, trial, request)))
        yield EvaluationProgress("editing", number + 1, len(trials))
    hits = yield from _hits(library, trials, drawn)
    about: dict[str, Any] = {"model": model.name, "fingerprint": model.subject_fingerprint, **asdict(request)}
    about |= {**library_versions(), "seconds": round(time.monotonic() - start)}
    rows = [_row(trial, one) for trial, one in zip(trials, drawn, strict=True)][: request.shown]
    names = [f"{trial.pair.category} to {trial.category}" for trial in trials][: request.shown]
    shown = tuple(tuple(Shown(picture) for picture in row) for row in rows)
    report = Report(about, tuple(_lines(trials, drawn, hits)), _NOTES, _HEADINGS, shown)
    report.write(folder)
    sheet = contact_sheet([[Image.fromarray(picture) for picture in row] for row in rows], _HEADINGS, names)
    save_sheet(sheet, folder / SHEET)
    yield report


def edit_request(model: BlipDiffusion, trial: EditTrial, request: EditEvaluationRequest) -> EditRequest:
    """The trial as a person would ask for it."""
    return EditRequest(
        source=trial.pair.category,
        target=trial.category,
        prompt=trial.pair.prompt,
        steps=request.steps,
        guidance=model.scale(request.guidance),
        strength=request.strength,
        cross_stop=request.cross_stop,
        self_stop=request.self_stop,
        mask_threshold=request.mask_threshold,
        fresh_noise=request.fresh_noise,
        blend_words=request.blend_words,
        mask_map=request.mask_map,
        inversion=request.inversion,
    )


def _drawn(model: BlipDiffusion, trial: EditTrial, request: EditRequest) -> _Drawn:
    shown = Image.fromarray(trial.photo)
    subject = model.encode_subject(SubjectPhoto(shown, trial.category), fit="pad")
    encoded, details = encode_edit(model, request, subject), details_of(model, request, shown, subject)
    photo = prepare_photo(model, request, Image.fromarray(trial.pair.target))
    steps = invert_photo(model, request, encoded.positive, photo)
    source = Inversion(photo, (photo.latents, *(step.latents for step in steps)))
    plan = plan_edit(model, encoded, source, details=details)
    latents = _last(model, plan.sampling)
    edited, kept = (edit_pictures(model, plan, latents, photo=photo, keep_background=keep) for keep in (False, True))
    plain = _last(model, _plainly(plan, details))
    pictures = {EDIT: edited.after, KEPT: kept.after}
    for name, ended in ((PLAIN, plain), (CEILING, photo.latents)):
        pictures[name] = fitted(to_pictures(decode_latents(model.vae, ended))[0], edited.after.size, "squash")
    mask = None if edited.mask is None else np.asarray(edited.mask)
    return _Drawn({name: np.asarray(picture) for name, picture in pictures.items()}, mask)


def _plainly(plan: EditPlan, details: Details) -> SamplingPlan:
    """The target's row alone, as generation draws it."""
    sampling = plan.sampling
    guidance = sampling.guidance.select([TARGET])
    alone = replace(sampling, guidance=guidance, latents=sampling.latents[[TARGET]], taps=(), edits=(), more_keys=None)
    return details.together(alone)


def _last(model: BlipDiffusion, plan: SamplingPlan) -> Tensor:
    latents = plan.latents
    with torch.inference_mode():
        for step in execute(model.unet, plan):
            latents = step.latents
    return latents


def _hits(
    library: PairLibrary, trials: Sequence[EditTrial], drawn: Sequence[_Drawn]
) -> Generator[EvaluationProgress, None, dict[tuple[str, str], Figure]]:
    """Progress after each trial; returns the share of pictures traced to the new subject, by column and metric."""
    ensemble = Ensemble.of_library(library)
    choices: dict[tuple[str, str], list[object]] = {}
    for number, (trial, one) in enumerate(zip(trials, drawn, strict=True)):
        views = subject_views(library, trial.candidates)
        for column in (EDIT, KEPT, PLAIN):
            answers = ensemble.compare(inside(one.pictures[column], trial.pair.mask), views)
            for metric, scores in answers.items():
                choices.setdefault((column, metric), []).append(choice_of(scores, trial.right))
        yield EvaluationProgress("scoring", number + 1, len(trials))
    return {key: forced_choice(found) for key, found in choices.items()}  # type: ignore[arg-type]


def _lines(
    trials: Sequence[EditTrial], drawn: Sequence[_Drawn], hits: Mapping[tuple[str, str], Figure]
) -> Iterator[Line]:
    for column in (EDIT, KEPT, PLAIN, CEILING):
        values = [
            psnr(one.pictures[column], trial.pair.target, background(trial.pair.mask))
            for trial, one in zip(trials, drawn, strict=True)
            if background(trial.pair.mask).any()
        ]
        yield Line("background, dB", "pixels", column, "all", mean(values), in_percent=False)
    for (column, metric), figure in hits.items():
        yield Line("new subject found", metric, column, "all", figure)
    overlaps = [
        mask_iou(one.mask, trial.pair.mask) for trial, one in zip(trials, drawn, strict=True) if one.mask is not None
    ]
    yield Line("mask's overlap", "pixels", EDIT, "all", mean(overlaps), in_percent=False)
    whole = [mask_iou(np.full_like(trial.pair.mask, 255), trial.pair.mask) for trial in trials]
    yield Line("mask's overlap", "pixels", "the whole picture", "all", mean(whole), in_percent=False)


def _row(trial: EditTrial, drawn: _Drawn) -> tuple[Pixels, ...]:
    pair = trial.pair
    found = np.zeros_like(pair.mask) if drawn.mask is None else drawn.mask
    masks = (np.dstack([mask] * 3) for mask in (found, pair.mask))
    return (pair.target, trial.photo, *(drawn.pictures[name] for name in (EDIT, KEPT, PLAIN)), *masks)
