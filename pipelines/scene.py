"""Scene: several subjects in one picture, each in its region and bound to its word."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeAlias

import torch
from PIL import Image
from torch import Tensor

from blipdiff.attention.regions import (
    Blocks,
    Box,
    FoundRegions,
    RegionAttention,
    box_mask,
    checked_regions,
    softened,
)
from blipdiff.attention.store import CrossAttentionStore, layout_level
from blipdiff.conditioning.guidance import Conditioning, Guidance
from blipdiff.conditioning.prompt import amplify, build_prompt
from blipdiff.conditioning.subject import SubjectEmbedding
from blipdiff.errors import ConfigError, ImageError, PromptError
from blipdiff.latents import latent_size
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.moment import Window
from blipdiff.sampling.predictor import Control, Residuals
from blipdiff.sampling.tiles import Tile, tiled
from pipelines.generate import at_own_guidance, check_slots, picture_size, plan_rows
from pipelines.masks import as_mask, mask_text, scaling_of
from pipelines.plan import SamplingPlan
from pipelines.results import Picture
from pipelines.scene_request import SceneRequest
from pipelines.studio import Notice, Progress, Reference, Studio, subject_text

TASK = "scene"  # in the metadata's request
_TILED = 0.25  # of a soft mask: what belongs to a region's tile
_SMALLEST_TILE = 0.75  # of the side that the model was trained at

Region: TypeAlias = Box | Image.Image | None  # a box, a painted mask (white is inside), or to be found


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """A subject bound to a word of the prompt, and its region."""

    word: str
    reference: Reference
    region: Region = None


@dataclass(frozen=True, slots=True, eq=False)
class SceneRows:
    """A scene's encoded words: what all its pictures share."""

    blocks: Blocks  # one row: the scene's sentence, then each region's
    negative: Conditioning | None  # one row of the same shape
    words: tuple[tuple[int, ...], ...]  # slots of each region's word in the scene's sentence
    warnings: tuple[str, ...]


SceneEvent: TypeAlias = Notice | Progress | Picture


def draw_scene(
    studio: Studio,
    request: SceneRequest,
    placed: Sequence[Placed],
    *,
    controls: Sequence[Control] = (),
    told: Mapping[str, Any] | None = None,
    preview_every: int = 0,
) -> Generator[SceneEvent]:
    """Notices, progress, and the pictures as they are finished.

    told: what the metadata say of `controls`

    Raises: BlipdiffError for bindings, regions or subjects that cannot be used, before anything is drawn.
    """
    model = studio.model
    request = at_own_guidance(model, request)
    request, bound = arranged(model, request, placed)
    size = _latent_size(model, request)
    masks = region_masks(request, bound, size)
    subjects = studio.subjects([one.reference for one in bound], fit=request.fit)
    rows = encode_scene(model, request, [one.word for one in bound], subjects)
    seeds = request.seeds()
    batches = [seeds[first : first + request.batch] for first in range(0, len(seeds), request.batch)]
    yield from (Notice(text) for text in [*rows.warnings, *scaling_of(_painted(bound), picture_size(model, request))])
    plans = ((plan_scene(model, request, rows, masks, batch, controls=controls), 1) for batch in batches)
    yield from studio.size_notices(picture_size(model, request), plans, side_by_side=len(bound))
    kept = {**_told(request, bound, subjects), **(told or {})}
    done = 0
    for batch in batches:
        plan = plan_scene(model, request, rows, masks, batch, controls=controls)
        for event in studio.draw(plan, batch, preview_every=preview_every):
            if isinstance(event, Progress):
                done += 1
                yield replace(event, step=done, steps=event.steps * len(batches))
            else:
                seed = batch[event[1]]
                yield studio.picture(event[0], seed, seed - request.seed, kept)


