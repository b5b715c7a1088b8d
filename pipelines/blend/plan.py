"""Blend: where the pictures between subjects stand, and what they are told. Nothing runs here."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch

from blipdiff.conditioning.guidance import Conditioning, concat
from blipdiff.conditioning.mixing import Blend, mix, normalised_weights
from blipdiff.conditioning.paths import Shares, map_shares, path_shares
from blipdiff.conditioning.prompt import amplify, build_prompt
from blipdiff.conditioning.subject import SubjectEmbedding
from blipdiff.models.blip_diffusion import BlipDiffusion
from pipelines.blend.request import BlendRequest
from pipelines.blend.words import encode_spot
from pipelines.controls.details import Details
from pipelines.plan import SamplingPlan, check_slots, plan_rows


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a picture shall stand, before it is drawn."""

    shares: Shares
    along: float = 0.0  # how far the prompt has become the last one
    position: float | None = None

    @property
    def is_alone(self) -> bool:
        """Whether it shows one subject as it is."""
        return max(self.shares) == 1.0 and min(self.shares) == 0.0


@dataclass(frozen=True, slots=True, eq=False)
class EncodedBlend:
    """A blend whose subjects are encoded and checked: what all its pictures share."""

    request: BlendRequest
    subjects: tuple[SubjectEmbedding, ...]
    negative: Conditioning | None  # one row, None without guidance
    warnings: tuple[str, ...]  # what had to be left out of the words


def encode_blend(model: BlipDiffusion, request: BlendRequest, subjects: Sequence[SubjectEmbedding]) -> EncodedBlend:
    """Raises: BlipdiffError for subjects or words that the model cannot do."""
    for subject in subjects:
        check_slots(model, subject)
    mix([(subject, 1.0) for subject in subjects], cast("Blend", request.how))
    against = amplify(request.worded(request.negative), model.prompt_tokenizer, model.positions, 1)
    negative = model.encode_prompts([against.wording]) if model.scale(request.guidance) != 1 else None
    budget = model.positions - model.subject_slots
    texts = dict.fromkeys(
        build_prompt(request.target or subject.category, request.worded(prompt))
        for subject in subjects
        for prompt in (request.prompt, request.prompt_to or request.prompt)
    )
    found = [amplify(text, model.prompt_tokenizer, budget, request.repeats).warning for text in texts]
    warnings = dict.fromkeys(text for text in (*found, against.warning) if text is not None)
    return EncodedBlend(request, tuple(subjects), negative, tuple(warnings))


def plan_blend(
    model: BlipDiffusion, encoded: EncodedBlend, spots: Sequence[Spot], details: Details | None = None
) -> tuple[SamplingPlan, list[SubjectEmbedding]]:
    """One row for each spot, all from the request's one noise, and the blended subject of each.

    Raises: ConfigError for a size, scheduler or number of steps that the model cannot do.
    """
    request, count = encoded.request, len(spots)
    rows = [encode_spot(model, request, encoded.subjects, spot.shares, spot.along) for spot in spots]
    negative = None if encoded.negative is None else encoded.negative.repeat(count)
    plan = plan_rows(model, request, concat([row for row, _ in rows]), negative, [request.seed] * count)
    if details is not None and details.are_read:
        weights = torch.tensor([spot.shares for spot in spots], dtype=torch.float32)  # (rows, subjects)
        plan = details.apart(plan, weights=weights.unbind(1))
    return plan, [subject for _, subject in rows]


def label_of(subjects: Sequence[SubjectEmbedding], shares: Shares) -> str:
    """ "75% cat + 25% dog"; subjects of one category are told apart by letters, an extrapolation says so."""
    words = [subject.category.strip() for subject in subjects]
    names = [word if words.count(word) == 1 else f"{word} {'ABCD'[place]}" for place, word in enumerate(words)]
    parts = [(share, name) for share, name in zip(shares, names, strict=True) if round(share, 3) != 0]
    text = " ".join(
        f"{'- ' if share < 0 else '+ ' if place else ''}{abs(share):.0%} {name}"
        for place, (share, name) in enumerate(sorted(parts, key=lambda part: -part[0]))
    )
    return f"{text} (extrapolated)" if min(shares) < 0 else text


def spots_of(request: BlendRequest, subjects: int, weights: Sequence[float] | None) -> tuple[tuple[Spot, ...], ...]:
    """Rows of spots; none for a path, whose are found while it is drawn."""
    if request.shape == "path":
        return ()
    if request.shape == "map":
        return tuple(tuple(Spot(shares) for shares in row) for row in map_shares(subjects, request.side))
    given = [1.0] * subjects if weights is None else list(weights)
    return ((Spot(normalised_weights(given, request.extrapolation)),),)


def on_path(position: float, subjects: int) -> Spot:
    """The spot at a position along a path: 0 at the first subject, `subjects` - 1 at the last."""
    along = min(max(position / (subjects - 1), 0.0), 1.0)
    return Spot(path_shares(position, subjects), along, position)


def spot_batches(spots: Sequence[Spot], size: int) -> list[list[int]]:
    """Places of `spots` that are drawn together: one subject's own picture alone, the others in batches."""
    alone = [place for place, spot in enumerate(spots) if spot.is_alone]
    others = [place for place in range(len(spots)) if place not in set(alone)]
    return [*([place] for place in alone), *(others[first : first + size] for first in range(0, len(others), size))]
