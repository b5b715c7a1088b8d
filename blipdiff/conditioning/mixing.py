"""Blends of subjects: weighted means of their embeddings, straight, along the sphere, or token by token."""

import hashlib
import json
import math
from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from blipdiff.conditioning.subject import SubjectEmbedding
from blipdiff.conditioning.subject_weights import shared
from blipdiff.errors import ConfigError, SubjectError
from blipdiff.ranges import MOST_EXTRAPOLATION

Blend: TypeAlias = Literal["linear", "spherical", "token-wise"]
Words: TypeAlias = Literal["heaviest", "joined"]
Weight: TypeAlias = float | Sequence[float]  # one for the whole subject, or one for each of its tokens

EXTRAPOLATION_KEY = "extrapolation"  # of the provenance: the mixture is an extrapolation, and by how much
_HEARD = 0.25  # the share from which on a subject is named in a joined category
_ROUNDING = 1e-9


def mix(
    parts: Sequence[tuple[SubjectEmbedding, Weight]],
    how: Blend = "linear",
    *,
    words: Words = "heaviest",
    extrapolation: float = 0.0,
) -> SubjectEmbedding:
    """One subject of several: their tokens' weighted mean, with the weights normalised to a sum of 1.

    "linear" is the original's blend (Li et al. 2023, arXiv:2305.14720). "spherical" takes the mean of each token's
    direction on the sphere and of its length apart: slerp for two subjects. "token-wise" gives whole tokens to
    subjects, as many as their weights come to; only those at a border are blended. A list of weights blends each
    token by its own. A weight of 0 takes a part out to the last bit.

    Words: the category is that of the "heaviest" part, the first of equals, or is "joined" from all parts with a
    share of a quarter or more, the heaviest last, since in English the last word is the thing: "cat dog" is a dog.
    The thumbnail is always the heaviest part's.

    extrapolation: how far shares may leave 0 to 1, at most `MOST_EXTRAPOLATION`: weights may then be negative, and a
    mixture that makes use of it says so in its provenance

    Raises: ConfigError for weights that are negative (or beyond what is allowed), not finite or all zero and for an
    unknown blend, SubjectError for no part and for parts that different models have made.
    """
    if how not in ("linear", "spherical", "token-wise"):
        raise ConfigError(f"The blend {how!r} was asked for; there are 'linear', 'spherical' and 'token-wise'.")
    if words not in ("heaviest", "joined"):
        raise ConfigError(f"The category's words are {words!r}; there are 'heaviest' and 'joined'.")
    if not parts:
        raise SubjectError("A mixture needs at least one subject.")
    subjects = [subject for subject, _ in parts]
    _check_one_model(subjects)
    by_token = _shares_by_token([weight for _, weight in parts], len(subjects[0].tokens), extrapolation)  # (n, 16)
    if how == "token-wise":
        by_token = _token_wise(subjects, by_token)
    shares = by_token.mean(1).tolist()
    used = [place for place in range(len(parts)) if bool((by_token[place] != 0).any())]
    heaviest = subjects[shares.index(max(shares))]
    tokens = subjects[used[0]].tokens.float() if len(used) == 1 else _blended(subjects, by_token, used, how)
    names = [[subject.category, round(share, 6)] for subject, share in zip(subjects, shares, strict=True)]
    told = {"blend": how, "parts": json.dumps(names, ensure_ascii=False)}
    outside = max(0.0, -float(by_token.min()), float(by_token.max()) - 1)
    if outside > _ROUNDING:
        told[EXTRAPOLATION_KEY] = f"{outside:.6g}"
    return SubjectEmbedding(
        tokens=tokens,
        category=heaviest.category if words == "heaviest" else joined_category(subjects, shares),
        thumbnail=heaviest.thumbnail,
        fingerprint=next((subject.fingerprint for subject in subjects if subject.fingerprint is not None), None),
        provenance={**(heaviest.provenance or {}), **told},
        weights=shared([(subject.weights, share) for subject, share in zip(subjects, shares, strict=True)]),
    )


def joined_category(subjects: Sequence[SubjectEmbedding], shares: Sequence[float]) -> str:
    """The categories of all subjects with a share of a quarter or more, each once, the heaviest last: "cat dog".

    Equal shares stand in the alphabet's order, so that the subjects' own order says nothing.
    """
    totals: dict[str, float] = {}
    for subject, share in zip(subjects, shares, strict=True):
        word = subject.category.strip()
        totals[word] = totals.get(word, 0.0) + share
    heard = {word: share for word, share in totals.items() if share >= _HEARD - _ROUNDING}
    if not heard:  # five subjects or more, none of them heavy
        heard = {max(sorted(totals), key=lambda word: totals[word]): 1.0}
    return " ".join(sorted(heard, key=lambda word: (round(heard[word], 9), word)))


