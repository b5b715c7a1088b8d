"""Scene: several subjects in one picture, each in its region and bound to its word."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from blipdiff.attention.regions import (
    Blocks,
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
from blipdiff.errors import ConfigError, ImageError
from blipdiff.masks import as_mask
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.moment import Moment, Window
from blipdiff.sampling.predictor import Control, Residuals
from blipdiff.sampling.tiles import Tile, tiled
from pipelines.controls.details import Details
from pipelines.inputs import Input
from pipelines.plan import SamplingPlan, check_slots, picture_size, plan_rows
from pipelines.scene.request import SceneRequest, bound_in_order

_TILED = 0.25  # of a soft mask: what belongs to a region's tile
_SMALLEST_TILE = 0.75  # of the side that the model was trained at


@dataclass(frozen=True, slots=True, eq=False)
class SceneRows:
    """A scene's encoded words: what all its pictures share."""

    blocks: Blocks  # one row: the scene's sentence, then each region's
    negative: Conditioning | None  # one row of the same shape
    words: tuple[tuple[int, ...], ...]  # slots of each region's word in the scene's sentence
    warnings: tuple[str, ...]


def is_placed(one: Input) -> bool:
    """Whether a subject has a region."""
    return one.box is not None or one.mask is not None


def arranged(model: BlipDiffusion, request: SceneRequest, placed: Sequence[Input]) -> tuple[SceneRequest, list[Input]]:
    """The request and the subjects in the order of their words, side by side where they have no regions.

    A size that is not asked for either becomes one in which each has a box as large as the pictures that the model
    was trained on.

    Raises: as `bound_in_order`.
    """
    bound = bound_in_order(request, placed)
    if request.arrange != "row" or any(is_placed(one) for one in bound):
        return request, bound
    count = len(bound)
    if request.width is None and request.height is None:
        width, height = picture_size(model, request)
        request = replace(request, width=count * width, height=height)
    boxes = [(place / count, 0.0, (place + 1) / count, 1.0) for place in range(count)]
    return request, [replace(one, box=box) for one, box in zip(bound, boxes, strict=True)]


def region_masks(request: SceneRequest, bound: Sequence[Input], size: tuple[int, int]) -> Tensor | None:
    """(1, regions, h, w) with soft borders; None where the regions shall be found.

    Raises: ConfigError and ImageError for regions that are empty, overlap or lie outside.
    """
    if not all(is_placed(one) for one in bound):
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
    whole = amplify(request.worded(prompt.text), tokenizer, positions, 1)
    own = [
        amplify(build_prompt(word, request.worded(prompt.scene)), tokenizer, positions - model.subject_slots, 1)
        for word in words
    ]
    against = amplify(request.worded(request.negative), tokenizer, positions, 1)
    rows = model.encode_prompts([whole.wording, *(text.wording for text in own)], [None, *subjects])
    blocks = Blocks.of([rows.select([place]) for place in range(rows.rows)])
    negative = None
    if model.scale(request.guidance) != 1:
        negative = Blocks.of([model.encode_prompts([against.wording])] * rows.rows).conditioning
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
    details: Details | None = None,
) -> SamplingPlan:
    """One row for each seed; `masks` as `region_masks` gives them. Each subject's details are read in its region.

    Control branches read the whole scene's sentence alone: they know nothing of regions.

    Raises: ConfigError for what the model cannot draw.
    """
    count = len(seeds)
    blocks = rows.blocks if masks is None else rows.blocks.acting_in(list(masks.unbind(1)))
    positive = blocks.conditioning.repeat(count)
    negative = None if rows.negative is None else rows.negative.repeat(count)
    plan = plan_rows(model, request, positive, negative, seeds)
    size = (plan.latents.shape[-2], plan.latents.shape[-1])
    levels = len(model.unet.config.down_block_types)
    window = Window(request.regions_start, request.regions_stop)
    alone = tuple(_SceneAlone(one, rows.blocks.slots) for one in controls)
    if masks is not None:
        tap = RegionAttention(size, rows.blocks.slots, masks, levels=levels, window=window)
        if details is not None:
            plan = details.apart(plan, where=[masks[:, region] for region in range(masks.shape[1])], framed=True)
        tiles = _tiles(request, plan, rows, masks, int(model.unet.config.sample_size), details)
        return replace(plan, taps=(tap,), wrap=tiled(tiles), controls=alone)
    if not 0 < request.find_until < 1:
        raise ConfigError("Regions are found in the first part of a run: 'find until' lies between 0 and 1.")
    store = CrossAttentionStore(size, (layout_level(model.unet),), window=Window(0.0, request.find_until))
    steps = len(plan.scheduler.timesteps)
    if int(request.find_until * steps) < 1:
        raise ConfigError(f"In {steps} steps nothing is found until {request.find_until:g}; take more steps.")
    found = FoundRegions(store, rows.words, size, request.softness)
    tap = RegionAttention(size, rows.blocks.slots, found, levels=levels, window=window)
    places = [_Found(found, region) for region in range(len(rows.words))]
    if details is not None:
        plan = details.apart(plan, where=places, framed=True)
    heard = replace(plan.guidance, positive=rows.blocks.acting_in(places).conditioning.repeat(count))
    return replace(plan, guidance=heard, taps=(tap, store), controls=alone)


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """One of the regions that a run finds; none while it is looked for."""

    regions: FoundRegions
    region: int

    def __call__(self, moment: Moment) -> Tensor | None:
        """(rows, h, w)"""
        masks = self.regions(moment)
        return None if masks is None else masks[:, self.region]


def _tiles(
    request: SceneRequest, plan: SamplingPlan, rows: SceneRows, masks: Tensor, own: int, details: Details | None
) -> list[Tile]:
    """Each region's bounding box as a picture of its own, under its own sentence, by its soft mask.

    A box much smaller than the pictures that the model was trained on, whose latents' side is `own`, gets none: it
    would show a part of a subject at the scale of a whole picture.
    """
    whole = plan.guidance
    tiles, count = [], whole.rows
    for region in range(masks.shape[1]):
        inside = masks[0, region] > _TILED
        there = [[place for place, one in enumerate(inside.any(across).tolist()) if one] for across in (1, 0)]
        if request.tiles_until == 0 or min(map(len, there)) < _SMALLEST_TILE * own:
            continue
        lines, columns = (slice(side[0], side[-1] + 1) for side in there)
        negative = None if rows.negative is None else Blocks(rows.negative, rows.blocks.slots).sentence(0).repeat(count)
        guidance = Guidance(rows.blocks.sentence(region + 1).repeat(count), negative, whole.scale, whole.window)
        weight = masks[:1, region : region + 1, lines, columns]
        alone = None if details is None else details.of_one(plan, region, (weight.shape[-2], weight.shape[-1]))
        tiles.append(Tile(guidance, (lines, columns), weight, Window(0.0, request.tiles_until), alone))
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


def _mask(one: Input, size: tuple[int, int]) -> Tensor:
    if one.mask is not None:
        grey = as_mask(one.mask.image).resize((size[1], size[0]), Image.Resampling.BOX)
        mask = torch.tensor(list(grey.getdata()), dtype=torch.float32).view(size) / 255
        if not bool((mask > 0).any()):
            raise ImageError(f"The painted mask of {one.word!r} is empty; paint white where the subject shall be.")
        return mask
    if one.box is None:
        raise ConfigError(f"{one.word!r} has no region.")
    return box_mask(one.box, size)
