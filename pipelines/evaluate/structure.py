"""Measure stylizing: how far pictures follow edges with control and without, and whose colours they have."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from blipdiff.attention.injection import Injection
from blipdiff.attention.reference import ReferenceRows
from blipdiff.conditioning.guidance import Conditioning, Guidance, concat
from blipdiff.conditioning.prompt import build_prompt
from blipdiff.conditioning.subject import SubjectEmbedding, SubjectPhoto
from blipdiff.control.drawn import canny, relief
from blipdiff.control.net_names import map_of_control
from blipdiff.data.pairs import PairLibrary, Split
from blipdiff.data.records import Pixels
from blipdiff.evaluation.statistics import Figure, mean, share
from blipdiff.evaluation.structure import (
    StructureTrial,
    chosen_by_colour,
    draw_structure_trials,
    edge_agreement,
)
from blipdiff.images import picture_tensor, to_pictures
from blipdiff.latents import decode_latents, latent_size, noise, row_generators
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.ranges import LARGEST_SEED
from blipdiff.sampling.schedulers import build_scheduler, set_timesteps
from pipelines.controls.nets import Branch, branch_of
from pipelines.controls.settings import ControlSettings
from pipelines.evaluate.drawing import details_of
from pipelines.evaluate.requests import StructureRequest
from pipelines.plan import SamplingPlan, execute
from pipelines.studio import Studio
from pipelines.stylize.request import StylizeRequest


@dataclass(frozen=True, slots=True)
class Way:
    """One way to draw the same pairs: by which net, how much of the subject enters where, how much of its photo."""

    name: str
    control: str | None = None
    subject_strength: float = 1.0
    blocks: str = "all"
    map: str | None = None  # "relief" or "canny", for a net that is not bundled
    detail: float = 0.0


WAYS = (
    Way("no control"),
    Way("mini-canny", "mini-canny"),
    Way("mini-depth", "mini-depth"),
    Way("mini-canny, half the subject", "mini-canny", 0.5),
    Way("mini-canny, no subject", "mini-canny", 0.0),
    Way("mini-canny, subject by its look", "mini-canny", blocks="look"),
    Way("mini-canny, subject by its layout", "mini-canny", blocks="layout"),
    Way("mini-canny, details 0.25", "mini-canny", detail=0.25),
    Way("mini-canny, details 0.5", "mini-canny", detail=0.5),
)


@dataclass(frozen=True, slots=True, eq=False)
class WayResult:
    """What one way of drawing has given: its figures and its pictures, in the trials' order."""

    way: Way
    edges: Figure
    colours: Figure
    hard_colours: Figure
    pictures: tuple[Image.Image, ...]


def evaluate_structure(
    studio: Studio, library: PairLibrary, request: StructureRequest, ways: Sequence[Way] = WAYS
) -> Iterator[WayResult]:
    """Each way in turn, over the same pairs and the same noise.

    Raises: ConfigError where the library has too few concepts, CheckpointError for a net that is not here.
    """
    split: Split = request.split  # type: ignore[assignment]
    trials = draw_structure_trials(library, split, count=request.pairs, seed=request.seed)
    for way in ways:
        pictures: list[Image.Image] = []
        for first in range(0, len(trials), request.batch):
            pictures += drawn_trials(studio, trials[first : first + request.batch], request, way, first)
        found = [np.asarray(picture) for picture in pictures]
        edges = [edge_agreement(trial.structure.target, made) for trial, made in zip(trials, found, strict=True)]
        hits, hard = (
            share([
                chosen_by_colour(made, trial.structure.mask, _cut_outs(library, others)) == trial.right
                for trial, others, made in zip(trials, among, found, strict=True)
            ])
            for among in ([one.candidates for one in trials], [one.alike for one in trials])
        )  # fmt: skip
        yield WayResult(way, mean(edges), hits, hard, tuple(pictures))


def report(results: Sequence[WayResult]) -> str:
    """A table in Markdown."""
    lines = ["| way | edges, F1 | right look of 10 | of 10 of the most alike colours |", "|---|---|---|---|"]
    lines += [
        f"| {one.way.name} | {one.edges.as_number()} | {one.colours.as_percent()} | {one.hard_colours.as_percent()} |"
        for one in results
    ]
    return "\n".join(lines)


def _cut_outs(library: PairLibrary, numbers: Sequence[int]) -> list[Pixels]:
    """The library's subjects of these numbers: (H, W, 4)."""
    return [np.asarray(library.subjects[number]) for number in numbers]


def drawn_trials(
    studio: Studio, trials: Sequence[StructureTrial], request: StructureRequest, way: Way, first: int
) -> list[Image.Image]:
    """The pictures of these trials, drawn together; each row has its own words, map and noise."""
    model, rows = studio.model, len(trials)
    texts = [build_prompt(trial.structure.category, trial.structure.prompt) for trial in trials]
    subjects = [
        model.encode_subject(SubjectPhoto(Image.fromarray(trial.look), trial.category), fit="pad") for trial in trials
    ]
    positive = concat([model.encode_prompts([text], [one]) for text, one in zip(texts, subjects, strict=True)])
    negative = model.encode_prompts([""]).repeat(rows)
    generators = row_generators([(request.seed + 1000 + first + row) % (LARGEST_SEED + 1) for row in range(rows)])
    side = trials[0].structure.target.shape[0]
    shape = (int(model.unet.config.in_channels), *latent_size(model.vae, side, side))
    scheduler = build_scheduler("dpm++2m", model.scheduler_config)
    set_timesteps(scheduler, request.steps, model.device)
    plan = SamplingPlan(
        Guidance.even(positive, negative, model.scale(request.guidance)),
        noise(generators, shape, device=model.device),
        scheduler,
        _branches(studio, trials, request, way),
        generators=generators,
        conditioning=None if (way.subject_strength, way.blocks) == (1.0, "all") else _injection(model, texts, way),
    )
    plan = replace(plan, more_keys=_details(model, trials, subjects, plan, way))
    *_, last = execute(model.unet, plan)
    return to_pictures(decode_latents(model.vae, last.latents))


def _details(
    model: BlipDiffusion,
    trials: Sequence[StructureTrial],
    subjects: Sequence[SubjectEmbedding],
    plan: SamplingPlan,
    way: Way,
) -> ReferenceRows | None:
    """What each row reads of its own look's photo."""
    if way.detail == 0:
        return None
    request = StylizeRequest(category="look", detail=way.detail)
    read = [
        details_of(model, request, Image.fromarray(trial.look), one).apart(plan).more_keys
        for trial, one in zip(trials, subjects, strict=True)
    ]
    return ReferenceRows(read)


def _branches(
    studio: Studio, trials: Sequence[StructureTrial], request: StructureRequest, way: Way
) -> tuple[Branch, ...]:
    if way.control is None:
        return ()
    drawn = way.map or map_of_control(way.control) or "canny"
    maps = torch.cat([_map(trial, drawn) for trial in trials]).to(studio.model.device)
    settings = ControlSettings(control=way.control, strength=request.strength)
    return (branch_of(studio.nets.net(way.control), maps, settings),)


def _map(trial: StructureTrial, name: str) -> Tensor:
    """Edges, or the relief that the training drew, with the true mask and floor."""
    pair = trial.structure
    drawn = relief(pair.mask, pair.floor) if name == "relief" else canny(pair.target)
    return picture_tensor(Image.fromarray(drawn))[None]


def _injection(model: BlipDiffusion, texts: Sequence[str], way: Way) -> Injection:
    words: Conditioning = model.encode_prompts(texts)
    return Injection(words.embeddings, way.subject_strength, blocks=way.blocks)
