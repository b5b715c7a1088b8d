"""Blends of subjects: weighted means of their embeddings, straight or along the sphere."""

import json
import math
from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from blipdiff.conditioning.subject import SubjectEmbedding
from blipdiff.errors import ConfigError, SubjectError

Blend: TypeAlias = Literal["linear", "spherical"]


def mix(parts: Sequence[tuple[SubjectEmbedding, float]], how: Blend = "linear") -> SubjectEmbedding:
    """One subject of several: their tokens' weighted mean, with the weights normalised to a sum of 1.

    "linear" is the original's blend (Li et al. 2023, arXiv:2305.14720). "spherical" takes the mean of each token's
    direction on the sphere and of its length apart: slerp for two subjects. Category and thumbnail are those of the
    heaviest part, the first of equals; a weight of 0 takes a part out to the last bit.

    Raises: ConfigError for weights that are negative, not finite or all zero and for an unknown blend, SubjectError
    for no part and for parts that different models have made.
    """
    if how not in _BLENDS:
        raise ConfigError(f"The blend {how!r} was asked for; there are 'linear' and 'spherical'.")
    if not parts:
        raise SubjectError("A mixture needs at least one subject.")
    weights = [float(weight) for _, weight in parts]
    if not all(math.isfinite(weight) and weight >= 0 for weight in weights) or not sum(weights) > 0:
        raise ConfigError(f"The weights {weights} were given; each must be 0 or more, and one above 0.")
    _check_one_model([subject for subject, _ in parts])
    shares = [weight / sum(weights) for weight in weights]
    used = [(subject.tokens.float(), share) for (subject, _), share in zip(parts, shares, strict=True) if share > 0]
    heaviest = parts[shares.index(max(shares))][0]
    tokens = used[0][0] if len(used) == 1 else _BLENDS[how](used)
    names = [[subject.category, round(share, 6)] for (subject, _), share in zip(parts, shares, strict=True)]
    return SubjectEmbedding(
        tokens=tokens,
        category=heaviest.category,
        thumbnail=heaviest.thumbnail,
        fingerprint=next((subject.fingerprint for subject, _ in parts if subject.fingerprint is not None), None),
        provenance={**(heaviest.provenance or {}), "blend": how, "parts": json.dumps(names, ensure_ascii=False)},
    )


def _check_one_model(subjects: Sequence[SubjectEmbedding]) -> None:
    first = subjects[0]
    for other in subjects[1:]:
        if other.tokens.shape != first.tokens.shape:
            raise SubjectError(
                f"The subjects {first.category!r} and {other.category!r} have tokens of the shapes "
                f"{tuple(first.tokens.shape)} and {tuple(other.tokens.shape)}; only one model's subjects blend."
            )
    makers = {subject.fingerprint: subject.category for subject in subjects if subject.fingerprint is not None}
    if len(makers) > 1:
        told = " and ".join(f"{category!r} by the model {maker}" for maker, category in makers.items())
        raise SubjectError(f"Only one model's subjects blend; these were made by different ones: {told}.")


def _linear(parts: Sequence[tuple[Tensor, float]]) -> Tensor:
    return torch.stack([tokens * share for tokens, share in parts]).sum(0)


def _spherical(parts: Sequence[tuple[Tensor, float]], rounds: int = 50) -> Tensor:
    """The weighted mean on the sphere, whatever the order (Buss, Fillmore 2001, algorithm A1)."""
    tokens = torch.stack([tokens.double() for tokens, _ in parts])  # (n, 16, width)
    shares = torch.tensor([share for _, share in parts], dtype=torch.float64)[:, None, None]
    lengths = tokens.norm(dim=-1, keepdim=True)  # (n, 16, 1)
    directions = tokens / lengths.clamp(min=1e-12)
    mean = torch.nn.functional.normalize((shares * directions).sum(0), dim=-1)  # (16, width)
    for _ in range(rounds):
        cosine = (directions * mean).sum(-1, keepdim=True).clamp(-1, 1)  # (n, 16, 1)
        across = directions - cosine * mean
        sine = across.norm(dim=-1, keepdim=True)
        step = (shares * torch.atan2(sine, cosine) * across / sine.clamp(min=1e-12)).sum(0)  # (16, width)
        angle = step.norm(dim=-1, keepdim=True)
        mean = torch.cos(angle) * mean + torch.sin(angle) * step / angle.clamp(min=1e-12)
        if float(angle.max()) < 1e-9:
            break
    blended: Tensor = mean * (shares * lengths).sum(0)
    return blended.float()


_BLENDS = {"linear": _linear, "spherical": _spherical}
