"""Pictures that a protocol asks for, drawn in batches: here, or by workers that keep what they drew."""

import hashlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from blipdiff.attention.reference import ReferenceRows
from blipdiff.conditioning.guidance import Guidance, concat
from blipdiff.conditioning.prompt import amplify, build_prompt
from blipdiff.conditioning.subject import SubjectEmbedding, SubjectPhoto
from blipdiff.cut_out import cut_out, reduced
from blipdiff.data.records import Pixels
from blipdiff.errors import ImageError
from blipdiff.images import to_pictures
from blipdiff.latents import decode_latents
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.outputs import written_file
from blipdiff.sampling.cost import own_size
from pipelines.controls.details import Details, states_of
from pipelines.evaluate.requests import EvaluateRequest, EvaluationProgress
from pipelines.generate.request import GenerateRequest
from pipelines.handing import HandOut
from pipelines.inputs import card_input
from pipelines.plan import EncodedRequest, SamplingPlan, encode, execute, plan_encoded
from pipelines.requests import Detailed
from pipelines.studio import Studio

_ASKED = ("steps", "guidance", "scheduler", "detail", "detail_sites")


@dataclass(frozen=True, slots=True, eq=False)
class Wanted:
    """One picture to draw; without a photo the words stand alone."""

    photo: Image.Image | None
    category: str
    prompt: str
    seed: int


def draw_pictures(
    model: BlipDiffusion,
    wanted: Sequence[Wanted],
    *,
    steps: int,
    guidance: float | None,
    scheduler: str,
    batch: int = 16,
    detail: float | None = None,
    detail_sites: str = "all",
) -> Iterator[list[Image.Image]]:
    """The pictures in order, a batch at a time, each from its own seed.

    detail: read from each picture's own photo, as `BlipDiffusion.detail` says if None; one in which no subject stands
        out is not read
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


def drawn_batches(
    hand_out: HandOut,
    draw: Callable[[Any, Sequence[Wanted]], list[Pixels]],
    stage: str,
    wanted: Sequence[Wanted],
    batch: int,
) -> Generator[EvaluationProgress, None, list[Pixels]]:
    """Progress after each batch; returns the pixels of all pictures."""
    pictures: list[Pixels] = []
    for drawn in hand_out([wanted[first : first + batch] for first in range(0, len(wanted), batch)], draw):
        pictures += drawn
        yield EvaluationProgress(stage, len(pictures), len(wanted))
    return pictures


def draw_batch(
    request: EvaluateRequest, kept: Path | None, model: BlipDiffusion | Studio, wanted: Sequence[Wanted]
) -> list[Pixels]:
    """The pixels of one batch; of one that lies among the `kept` ones, as they are there."""
    model = model.model if isinstance(model, Studio) else model
    asked = {name: getattr(request, name) for name in _ASKED}
    path = None if kept is None else kept / f"{_key(model, asked, wanted)}.npy"
    if path is not None and path.is_file():
        return list(np.load(path, allow_pickle=False))
    (drawn,) = draw_pictures(model, wanted, batch=len(wanted), **asked)
    pictures = [np.asarray(picture) for picture in drawn]
    if path is not None:
        with written_file(path) as part, part.open("wb") as file:
            np.save(file, np.stack(pictures), allow_pickle=False)
    return pictures


def _key(model: BlipDiffusion, asked: Mapping[str, Any], wanted: Sequence[Wanted]) -> str:
    key = hashlib.sha256(repr((model.identity.told(), str(model.unet.dtype), dict(asked))).encode())
    for one in wanted:
        key.update(repr((one.category, one.prompt, one.seed)).encode())
        key.update(b"" if one.photo is None else one.photo.tobytes())
    return key.hexdigest()


def _plan(model: BlipDiffusion, one: Wanted, asked: Mapping[str, Any]) -> SamplingPlan:
    request = GenerateRequest(category=one.category, prompt=one.prompt, count=1, **asked)
    if one.photo is not None:
        subject = model.encode_subject(SubjectPhoto(one.photo, one.category), fit=request.fit)  # type: ignore[arg-type]
        plan = plan_encoded(model, encode(model, request, subject), [one.seed])
        return with_details(model, request, one.photo, subject, plan)
    words = amplify(build_prompt(one.category, one.prompt), model.prompt_tokenizer, model.positions, request.repeats)
    negative = model.encode_prompts([""]) if model.scale(request.guidance) != 1 else None
    return plan_encoded(model, EncodedRequest(request, model.encode_prompts([words.text]), negative, ()), [one.seed])


def with_details(
    model: BlipDiffusion, request: GenerateRequest, photo: Image.Image, subject: SubjectEmbedding, plan: SamplingPlan
) -> SamplingPlan:
    """The plan, reading from the subject's photo as the request or the model says; not where no subject stands out."""
    return details_of(model, request, photo, subject).apart(plan)


def details_of(model: BlipDiffusion, request: Detailed, photo: Image.Image, subject: SubjectEmbedding) -> Details:
    """What a run reads of one photo, as the request or the model says; nothing where no subject stands out."""
    request = replace(request, detail=request.detail_by(model))
    if request.detail == 0:
        return Details(request)
    try:
        layers = reduced(cut_out(photo).image, max(own_size(model)))
    except ImageError:
        return Details(request)
    states = states_of(model, layers, subject, request.detail_sites, most_bytes=0)
    return Details(request, (states,), (card_input(subject),))