def bound_in_order(request: SceneRequest, placed: Sequence[Placed]) -> list[Placed]:
    """The subjects in the order of their words.

    Raises: PromptError for a word without a subject, a subject without a word, or two subjects at one word;
    ConfigError where some subjects have a region and others none.
    """
    words = request.parsed.words
    by_word: dict[str, Placed] = {}
    for one in placed:
        key = one.word.strip().lower()
        if key in by_word:
            raise PromptError(f"The word {one.word!r} is bound twice; give each subject a word of its own.")
        if key not in {word.lower() for word in words}:
            raise PromptError(f"The prompt has no {{{one.word}}}; in braces there stand: {', '.join(words)}.")
        by_word[key] = one
    missing = [word for word in words if word.lower() not in by_word]
    if missing:
        raise PromptError(f"The word {missing[0]!r} of the prompt has no subject; give one for each word in braces.")
    bound = [by_word[word.lower()] for word in words]
    without = [one.word for one in bound if one.region is None]
    if without and len(without) < len(bound):
        raise ConfigError(f"{without[0]!r} has no region and others have; give one for each subject, or for none.")
    return bound


def arranged(
    model: BlipDiffusion, request: SceneRequest, placed: Sequence[Placed]
) -> tuple[SceneRequest, list[Placed]]:
    """The request and the subjects in the order of their words, side by side where they have no regions.

    A size that is not asked for either becomes one in which each has a box as large as the pictures that the model
    was trained on.

    Raises: as `bound_in_order`.
    """
    bound = bound_in_order(request, placed)
    if request.arrange != "row" or any(one.region is not None for one in bound):
        return request, bound
    count = len(bound)
    if request.width is None and request.height is None:
        width, height = picture_size(model, request)
        request = replace(request, width=count * width, height=height)
    boxes = [(place / count, 0.0, (place + 1) / count, 1.0) for place in range(count)]
    return request, [replace(one, region=box) for one, box in zip(bound, boxes, strict=True)]


def region_masks(request: SceneRequest, bound: Sequence[Placed], size: tuple[int, int]) -> Tensor | None:
    """(1, regions, h, w) with soft borders; None where the regions shall be found.

    Raises: ConfigError and ImageError for regions that are empty, overlap or lie outside.
    """
    if any(one.region is None for one in bound):
        return None
    masks = torch.stack([_mask(one, size) for one in bound])
    return softened(checked_regions(masks, [one.word for one in bound]), request.softness)[None]


def encode_scene(
    model: BlipDiffusion, request: SceneRequest, words: Sequence[str], subjects: Sequence[SubjectEmbedding]
) -> SceneRows:
    """The scene's sentence without a subject, and "a [subject] dog on a sofa" for each word.

    Raises: PromptError for text that cannot be read, SubjectError for another model's subject.
    """
    for subject in subjects:
        check_slots(model, subject)
    prompt, tokenizer, positions = request.parsed, model.prompt_tokenizer, model.positions
    whole = amplify(prompt.text, tokenizer, positions, 1)
    own = [amplify(build_prompt(word, prompt.scene), tokenizer, positions - model.subject_slots, 1) for word in words]
    against = amplify(request.negative, tokenizer, positions, 1)
    rows = model.encode_prompts([whole.text, *(text.text for text in own)], [None, *subjects])
    blocks = Blocks.of([rows.select([place]) for place in range(rows.rows)])
    negative = None
    if model.scale(request.guidance) != 1:
        negative = Blocks.of([model.encode_prompts([against.text])] * rows.rows).conditioning
    warnings = [text.warning for text in (whole, *own, against) if text.warning is not None]
    return SceneRows(
        blocks, negative, tuple(rows.layouts[0].slots(word) for word in words), tuple(dict.fromkeys(warnings))
    )


def plan_scene(
    model: BlipDiffusion,
    request: SceneRequest,
    rows: SceneRows,
    masks: Tensor | None,
    seeds: Sequence[int],
    *,
    controls: Sequence[Control] = (),
) -> SamplingPlan:
    """One row for each seed; `masks` as `region_masks` gives them.

    Control branches read the whole scene's sentence alone: they know nothing of regions.

    Raises: ConfigError for what the model cannot draw.
    """
    count = len(seeds)
    positive = rows.blocks.conditioning.repeat(count)
    negative = None if rows.negative is None else rows.negative.repeat(count)
    plan = plan_rows(model, request, positive, negative, seeds)
    size = (plan.latents.shape[-2], plan.latents.shape[-1])
    levels = len(model.unet.config.down_block_types)
    window = Window(request.regions_start, request.regions_stop)
    alone = tuple(_SceneAlone(one, rows.blocks.slots) for one in controls)
    if masks is not None:
        tap = RegionAttention(size, rows.blocks.slots, masks, levels=levels, window=window)
        tiles = _tiles(request, plan.guidance, rows, masks, int(model.unet.config.sample_size))
        return replace(plan, taps=(tap,), wrap=tiled(tiles), controls=alone)
    if not 0 < request.find_until < 1:
        raise ConfigError("Regions are found in the first part of a run: 'find until' lies between 0 and 1.")
    store = CrossAttentionStore(size, (layout_level(model.unet),), window=Window(0.0, request.find_until))
    if int(request.find_until * request.steps) < 1:
        raise ConfigError(f"In {request.steps} steps nothing is found until {request.find_until:g}; take more steps.")
    found = FoundRegions(store, rows.words, size, request.softness)
    tap = RegionAttention(size, rows.blocks.slots, found, levels=levels, window=window)
    return replace(plan, taps=(tap, store), controls=alone)


