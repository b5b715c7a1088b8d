"""Text conditioning in which words, and the subject, have weights of their own."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from blipdiff.conditioning.prompt import TOKENIZING
from blipdiff.conditioning.weighting import WeightedText
from blipdiff.models.added_words import WordsTokenizer
from blipdiff.transformers_types import CLIPTokenizer

Encode = Callable[[list[int]], Tensor]  # the ids of a row -> (1, slots, width), the subject among them

_LEAST = 1e-5  # below it a word is as good as left out


def weighted_ids(
    tokenizer: CLIPTokenizer | WordsTokenizer, text: WeightedText, length: int
) -> tuple[list[int], list[float]]:
    """Exactly `length` ids, as `prompt_ids`, and the weight of each; what does not fit is cut before the end mark."""
    ids: list[int] = []
    weights: list[float] = []
    for piece, weight in text.pieces:
        with TOKENIZING:
            own: list[int] = tokenizer(piece, add_special_tokens=False).input_ids if piece.strip() else []
        ids, weights = ids + own, weights + [weight] * len(own)
    room = length - 2
    padding = [tokenizer.pad_token_id] * (room - len(ids[:room]))
    found = [tokenizer.bos_token_id, *ids[:room], tokenizer.eos_token_id, *padding]
    return found, [1.0, *weights[:room], *[1.0] * (length - 1 - len(weights[:room]))]


def weighted_rows(
    tokenizer: CLIPTokenizer | WordsTokenizer,
    text: WeightedText,
    length: int,
    encode: Encode,
    subject_at: int | None,
    subject_slots: int,
) -> tuple[Tensor, list[int]]:
    """The rows of one weighted prompt (1, slots, width), and its ids.

    length: of the ids, without the subject's slots, which `encode` puts in at `subject_at`; None for no subject
    """
    ids, weights = weighted_ids(tokenizer, text, length)
    empty, _ = weighted_ids(tokenizer, WeightedText(()), length)

    def row_of(own: list[int], of: list[float]) -> Tensor:
        slots = of if subject_at is None else [*of[:subject_at], *[text.subject] * subject_slots, *of[subject_at:]]
        rows = encode(own)
        factors = torch.tensor(slots).to(rows)[None, :, None]
        if text.meaning == "a1111":
            scaled = rows * factors
            return scaled * (rows.float().mean() / scaled.float().mean()).to(rows)
        nothing = encode(empty)
        return nothing + (rows - nothing) * factors

    found, shares = row_of(ids, weights), 1.0
    if text.meaning == "a1111":
        return found, ids
    for place, (_, weight) in enumerate(text.pieces):
        if weight < 1:
            share = math.tan((1 - max(weight, _LEAST)) * math.pi / 2)
            found = found + share * row_of(*weighted_ids(tokenizer, text.without(place), length))
            shares += share
    return found / shares, ids
