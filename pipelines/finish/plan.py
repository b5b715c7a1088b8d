"""Plans that go on from a picture: its latents under noise, what it is told, and tiles where it is large."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from PIL import Image
from torch import Tensor

from blipdiff.conditioning.prompt import amplify, build_prompt
from blipdiff.images import fitted, picture_tensor
from blipdiff.latents import encode_picture, size_factor
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.sampling.cost import Size, own_size, times_own
from blipdiff.sampling.held import HeldOutside
from blipdiff.sampling.predictor import GuidedPredictor, NoisePredictor
from blipdiff.sampling.schedulers import noised
from blipdiff.sampling.tiles import OverlappingTiles
from pipelines.controls.details import Details
from pipelines.finish.request import Redrawing
from pipelines.inputs import Input
from pipelines.job import Job
from pipelines.plan import EncodedRequest, SamplingPlan, check_size, encode, plan_encoded
from pipelines.studio import Studio

_TILED = 1.5  # times the model's own pixels above which a picture is drawn in tiles


@dataclass(frozen=True, slots=True, eq=False)
class Begun:
    """A picture that is drawn further, with what all its rows share.

    latents: (1, channels, h, w) of it at `size` = (W, H); inputs: its subject, as pictures keep it
    """

    request: Redrawing
    encoded: EncodedRequest
    details: Details
    latents: Tensor
    size: Size
    strength: float
    inputs: Mapping[str, tuple[Input, ...]]

    def plan(self, model: BlipDiffusion, seeds: Sequence[int], free: Tensor | None = None) -> SamplingPlan:
        """One row for each seed, from the picture's latents under as much noise as the strength says.

        free: (h, w) in [0, 1], where the run may change what is there; None for everywhere

        Raises: ConfigError for a scheduler that cannot begin there, or a number of steps that it cannot make.
        """
        plan = plan_encoded(model, self.encoded, seeds, size=self.size)
        tile = _tile(model, plan.latents, self.size)
        if self.details.are_read:  # by each tile as by a picture of its own
            part = replace(plan, latents=plan.latents[..., : tile[0], : tile[1]])
            plan = replace(plan, more_keys=self.details.together(part).more_keys)
        way, start = noised(plan.scheduler, self.latents.repeat(len(seeds), 1, 1, 1), plan.latents), self._start(plan)
        edits = () if free is None else (HeldOutside(way, free),)
        latents = way[start] if start > 0 else plan.latents
        wrap = in_tiles(tile) if tile != tuple(plan.latents.shape[-2:]) else None
        return replace(plan, latents=latents, start=start, edits=edits, wrap=wrap)

    def _start(self, plan: SamplingPlan) -> int:
        count = len(plan.scheduler.timesteps)
        return min(count - 1, round(count * (1 - self.strength)))


def begun(studio: Studio, job: Job, picture: Image.Image, size: Size, strength: float) -> Begun:
    """A picture at `size` = (W, H), ready to be drawn further by an opened job's words and subject.

    Raises: BlipdiffError for what the model cannot do.
    """
    model, request = studio.model, job.request
    check_size(model, size)
    given, inputs = job.given("subject"), {}
    if model.detail_adapter is not None and is_tiled(model, size):
        request = replace(request, detail=0.0)  # what it learned is where in a whole picture the subject stands
    details = studio.details(request, given)
    if given:
        subject = studio.subject_of(given, fit=request.fit)
        encoded, inputs = encode(model, _spoken(request, given[0].word), subject), {"subject": details.kept(subject)}
    else:
        encoded = _encode_words(model, _spoken(request, ""))
    pixels = picture_tensor(fitted(picture, size, "squash"))[None].to(model.vae.device)
    with studio.computing():
        latents = encode_picture(model.vae, pixels).to(model.device)
    return Begun(request, encoded, details, latents, size, strength, inputs)


def work_size(model: BlipDiffusion, size: tuple[float, float]) -> Size:
    """The nearest size in pixels that the U-Net can take: whole places at its coarsest level."""
    unit = size_factor(model.vae) * 2 ** (len(model.unet.config.block_out_channels) - 1)
    return max(unit, round(size[0] / unit) * unit), max(unit, round(size[1] / unit) * unit)


def in_tiles(side: tuple[int, int]) -> Callable[[GuidedPredictor], NoisePredictor]:
    """What wraps a run's predictor in overlapping tiles of `side` = (h, w) latents."""
    return lambda whole: OverlappingTiles(whole, side)


def is_tiled(model: BlipDiffusion, size: Size) -> bool:
    """Whether a picture of this size is drawn in tiles."""
    return times_own(model, size) > _TILED


def _tile(model: BlipDiffusion, latents: Tensor, size: Size) -> tuple[int, int]:
    """(h, w) of a tile: the model's own size, or the picture's where that is hardly larger."""
    width, height = own_size(model)
    if not is_tiled(model, size):
        return latents.shape[-2], latents.shape[-1]
    factor = size_factor(model.vae)
    return min(height // factor, latents.shape[-2]), min(width // factor, latents.shape[-1])


def _spoken(request: Redrawing, word: str) -> Redrawing:
    """The request with nothing left to the picture's own job, which says no more."""
    return replace(
        request, category=request.category or word or None, prompt=request.prompt or "", negative=request.negative or ""
    )


def _encode_words(model: BlipDiffusion, request: Redrawing) -> EncodedRequest:
    """As `pipelines.plan.encode` without a subject: the words alone."""
    tokenizer, positions = model.prompt_tokenizer, model.positions
    prompt, target = request.worded(request.prompt or ""), request.target or request.category
    words = amplify(build_prompt(target, prompt) if target else prompt, tokenizer, positions, request.repeats)
    against = amplify(request.worded(request.negative or ""), tokenizer, positions, 1)
    negative = model.encode_prompts([against.wording]) if model.scale(request.guidance) != 1 else None
    warnings = tuple(part.warning for part in (words, against) if part.warning is not None)
    return EncodedRequest(request, model.encode_prompts([words.wording]), negative, warnings)
