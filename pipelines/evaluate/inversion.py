"""Evaluate inversion: how closely unseen pictures come back from the noise that each method finds for them."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from blipdiff.conditioning.guidance import Conditioning, Guidance, concat
from blipdiff.conditioning.prompt import amplify, build_prompt
from blipdiff.data.pairs import PairLibrary, Split
from blipdiff.data.records import Pair, Pixels
from blipdiff.evaluation.edits import psnr
from blipdiff.evaluation.page import Shown
from blipdiff.evaluation.protocols import draw_trials
from blipdiff.evaluation.report import Line, Report
from blipdiff.evaluation.statistics import mean
from blipdiff.images import picture_tensor, to_pictures
from blipdiff.latents import decode_latents, encode_picture
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.moment import Moment
from blipdiff.sampling.inversion import InversionMethod, invert
from blipdiff.sampling.loop import denoise
from blipdiff.sampling.predictor import GuidedPredictor
from blipdiff.sampling.schedulers import Scheduler, build_scheduler, set_timesteps
from pipelines.edit.invert import Inversion, PhotoSource
from pipelines.edit.plan import SOURCE, TARGET, encode_edit, plan_edit
from pipelines.edit.request import EditRequest
from pipelines.evaluate.requests import EvaluationProgress, InversionEvaluationRequest
from pipelines.metadata import library_versions
from pipelines.plan import execute

CEILING, HELD, NOTHING = "autoencoder", "fixed-point, held (default)", "an edit of nothing (default)"
METHODS: tuple[InversionMethod, ...] = ("ddim", "fixed-point")
_NOTES = (
    "Unseen pictures are inverted under their own prompt without guidance, and drawn again from the noise with the "
    "guidance named. PSNR in dB against the picture; the autoencoder's is the most that latents can tell.",
    "The default keeps an edit's source row on the inversion's way, which brings the picture's own latents back "
    "whatever the guidance. An edit of nothing is the other row: the same words under that guidance, with the "
    "source's attention and the mask of the picture's subject.",
)


@dataclass(frozen=True, slots=True, eq=False)
class _Batch:
    """Pictures that are inverted together."""

    pairs: Sequence[Pair]
    latents: Tensor  # (rows, channels, h, w)
    words: Conditioning


InversionEvaluationEvent: TypeAlias = EvaluationProgress | Report


def evaluate_inversion(
    model: BlipDiffusion, library: PairLibrary, folder: Path, request: InversionEvaluationRequest | None = None
) -> Iterator[InversionEvaluationEvent]:
    """Progress first, the report last, which is then also in `folder`.

    Raises: ConfigError where the library has too few unseen concepts, OutputError where nothing can be written.
    """
    request, start = request or InversionEvaluationRequest(), time.monotonic()
    split: Split = "source" if request.split == "source" else "held_out"
    trials = draw_trials(library, split, subjects=request.pictures, pictures=1, choices=2, seed=request.seed)
    pairs = [trial.pair for trial in trials]
    found: dict[str, list[Pixels]] = {CEILING: []}
    calls: dict[str, int] = {}
    for first in range(0, len(pairs), request.batch):
        batch = _batch(model, pairs[first : first + request.batch])
        found[CEILING] += _pixels(model, batch.latents)
        ways: dict[str, tuple[Tensor, ...]] = {}
        for method in METHODS:
            ways[method], taken = _inverted(model, batch, method, request.steps)
            calls[method] = calls.get(method, 0) + taken
        for guidance in request.guidances:
            drawn = {
                method: _drawn_again(model, batch, ways[method][-1], guidance, request.steps) for method in METHODS
            }
            edited = _edited(model, batch, ways["fixed-point"], guidance, request.steps)
            for name, latents in (drawn | {HELD: edited[:, SOURCE], NOTHING: edited[:, TARGET]}).items():
                found.setdefault(f"{name}, guidance {guidance:g}", []).extend(_pixels(model, latents))
        yield EvaluationProgress("inverting", min(first + request.batch, len(pairs)), len(pairs))
    report = _report(model, request, pairs, found)
    batches = -(-len(pairs) // request.batch) * request.steps
    about = dict(report.about) | {f"U-Net calls a step, {name}": round(n / batches, 2) for name, n in calls.items()}
    about["seconds"] = round(time.monotonic() - start)
    report = Report(about, report.lines, report.notes, report.headings, report.rows)
    report.write(folder)
    yield report


def _batch(model: BlipDiffusion, pairs: Sequence[Pair]) -> _Batch:
    side = int(pairs[0].target.shape[0])
    pixels = torch.stack([picture_tensor(Image.fromarray(pair.target), (side, side)) for pair in pairs])
    words = [
        amplify(build_prompt(pair.category, pair.prompt), model.prompt_tokenizer, model.positions, 1).text
        for pair in pairs
    ]
    latents = encode_picture(model.vae, pixels.to(model.vae.device)).to(model.device)
    return _Batch(pairs, latents, concat([model.encode_prompts([text]) for text in words]))


def _scheduler(model: BlipDiffusion, steps: int) -> Scheduler:
    scheduler = build_scheduler("ddim", model.scheduler_config)
    set_timesteps(scheduler, steps, model.device)
    return scheduler


def _inverted(
    model: BlipDiffusion, batch: _Batch, method: InversionMethod, steps: int
) -> tuple[tuple[Tensor, ...], int]:
    """The latents, then those after each step of the inversion; and how often the U-Net was called."""
    predict, calls = GuidedPredictor(model.unet, Guidance.even(batch.words, None, 1.0)), 0

    def counted(latents: Tensor, moment: Moment) -> Tensor:
        nonlocal calls
        calls += 1
        return predict(latents, moment)

    run = invert(counted, _scheduler(model, steps), batch.latents, method=method)
    return (batch.latents, *(step.latents for step in run)), calls


def _drawn_again(model: BlipDiffusion, batch: _Batch, noise: Tensor, guidance: float, steps: int) -> Tensor:
    against = model.encode_prompts([""]).repeat(noise.shape[0]) if guidance != 1 else None
    predict = GuidedPredictor(model.unet, Guidance.even(batch.words, against, guidance))
    latents = noise
    for step in denoise(predict, _scheduler(model, steps), noise):
        latents = step.latents
    return latents


def _edited(model: BlipDiffusion, batch: _Batch, way: Sequence[Tensor], guidance: float, steps: int) -> Tensor:
    """Edits in which nothing changes, one after the other: (pictures, 2, channels, h, w), rows [source, target]."""
    ended = []
    for row, pair in enumerate(batch.pairs):
        request = EditRequest(source=pair.category, prompt=pair.prompt, guidance=guidance, steps=steps)
        photo = PhotoSource(Image.fromarray(pair.target), batch.latents[[row]], None)
        plan = plan_edit(model, encode_edit(model, request), Inversion(photo, tuple(one[[row]] for one in way)))
        *_, last = execute(model.unet, plan.sampling)
        ended.append(last.latents)
    return torch.stack(ended)


def _pixels(model: BlipDiffusion, latents: Tensor) -> list[Pixels]:
    return [np.asarray(picture) for picture in to_pictures(decode_latents(model.vae, latents))]


def _report(
    model: BlipDiffusion,
    request: InversionEvaluationRequest,
    pairs: Sequence[Pair],
    found: dict[str, list[Pixels]],
) -> Report:
    scores = {
        name: [psnr(picture, pair.target) for picture, pair in zip(drawn, pairs, strict=True)]
        for name, drawn in found.items()
    }
    lines = []
    for name, values in scores.items():
        shares = [value / most for value, most in zip(values, scores[CEILING], strict=True)]
        lines.append(Line("PSNR, dB", "pixels", name, "all", mean(values), in_percent=False))
        lines.append(Line("share of the autoencoder's", "pixels", name, "all", mean(shares)))
    about = {"model": model.name, "fingerprint": model.subject_fingerprint, **asdict(request), **library_versions()}
    rows = [
        (Shown(pair.target, pair.category), *(Shown(found[name][place]) for name in found))
        for place, pair in enumerate(pairs[: request.shown])
    ]
    return Report(about, tuple(lines), _NOTES, ("picture", *found), tuple(rows))
