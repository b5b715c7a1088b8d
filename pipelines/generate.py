"""Generate: a subject in the scene that a prompt describes. A request becomes a plan; nothing runs here."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from blipdiff.conditioning.guidance import Conditioning, Guidance
from blipdiff.conditioning.prompt import amplify, build_prompt
from blipdiff.conditioning.subject import SubjectEmbedding
from blipdiff.errors import SubjectError
from blipdiff.latents import latent_size, noise, row_generators
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.moment import Window
from blipdiff.sampling.cost import own_size
from blipdiff.sampling.schedulers import build_scheduler, set_timesteps
from pipelines.plan import SamplingPlan
from pipelines.requests import GenerateRequest
from pipelines.sizes import check_size


class Sized(Protocol):
    """What a request says of its pictures' size."""

    @property
    def width(self) -> int | None: ...
    @property
    def height(self) -> int | None: ...


class Settings(Sized, Protocol):
    """What every request says of how its pictures are drawn."""

    @property
    def steps(self) -> int: ...
    @property
    def scheduler(self) -> str: ...
    @property
    def guidance(self) -> float | None: ...
    @property
    def guidance_start(self) -> float: ...
    @property
    def guidance_stop(self) -> float: ...


class Guided(Protocol):
    """What a request says of guidance; None stands for the model's own."""

    @property
    def guidance(self) -> float | None: ...


_Guided = TypeVar("_Guided", bound=Guided)


@dataclass(frozen=True, slots=True, eq=False)
class EncodedRequest:
    """A request whose words and subject are encoded: what all its pictures share."""

    request: GenerateRequest  # at the model's own guidance where none was asked for
    positive: Conditioning  # one row
    negative: Conditioning | None  # one row, None without guidance
    warnings: tuple[str, ...]  # what had to be left out of the prompts


def at_own_guidance(model: BlipDiffusion, request: _Guided) -> _Guided:
    """The request with the model's own guidance where none was asked for, as pictures tell it."""
    return replace(request, guidance=model.scale(request.guidance))  # type: ignore[type-var]


def encode(model: BlipDiffusion, request: GenerateRequest, subject: SubjectEmbedding) -> EncodedRequest:
    """The request's prompt with the subject among its words, and its negative prompt.

    Raises: PromptError for text that cannot be read, SubjectError for another model's subject.
    """
    check_slots(model, subject)
    request = at_own_guidance(model, request)
    tokenizer, positions = model.prompt_tokenizer, model.positions
    text = build_prompt(request.target or request.category, request.prompt)
    words = amplify(text, tokenizer, positions - model.subject_slots, request.repeats)
    against = amplify(request.negative, tokenizer, positions, 1)
    positive = model.encode_prompts([words.text], [subject])
    negative = model.encode_prompts([against.text]) if request.guidance != 1 else None
    warnings = tuple(part.warning for part in (words, against) if part.warning is not None)
    return EncodedRequest(request, positive, negative, warnings)


def check_slots(model: BlipDiffusion, subject: SubjectEmbedding) -> None:
    """Passes when the subject has as many rows as the model reads.

    Raises: SubjectError when it has not.
    """
    if len(subject.tokens) != model.subject_slots:
        raise SubjectError(
            f"The subject {subject.category!r} has {len(subject.tokens)} rows, this model reads {model.subject_slots}. "
            "Encode the photo again with this model."
        )


def plan_generate(model: BlipDiffusion, encoded: EncodedRequest, seeds: Sequence[int]) -> SamplingPlan:
    """One row for each seed.

    Raises: ConfigError for a size, scheduler or number of steps that the model cannot do.
    """
    rows = len(seeds)
    negative = None if encoded.negative is None else encoded.negative.repeat(rows)
    return plan_rows(model, encoded.request, encoded.positive.repeat(rows), negative, seeds)


def plan_rows(
    model: BlipDiffusion,
    settings: Settings,
    positive: Conditioning,
    negative: Conditioning | None,
    seeds: Sequence[int],
) -> SamplingPlan:
    """One row for each row of conditioning, each from its own seed's noise.

    Raises: ConfigError for a size, scheduler or number of steps that the model cannot do.
    """
    width, height = picture_size(model, settings)
    generators = row_generators(list(seeds))
    channels = int(model.unet.config.in_channels)
    latents = noise(generators, (channels, *latent_size(model.vae, height, width)), device=model.device)
    scheduler = build_scheduler(settings.scheduler, model.scheduler_config)
    set_timesteps(scheduler, settings.steps, model.device)
    window = Window(settings.guidance_start, settings.guidance_stop)
    guidance = Guidance.even(positive, negative, model.scale(settings.guidance), window)
    return SamplingPlan(guidance, latents, scheduler, generators=generators)


def picture_size(model: BlipDiffusion, settings: Sized) -> tuple[int, int]:
    """(width, height) in pixels: as asked for, or the size that the model was trained at.

    Raises: ConfigError for one far above that.
    """
    width, height = own_size(model)
    return check_size(model, (settings.width or width, settings.height or height))
