"""Edit: another subject in a picture, and the rest of the picture kept. A request becomes a plan; nothing runs here."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from blipdiff.attention.alignment import align, word_matrix
from blipdiff.attention.local_blend import LocalBlend, MaskUse, WordMask
from blipdiff.attention.prompt_to_prompt import AttentionEdit, PromptToPrompt, Refine, Replace, Reweight
from blipdiff.attention.store import CrossAttentionStore, cross_levels, grid, layout_level
from blipdiff.conditioning.guidance import Conditioning, Guidance
from blipdiff.conditioning.layout import TokenLayout
from blipdiff.conditioning.prompt import amplify, build_prompt
from blipdiff.conditioning.subject import SubjectEmbedding
from blipdiff.errors import ConfigError, PromptError
from blipdiff.given_pictures import PictureLike
from blipdiff.latents import latent_size
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.moment import Moment, Span, Window
from blipdiff.sampling.inversion import HeldSource
from blipdiff.sampling.loop import LatentEdit
from blipdiff.sampling.predictor import Control
from blipdiff.sampling.schedulers import build_scheduler, set_timesteps
from pipelines.controls.details import Details
from pipelines.edit.invert import Inversion, painted_mask
from pipelines.edit.request import AS_THE_AUTHORS, EditRequest
from pipelines.plan import SamplingPlan, first_noise, picture_size

_Value = TypeVar("_Value")
SOURCE, TARGET = 0, 1  # the rows of every edit


@dataclass(frozen=True, slots=True, eq=False)
class EncodedEdit:
    """An edit whose words and subject are encoded and checked: what all its pictures share."""

    request: EditRequest
    positive: Conditioning  # rows [source, target]
    negative: Conditioning | None  # the same for both rows, None without guidance
    edits: tuple[AttentionEdit, ...]
    slot_windows: Mapping[int, Span]  # of the target's slots with a window of their own
    blend_slots: Mapping[int, tuple[int, ...]]  # row -> the slots of the words whose place is edited
    swaps: bool  # whether the target is told anything else than the source
    warnings: tuple[str, ...]  # what had to be left out of the prompts


@dataclass(frozen=True, slots=True, eq=False)
class EditPlan:
    """A plan with rows [source, target], and what tells afterwards where it has edited."""

    sampling: SamplingPlan
    store: CrossAttentionStore
    blend: LocalBlend | None


@dataclass(frozen=True, slots=True, eq=False)
class _Start:
    """What an edit begins with, by the kind of its source."""

    latents: Tensor  # (1, channels, h, w), for both rows
    source_scale: float  # of the source row's guidance
    painted: Tensor | None  # (h, w)
    edits: tuple[LatentEdit, ...] = ()
    generators: tuple[torch.Generator, ...] | None = None


def encode_edit(model: BlipDiffusion, request: EditRequest, subject: SubjectEmbedding | None = None) -> EncodedEdit:
    """Both prompts, with the subject among the target's words, and how the target's attention comes from the source's.

    Both are cut where the target's is full, so that neither says what the other cannot.

    Raises: PromptError for words that are not in their prompt, and for replacing between prompts of different
    structure; SubjectError for another model's subject; ConfigError for weights or windows that are no numbers.
    """
    tokenizer, positions = model.prompt_tokenizer, model.positions
    budget = positions - (model.subject_slots if subject is not None else 0)
    before = amplify(build_prompt(request.source, request.worded(request.prompt)), tokenizer, budget, 1)
    after = amplify(build_prompt(request.drawn, request.worded(request.target_scene)), tokenizer, budget, 1)
    against = amplify(request.worded(request.negative), tokenizer, positions, 1)
    positive = model.encode_prompts([before.wording, after.wording], [None, subject])
    negative = model.encode_prompts([against.wording]).repeat(2) if model.scale(request.guidance) != 1 else None
    source, target = positive.layouts
    return EncodedEdit(
        request=request,
        positive=positive,
        negative=negative,
        edits=_attention_edits(request, source, target, (before.text, after.text)),
        slot_windows=_by_slot(request.word_stops, target, request.cross_span),
        blend_slots=_blend_slots(request, source, target) if request.local_blend else {},
        swaps=bool(target.subject_slots) or before.wording != after.wording,
        warnings=tuple(dict.fromkeys(part.warning for part in (before, after, against) if part.warning is not None)),
    )


def plan_edit(
    model: BlipDiffusion,
    encoded: EncodedEdit,
    source: int | Inversion,
    *,
    mask: PictureLike | None = None,
    controls: Sequence[Control] = (),
    details: Details | None = None,
) -> EditPlan:
    """Rows [source, target]: from one noise where a seed makes the source, else from an inverted photo.

    A photo's source row follows its prompt without guidance, as it was inverted; both rows of a seed are guided.

    mask: where the edit may happen, in white, of the generated picture's size; a photo brings its own
    details: read by the target row inside the mask

    Raises: ConfigError for a size, scheduler, level or number of steps that the model cannot do, ImageError for a mask
    that is empty or of another size.
    """
    request = encoded.request
    scheduler = build_scheduler(request.scheduler, model.scheduler_config)
    set_timesteps(scheduler, request.steps, model.device)
    if isinstance(source, Inversion):
        if mask is not None:
            raise ConfigError("A photo's mask is given with the photo, before it is inverted.")
        start = _photo_start(request, source)
    else:
        start = _seed_start(model, request, source, mask)
    latents = start.latents.repeat(2, 1, 1, 1)
    if isinstance(source, Inversion) and encoded.swaps:
        latents[TARGET] = _freshened(latents[TARGET], request)
    store = CrossAttentionStore((latents.shape[-2], latents.shape[-1]), (_blend_level(model, request),))
    blend = _local_blend(encoded, store, start.painted)
    window = Window(request.guidance_start, request.guidance_stop)
    scales = torch.tensor([start.source_scale, model.scale(request.guidance)])
    guidance = Guidance(encoded.positive, encoded.negative, scales, window)
    taps = (_prompt_to_prompt(model, encoded, latents), store)
    edits: list[LatentEdit] = [*start.edits, *([] if blend is None else [blend])]
    plan = SamplingPlan(guidance, latents, scheduler, controls, taps, edits, start.generators)
    if details is not None and details.are_read:
        plan = _reading(plan, details, blend)
    return EditPlan(plan, store, blend)


def _reading(plan: SamplingPlan, details: Details, blend: LocalBlend | None) -> SamplingPlan:
    """The target row reads the new subject's photos, where it is edited as far as that is known."""
    size = (plan.latents.shape[-2], plan.latents.shape[-1])

    def where(moment: Moment) -> Tensor | None:
        assert blend is not None
        is_found = blend.words is not None and (blend.painted is None or blend.use != "alone")
        return None if is_found and moment.index == 0 else blend.mask(size)[None]

    weights = [torch.tensor([0.0, share]) for share in details.shares]
    places = None if blend is None else (where,) * len(weights)
    return details.apart(plan, weights=weights, where=places)


