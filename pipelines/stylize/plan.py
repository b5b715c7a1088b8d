"""Stylize: a subject's look in the structure of other pictures. A request becomes a plan; nothing runs here."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from blipdiff.attention.injection import Injection
from blipdiff.conditioning.guidance import Conditioning
from blipdiff.conditioning.prompt import amplify, build_prompt
from blipdiff.conditioning.subject import SubjectEmbedding
from blipdiff.given_pictures import PictureLike
from blipdiff.images import as_rgb
from blipdiff.latents import size_factor
from blipdiff.models.blip_diffusion import BlipDiffusion
from pipelines.controls.nets import Branch
from pipelines.plan import EncodedRequest, Reading, SamplingPlan, check_size, encode, plan_encoded
from pipelines.requests import Sampling
from pipelines.stylize.request import StylizeRequest

_WIDEST = 4.0  # sides of a structure picture against each other; beyond, it is cut


@dataclass(frozen=True, slots=True, eq=False)
class EncodedStyle:
    """A stylization whose words, subject and maps are ready: what all its pictures share."""

    request: StylizeRequest
    encoded: EncodedRequest
    words: Conditioning | None  # one row without the subject, where the subject is not everywhere
    branches: tuple[Branch, ...]
    details: Reading | None = None


def encode_style(
    model: BlipDiffusion, request: StylizeRequest, subject: SubjectEmbedding, branches: tuple[Branch, ...]
) -> EncodedStyle:
    """The request with its subject, its words and the branches of its maps, checked against the model.

    Raises: BlipdiffError for whatever the model cannot do.
    """
    words = None
    if request.mixes_subject:
        text = build_prompt(request.target or request.category, request.worded(request.prompt))
        plain = amplify(text, model.prompt_tokenizer, model.positions, request.repeats)
        words = model.encode_prompts([plain.wording])
    return EncodedStyle(request, encode(model, request, subject), words, branches)


def structure_size(model: BlipDiffusion, request: Sampling, structure: PictureLike) -> tuple[int, int]:
    """(width, height): as asked for; else in the structure's aspect, about as large as the model was trained at."""
    factor = size_factor(model.vae)
    own = int(model.unet.config.sample_size) * factor
    upright = as_rgb(structure)
    aspect = min(max(upright.width / upright.height, 1 / _WIDEST), _WIDEST)
    width, height = request.width, request.height
    if width is None and height is None:
        width, height = _rounded(own * math.sqrt(aspect), factor), _rounded(own / math.sqrt(aspect), factor)
    elif height is None and width is not None:
        height = _rounded(width / aspect, factor)
    elif width is None and height is not None:
        width = _rounded(height * aspect, factor)
    assert width is not None and height is not None
    return check_size(model, (width, height))


def plan_stylize(model: BlipDiffusion, style: EncodedStyle, seeds: Sequence[int]) -> SamplingPlan:
    """One row for each seed, every branch checked against the model.

    Raises: ShapeError for a control of another model or size, ConfigError as `plan_encoded`.
    """
    plan = plan_encoded(model, style.encoded, seeds, details=style.details)
    for branch in style.branches:
        branch.check(plan.latents, plan.guidance.positive.embeddings)
    request, injection = style.request, None
    if style.words is not None:
        rows = style.words.repeat(len(seeds)).embeddings
        injection = Injection(rows, request.subject_strength, request.subject_window(), request.blocks)
    return replace(plan, controls=style.branches, conditioning=injection)


def _rounded(side: float, factor: int) -> int:
    return max(factor, round(side / factor) * factor)
