"""Plans: what one run of the loop needs, as a value, the one executor that runs any plan, and what a run costs."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from blipdiff.attention.context import KeyValueSource, SiteConditioning
from blipdiff.attention.taps import AttentionTap, tapped
from blipdiff.conditioning.guidance import Conditioning, Guidance
from blipdiff.conditioning.image_prompt import ImagePrompt
from blipdiff.conditioning.prompt import amplify, build_prompt
from blipdiff.conditioning.subject import SubjectEmbedding
from blipdiff.diffusers_types import UNet
from blipdiff.errors import ConfigError, SubjectError
from blipdiff.latents import latent_size, noise, row_generators, turned
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.models.caching import ALL_WHOLE, Caching
from blipdiff.moment import Window
from blipdiff.ranges import EVEN_STEPS, FITTED, OWN_TIMES, SPEEDS, USUAL_SCHEDULER
from blipdiff.sampling.cost import Size, most_pixels, own_size
from blipdiff.sampling.loop import LatentEdit, Step, denoise
from blipdiff.sampling.predictor import Control, GuidedPredictor, NoisePredictor
from blipdiff.sampling.schedulers import Scheduler, ready_scheduler
from pipelines.requests import Detailed, Sampling, SubjectSampling
from pipelines.turns import Turn

_Settings = TypeVar("_Settings", bound=Sampling)


@dataclass(frozen=True, slots=True, eq=False)
class SamplingPlan:
    """Everything that one run of the loop needs.

    latents: (rows, channels, h, w) of standard normal noise, one row for each row of the guidance; where `start` is
    above 0, as they are when so many U-Net calls are done;
    wrap: makes another predictor of the plan's own, such as one that also predicts tiles;
    caching: how deep features are kept between U-Net calls; not at all where something looks into the U-Net, adds to
    it, steers it or wraps it
    """

    guidance: Guidance
    latents: Tensor
    scheduler: Scheduler
    controls: Sequence[Control] = ()
    taps: Sequence[AttentionTap] = ()
    edits: Sequence[LatentEdit] = ()
    generators: Sequence[torch.Generator] | None = field(default=None)
    conditioning: SiteConditioning | None = None
    more_keys: KeyValueSource | None = None
    image_prompt: ImagePrompt | None = None
    wrap: Callable[[GuidedPredictor], NoisePredictor] | None = None
    start: int = 0
    caching: Caching = ALL_WHOLE


class Reading(Protocol):
    """What a run reads beside its words: `pipelines.controls.details.Details`."""

    def together(self, plan: SamplingPlan) -> SamplingPlan:
        """The plan of one subject, reading all its photos."""


def execute(unet: UNet, plan: SamplingPlan) -> Iterator[Step]:
    """Runs a plan; the caller's `for` shows progress, and leaving it stops the run.

    Taps are on the U-Net only while a step is computed: whenever the caller has the word, it is as it was found,
    however long the caller keeps a run that it has stopped.
    """
    guided = predictor_of(unet, plan)
    predict: NoisePredictor = guided if plan.wrap is None else plan.wrap(guided)
    listens = bool(plan.taps) or plan.conditioning is not None or plan.more_keys is not None
    steps = denoise(predict, plan.scheduler, plan.latents, plan.edits, plan.generators, plan.start)
    while True:
        with tapped(unet) if listens else nullcontext():
            step = next(steps, None)
        if step is None:
            return
        yield step


def predictor_of(unet: UNet, plan: SamplingPlan) -> GuidedPredictor:
    """What predicts the noise of a plan, before the plan's own predictor wraps it."""
    beside = plan.taps, plan.conditioning, plan.more_keys, plan.image_prompt
    caching = plan.caching if plan.wrap is None else ALL_WHOLE
    return GuidedPredictor(unet, plan.guidance, plan.controls, *beside, may_stand_in=True, caching=caching)


def plan_rows(
    model: BlipDiffusion,
    settings: Sampling,
    positive: Conditioning,
    negative: Conditioning | None,
    seeds: Sequence[int],
    size: Size | None = None,
) -> SamplingPlan:
    """One row for each row of conditioning, each from its own seed's noise.

    size: (width, height) in pixels, where it is not as asked for

    Raises: ConfigError for a size, scheduler or number of steps that the model cannot do.
    """
    width, height = picture_size(model, settings) if size is None else size
    shape = (int(model.unet.config.in_channels), *latent_size(model.vae, height, width))
    latents, generators = first_noise(settings, seeds, shape, model.device)
    pace = pace_of(model, settings)
    scale = model.scale(settings.guidance)
    scheduler = ready_scheduler(model, pace.scheduler, pace.steps, scale)
    window = Window(settings.guidance_start, settings.guidance_stop)
    guidance = Guidance.even(positive, negative, scale, window)
    return SamplingPlan(guidance, latents, scheduler, generators=generators, caching=settings.caching)


@dataclass(frozen=True, slots=True)
class Pace:
    """By which scheduler a run goes, in how many steps; table: the fingerprint of the fitted steps that it takes."""

    scheduler: str
    steps: int
    table: str = ""