def _photo_start(request: EditRequest, source: Inversion) -> _Start:
    edits = (HeldSource(source.way),) if request.hold_source else ()
    return _Start(source.way[-1], 1.0, source.photo.painted, edits)


def _freshened(latents: Tensor, request: EditRequest) -> Tensor:
    """Inverted noise (channels, h, w) with a share of new noise from the request's seed, of the same variance."""
    share = request.dial().fresh_noise
    fresh = first_noise(request, [request.seed], tuple(latents.shape), latents.device)[0][0].to(latents)
    return latents * math.sqrt(1 - share) + fresh * math.sqrt(share)


def _seed_start(model: BlipDiffusion, request: EditRequest, seed: int, mask: PictureLike | None) -> _Start:
    """One noise for both rows; their generators stay in step, for schedulers that add noise."""
    width, height = picture_size(model, request)
    size = latent_size(model.vae, height, width)
    latents, generators = first_noise(request, [seed, seed], (int(model.unet.config.in_channels), *size), model.device)
    painted = None if mask is None else painted_mask(mask, (width, height), size)
    return _Start(latents[:1], model.scale(request.guidance), painted, generators=tuple(generators))


def _prompt_to_prompt(model: BlipDiffusion, encoded: EncodedEdit, latents: Tensor) -> PromptToPrompt:
    request, dial = encoded.request, encoded.request.dial()
    level = layout_level(model.unet) if request.self_level is None else request.self_level
    height, width = grid((latents.shape[-2], latents.shape[-1]), level)
    return PromptToPrompt(
        encoded.edits,
        cross_window=request.cross_span(dial.cross_stop),
        slot_windows=encoded.slot_windows,
        self_window=request.self_span(dial.self_stop),
        self_positions=height * width,
    )


