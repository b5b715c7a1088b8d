"""Which slot of the target prompt belongs to which slot of the source prompt."""

import unicodedata
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from blipdiff.conditioning.layout import EOS, PAD, SUBJECT, TokenLayout
from blipdiff.errors import PromptError

Spans: TypeAlias = tuple[tuple[str, tuple[int, ...]], ...]  # words with their slots, as `TokenLayout.spans`

_MATCH, _MISMATCH, _GAP = 1, -1, 0


@dataclass(frozen=True, slots=True)
class Alignment:
    """For each slot of the target, the slot of the source that holds the same token, or -1: it has no counterpart."""

    sources: tuple[int, ...]

    @property
    def aligned(self) -> tuple[bool, ...]:
        """The target slots that take the source's attention; the others keep their own."""
        return tuple(source >= 0 for source in self.sources)


def align(source: TokenLayout, target: TokenLayout) -> Alignment:
    """Needleman-Wunsch on the tokens of two prompts (Hertz et al. 2022, arXiv:2208.01626, sec. 3.2).

    Begin and end marks take part, the subject's slots are insertions. Behind the target's text each slot stands for
    itself, as in the paper's code: the padding there differs in place, not in meaning.

    Raises: PromptError for layouts of other lengths.
    """
    if len(source) != len(target):
        raise PromptError(f"Prompts of {len(source)} and {len(target)} slots were given; only one model's are aligned.")
    before, after = _text(source), _text(target)
    pairs = _pairs(before, after)
    text = tuple(pairs.get(slot, -1) for slot in range(len(after)))
    return Alignment((*text, *range(len(after), len(target))))


def word_matrix(source: TokenLayout, target: TokenLayout, texts: tuple[str, str] | None = None) -> Tensor:
    """How much of each source slot's attention each target slot takes, word for word (Hertz et al. 2022, sec. 3.2).

    A word of other length shares its attention evenly among its tokens; the columns of the subject's slots are zero.

    texts: the prompts of the two; with them a word is what stands between spaces, as the authors split them:
    "t-shirt" and "dog's" are one. Without them it is what the tokenizer makes of it, "t", "-" and "shirt".

    -> (slots of the source, slots of the target)

    Raises: PromptError when the prompts have different numbers of words.
    """
    before, after = source.spans(), target.spans()
    if texts is not None:
        before, after = spaced(before, texts[0]), spaced(after, texts[1])
    if len(before) != len(after) or len(source) != len(target):
        raise PromptError(
            f"Replacing needs two prompts of the same structure, word for word; {_said(before)!r} has "
            f"{len(before)} words, {_said(after)!r} has {len(after)}. Use refine."
        )
    matrix = torch.zeros(len(source), len(target))
    for (_, taken), (_, given) in zip(before, after, strict=True):
        if len(taken) == len(given):
            matrix[list(taken), list(given)] = 1
        else:
            matrix[torch.tensor(taken)[:, None], torch.tensor(given)] = 1 / len(given)
    marks = [_marks(layout) for layout in (source, target)]
    for taken_mark, given_mark in zip(*marks, strict=False):  # the subject leaves less padding
        matrix[taken_mark, given_mark] = 1
    return matrix


def spaced(spans: Spans, text: str) -> Spans:
    """The tokenizer's words joined to those between the spaces of the text that it read."""
    left, found = list(spans), []
    for word in unicodedata.normalize("NFC", text).lower().split():
        letters, slots = "", tuple[int, ...]()
        while left and len(letters) < len(word):
            piece, taken = left.pop(0)
            letters, slots = letters + piece, slots + taken
        if slots:
            found.append((letters, slots))
    return (*found, *left)


def _said(spans: Spans) -> str:
    return " ".join(word for word, _ in spans)


def _text(layout: TokenLayout) -> tuple[str, ...]:
    """Begin mark, subject, words and end mark, without the padding."""
    return tuple(piece for piece in layout.pieces if piece != PAD)


def _marks(layout: TokenLayout) -> list[int]:
    """The begin mark, the end mark and the padding."""
    return [0, *(slot for slot, piece in enumerate(layout.pieces) if piece in (EOS, PAD))]


def _scores(before: tuple[str, ...], after: tuple[str, ...]) -> list[list[int]]:
    """The best score of aligning the first i with the first j tokens."""
    table = [[0] * (len(after) + 1) for _ in range(len(before) + 1)]
    for i, one in enumerate(before, start=1):
        for j, other in enumerate(after, start=1):
            same = one == other and one != SUBJECT
            diagonal = table[i - 1][j - 1] + (_MATCH if same else _MISMATCH)
            table[i][j] = max(table[i][j - 1] + _GAP, table[i - 1][j] + _GAP, diagonal)
    return table


def _pairs(before: tuple[str, ...], after: tuple[str, ...]) -> dict[int, int]:
    """target position -> source position, traced back with ties going left, then up, then along the diagonal."""
    table = _scores(before, after)
    i, j = len(before), len(after)
    found = {}
    while i > 0 and j > 0:
        if table[i][j] == table[i][j - 1] + _GAP:
            j -= 1
        elif table[i][j] == table[i - 1][j] + _GAP:
            i -= 1
        else:
            i, j = i - 1, j - 1
            found[j] = i
    return found