def _tiles(request: SceneRequest, whole: Guidance, rows: SceneRows, masks: Tensor, own: int) -> list[Tile]:
    """Each region's bounding box as a picture of its own, under its own sentence, by its soft mask.

    A box much smaller than the pictures that the model was trained on, whose latents' side is `own`, gets none: it
    would show a part of a subject at the scale of a whole picture.
    """
    tiles, count = [], whole.rows
    for region in range(masks.shape[1]):
        inside = masks[0, region] > _TILED
        there = [[place for place, one in enumerate(inside.any(across).tolist()) if one] for across in (1, 0)]
        if request.own_frame_until == 0 or min(map(len, there)) < _SMALLEST_TILE * own:
            continue
        lines, columns = (slice(side[0], side[-1] + 1) for side in there)
        negative = None if rows.negative is None else Blocks(rows.negative, rows.blocks.slots).sentence(0).repeat(count)
        guidance = Guidance(rows.blocks.sentence(region + 1).repeat(count), negative, whole.scale, whole.window)
        weight = masks[:1, region : region + 1, lines, columns]
        tiles.append(Tile(guidance, (lines, columns), weight, Window(0.0, request.own_frame_until)))
    return tiles


@dataclass(frozen=True, slots=True, eq=False)
class _SceneAlone:
    """A control branch that reads the first sentence, the scene's."""

    inner: Control
    slots: int

    @property
    def conditional_only(self) -> bool:
        """The branch's own."""
        return self.inner.conditional_only

    def residuals(
        self, latents: Tensor, context: Tensor, moment: Any, rows: Sequence[int] | None = None
    ) -> Residuals | None:
        """The branch's own, for the first sentence."""
        return self.inner.residuals(latents, context[:, : self.slots], moment, rows)


def _mask(one: Placed, size: tuple[int, int]) -> Tensor:
    if isinstance(one.region, Image.Image):
        grey = as_mask(one.region).resize((size[1], size[0]), Image.Resampling.BOX)
        mask = torch.tensor(list(grey.getdata()), dtype=torch.float32).view(size) / 255
        if not bool((mask > 0).any()):
            raise ImageError(f"The painted mask of {one.word!r} is empty; paint white where the subject shall be.")
        return mask
    if one.region is None:
        raise ConfigError(f"{one.word!r} has no region.")
    return box_mask(one.region, size)


def _latent_size(model: BlipDiffusion, request: SceneRequest) -> tuple[int, int]:
    width, height = picture_size(model, request)
    return latent_size(model.vae, height, width)


def _told(request: SceneRequest, bound: Sequence[Placed], subjects: Sequence[SubjectEmbedding]) -> Mapping[str, Any]:
    regions = {one.word: _region_text(one.region) for one in bound}
    painted = {word: mask_text(mask) for word, mask in _painted(bound).items()}
    return {
        **asdict(request),
        "task": TASK,
        "category": " and ".join(one.word for one in bound),
        "regions": regions,
        "subjects": {one.word: subject_text(subject) for one, subject in zip(bound, subjects, strict=True)},
        **({"painted": painted} if painted else {}),
    }


def _painted(bound: Sequence[Placed]) -> dict[str, Image.Image]:
    return {one.word: one.region for one in bound if isinstance(one.region, Image.Image)}


def _region_text(region: Region) -> str | list[float]:
    if isinstance(region, tuple):
        return list(region)
    return "found" if region is None else "painted"