def normalised_weights(weights: Sequence[float], extrapolation: float = 0.0) -> tuple[float, ...]:
    """The weights' shares of their sum.

    Raises: ConfigError for weights that are negative, not finite or all zero, or shares further beyond 0 to 1 than
    `extrapolation`, which goes up to `MOST_EXTRAPOLATION`.
    """
    if not 0.0 <= extrapolation <= MOST_EXTRAPOLATION:
        raise ConfigError(f"A blend may go beyond its subjects by 0 to {MOST_EXTRAPOLATION:g}, not by {extrapolation}.")
    total = sum(weights)
    if not all(math.isfinite(weight) for weight in weights) or not total > 0:
        raise ConfigError(f"The weights {list(weights)} were given; each must be 0 or more, and one above 0.")
    shares = tuple(weight / total for weight in weights)
    if min(shares) < -extrapolation - _ROUNDING or max(shares) > 1 + extrapolation + _ROUNDING:
        if extrapolation == 0:
            raise ConfigError(f"The weights {list(weights)} were given; each must be 0 or more, and one above 0.")
        raise ConfigError(
            f"The weights {list(weights)} come to shares of {', '.join(f'{share:.0%}' for share in shares)}; "
            f"they may go beyond 0 to 100% by {extrapolation:.0%}."
        )
    return shares


def _shares_by_token(weights: Sequence[Weight], tokens: int, extrapolation: float) -> Tensor:
    """(n, tokens), each column's sum 1."""
    if all(isinstance(weight, int | float) for weight in weights):
        shares = normalised_weights([float(weight) for weight in weights], extrapolation)  # type: ignore[arg-type]
        return torch.tensor(shares, dtype=torch.float64)[:, None].expand(-1, tokens).contiguous()
    rows = [
        [float(weight)] * tokens if isinstance(weight, int | float) else [*map(float, weight)] for weight in weights
    ]
    if any(len(row) != tokens for row in rows):
        raise ConfigError(
            f"Weights for each token were given, {[len(row) for row in rows]} of them; these subjects have {tokens}."
        )
    columns = [normalised_weights(column, extrapolation) for column in zip(*rows, strict=True)]
    return torch.tensor(columns, dtype=torch.float64).T.contiguous()


def _token_wise(subjects: Sequence[SubjectEmbedding], shares: Tensor) -> Tensor:
    """Shares as whole tokens, as far as they go; whoever has a token keeps it while a share grows.

    Subjects take their places in an order of their own content, not in that in which they were given. Tokens are
    given in bit-reversed order, so that each subject's are spread over all of them.
    """
    if bool((shares < 0).any()):
        raise ConfigError("Token-wise blends give tokens whole; an extrapolation is linear or spherical.")
    count = shares.shape[1]
    order = sorted(range(len(subjects)), key=lambda place: _content(subjects[place]))
    ends = shares[order].mean(1).cumsum(0) * count  # (n,)
    starts = torch.cat([ends.new_zeros(1), ends[:-1]])
    place = torch.arange(count, dtype=torch.float64)
    held = torch.minimum(ends[:, None], place + 1) - torch.maximum(starts[:, None], place)  # (n, tokens), in order
    held = held.clamp(min=0)
    held = torch.where(held < _ROUNDING, 0.0, held)
    given = torch.zeros_like(shares)
    given[torch.tensor(order)[:, None], torch.tensor(_bit_reversed(count))[None]] = held / held.sum(0)
    return given


def _content(subject: SubjectEmbedding) -> bytes:
    return hashlib.sha256(subject.tokens.detach().float().cpu().contiguous().numpy().tobytes()).digest()


def _bit_reversed(count: int) -> list[int]:
    """0, 8, 4, 12, 2, ... for 16."""
    bits = max(1, (count - 1).bit_length())
    return sorted(range(count), key=lambda place: int(f"{place:0{bits}b}"[::-1], 2))


def _blended(subjects: Sequence[SubjectEmbedding], shares: Tensor, used: Sequence[int], how: Blend) -> Tensor:
    tokens = torch.stack([subjects[place].tokens.float() for place in used])  # (n, 16, width)
    weights = shares[list(used)][..., None]  # (n, 16, 1)
    return _spherical(tokens, weights) if how == "spherical" else (tokens * weights.float()).sum(0)


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


def _spherical(tokens: Tensor, shares: Tensor, rounds: int = 50) -> Tensor:
    """The weighted mean on the sphere, whatever the order (Buss, Fillmore 2001, algorithm A1).

    tokens: (n, 16, width); shares: (n, 16, 1) -> (16, width)
    """
    tokens = tokens.double()
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
    blended: Tensor = mean * (shares * lengths).sum(0).clamp(min=0)
    return blended.float()