def pace_of(model: BlipDiffusion, settings: Sampling) -> Pace:
    """What the speed stands for with this model, where scheduler and steps are not said themselves.

    Raises: ConfigError for steps that were fitted otherwise than those by which a picture was drawn.
    """
    tables, scheduler, steps = model.step_tables, settings.scheduler, settings.steps
    if scheduler is None:
        scheduler = FITTED if tables is not None and steps is None else USUAL_SCHEDULER
    if steps is None:
        steps = tables.dial[settings.speed] if tables and scheduler == FITTED else EVEN_STEPS[settings.speed]
    table = tables.fingerprint if tables is not None and scheduler == FITTED else ""
    if scheduler == FITTED and settings.step_table not in ("", table):
        raise ConfigError(
            f"The picture was drawn by other fitted steps ({settings.step_table}) than this model has now "
            f"({table or 'none'}). Load the model as it was to repeat it."
        )
    return Pace(scheduler, steps, table)


def calls_of(model: BlipDiffusion) -> dict[str, int]:
    """How many steps each speed stands for with this model."""
    return {speed: pace_of(model, Sampling(speed=speed)).steps for speed in SPEEDS}


def resolved(model: BlipDiffusion, settings: _Settings) -> _Settings:
    """Settings in which nothing is left to the model, as pictures tell them. Raises: as `pace_of`."""
    pace = pace_of(model, settings)
    if isinstance(settings, Detailed):
        settings = replace(settings, detail=settings.detail_by(model))
    return replace(
        settings,
        guidance=model.scale(settings.guidance),
        scheduler=pace.scheduler,
        steps=pace.steps,
        step_table=pace.table,
    )


def first_noise(
    settings: Sampling, numbers: Sequence[int], shape: Sequence[int], device: torch.device
) -> tuple[Tensor, list[torch.Generator]]:
    """The noise that pictures begin with, varied as asked for, and what their further noise is drawn from.

    numbers: of the pictures, as `Sampling.seeds` gives them; shape: of one row, (channels, h, w) -> (rows, channels,
    h, w)
    """
    generators = row_generators([settings.seed_of(number) for number in numbers])
    latents = noise(generators, shape, device=device)
    if settings.variation == 0 and not settings.variation_of:
        return latents, generators
    rows = zip(latents.split(1), numbers, strict=True)
    return torch.cat([_turned(row, settings.turns(number)) for row, number in rows]), generators


def _turned(row: Tensor, turns: Iterable[Turn]) -> Tensor:
    """row: (1, channels, h, w), turned once after the other"""
    for turn in turns:
        row = turned(row, noise(turn.seed, row.shape[1:], device=row.device), turn.strength)
    return row


def picture_size(model: BlipDiffusion, settings: Sampling) -> tuple[int, int]:
    """(width, height) in pixels: as asked for, or the size that the model was trained at.

    Raises: ConfigError for one far above that.
    """
    width, height = own_size(model)
    return check_size(model, (settings.width or width, settings.height or height))


@dataclass(frozen=True, slots=True, eq=False)
class EncodedRequest:
    """A request whose words and subject are encoded: what all its pictures share."""

    request: SubjectSampling
    positive: Conditioning  # one row
    negative: Conditioning | None  # one row, None without guidance
    warnings: tuple[str, ...]  # what had to be left out of the prompts


def encode(model: BlipDiffusion, request: SubjectSampling, subject: SubjectEmbedding) -> EncodedRequest:
    """The request's prompt with the subject among its words, and its negative prompt.

    Raises: PromptError for text that cannot be read, SubjectError for another model's subject.
    """
    check_slots(model, subject)
    tokenizer, positions = model.prompt_tokenizer, model.positions
    text = build_prompt(request.target or request.category, request.worded(request.prompt))
    words = amplify(text, tokenizer, positions - model.subject_slots, request.repeats)
    against = amplify(request.worded(request.negative), tokenizer, positions, 1)
    positive = model.encode_prompts([words.wording], [subject])
    negative = model.encode_prompts([against.wording]) if model.scale(request.guidance) != 1 else None
    warnings = tuple(part.warning for part in (words, against) if part.warning is not None)
    return EncodedRequest(request, positive, negative, warnings)


def plan_encoded(
    model: BlipDiffusion,
    encoded: EncodedRequest,
    seeds: Sequence[int],
    *,
    details: Reading | None = None,
    size: Size | None = None,
) -> SamplingPlan:
    """One row for each seed; what `details` reads is read by all of them.

    size: (width, height) in pixels, where it is not as asked for

    Raises: ConfigError for a size, scheduler or number of steps that the model cannot do.
    """
    rows = len(seeds)
    negative = None if encoded.negative is None else encoded.negative.repeat(rows)
    plan = plan_rows(model, encoded.request, encoded.positive.repeat(rows), negative, seeds, size)
    return plan if details is None else details.together(plan)


def check_slots(model: BlipDiffusion, subject: SubjectEmbedding) -> None:
    """Passes when the subject has as many rows as the model reads.

    Raises: SubjectError when it has not.
    """
    if len(subject.tokens) != model.subject_slots:
        raise SubjectError(
            f"The subject {subject.category!r} has {len(subject.tokens)} rows, this model reads {model.subject_slots}. "
            "Encode the photo again with this model."
        )


def check_size(model: BlipDiffusion, size: Size) -> Size:
    """The size itself, where the model can be asked for it.

    Raises: ConfigError for one far above the model's own, which would take hours and show nothing.
    """
    if size[0] * size[1] <= most_pixels(model):
        return size
    width, height = own_size(model)
    raise ConfigError(
        f"{size[0]} x {size[1]} pixels were asked for; {model.name} was trained at {width} x {height}, and draws at "
        f"most {OWN_TIMES} times as many pixels (512 x 512 in any case). Draw smaller, and enlarge the picture."
    )