def _local_blend(encoded: EncodedEdit, store: CrossAttentionStore, painted: Tensor | None) -> LocalBlend | None:
    request = encoded.request
    words = None
    if encoded.blend_slots:
        dial, raised = request.dial(), request.mask_map == "raised"
        words = WordMask(store, encoded.blend_slots, dial.blend_threshold, request.blend_softness, raised)
    if words is None and painted is None:
        return None
    use: MaskUse = request.mask_use  # type: ignore[assignment]
    return LocalBlend(words, painted, use, Window(request.blend_start, 1.0))


def _blend_level(model: BlipDiffusion, request: EditRequest) -> int:
    if request.blend_level is None:
        return layout_level(model.unet)
    levels = cross_levels(model.unet)
    if request.blend_level not in levels:
        raise ConfigError(f"This U-Net reads words at the levels {list(levels)}, not at {request.blend_level}.")
    return request.blend_level


def _attention_edits(
    request: EditRequest, source: TokenLayout, target: TokenLayout, texts: tuple[str, str]
) -> tuple[AttentionEdit, ...]:
    first: AttentionEdit
    if request.method == "refine":
        first = Refine(align(source, target))
    else:
        first = Replace(word_matrix(source, target, texts if request.counting == AS_THE_AUTHORS else None))
    scales = _by_slot(request.word_weights, target, float)
    return (first, Reweight(scales)) if scales else (first,)


def _blend_slots(request: EditRequest, source: TokenLayout, target: TokenLayout) -> dict[int, tuple[int, ...]]:
    """The words given in `focus`, in each prompt that is looked at; without them, what is swapped for what.

    Raises: PromptError for a word that is not there; ConfigError where no subject is and its place is to be the mask.
    """
    whose = request.blend_words or ("swap" if target.subject_slots and not request.focus.strip() else "source")
    if whose in ("subject", "swap"):
        if not target.subject_slots:
            raise ConfigError("The mask was to come from the subject's place, and there is no subject; choose source.")
        return {TARGET: target.subject_slots} | ({SOURCE: source.slots(request.source)} if whose == "swap" else {})
    rows = {"source": (SOURCE,), "target": (TARGET,), "both": (SOURCE, TARGET)}[whose]
    layouts = {SOURCE: (source, request.source), TARGET: (target, request.drawn)}
    focus = [word.strip() for word in request.focus.split(",") if word.strip()]
    found = {}
    for row in rows:
        layout, swapped = layouts[row]
        found[row] = tuple(slot for word in focus or [swapped] for slot in layout.slots(word))
    return found


def _by_slot(text: str, layout: TokenLayout, make: Callable[[float], _Value]) -> dict[int, _Value]:
    """ "snow: 2, red hat: 0.5" as a value for each slot of these words."""
    found = {}
    for part in (part for part in text.split(",") if part.strip()):
        word, colon, number = part.rpartition(":")
        try:
            value = float(number)
        except ValueError:
            colon = ""
        if not colon or not word.strip():
            raise PromptError(f"{part.strip()!r} was given for a word and its number; write 'snow: 2'.")
        found.update(dict.fromkeys(layout.slots(word.strip()), make(value)))
    return found
