"""Masked language modelling: some words of a caption are hidden, and told from the picture and the other words.

The third objective of ALBEF (Li et al. 2021, arXiv:2107.07651, sec. 3.2), with BERT's masks (Devlin et al. 2019,
arXiv:1810.04805, sec. 3.1); and what a slowly moving teacher adds to any choice among many (ALBEF, sec. 3.3).
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from blipdiff.transformers_types import BertTokenizer

_MASKED, _SWAPPED = 0.8, 0.1  # of the hidden words: shown as [MASK], as any other word; the rest stays as it is
_PASSED_OVER = -100


@dataclass(frozen=True, slots=True)
class Masking:
    """share: of the words, that are hidden; mask: the id of [MASK]; kept: ids that are no words; vocabulary: of all."""

    share: float
    mask: int
    kept: tuple[int, ...]
    vocabulary: int

    @classmethod
    def of(cls, share: float, words: BertTokenizer) -> "Masking":
        """For the words of a tokenizer."""
        return cls(share, int(words.mask_token_id), tuple(map(int, words.all_special_ids)), len(words))

    def hidden(self, ids: Tensor, mask: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """ids and mask (n, words) -> ids as they are shown, and the words to be told, -100 for others: (n, words)."""
        draws = torch.rand((3, *ids.shape), generator=generator).to(ids.device)
        words = mask.bool() & ~torch.isin(ids, torch.tensor(self.kept, device=ids.device))
        chosen = words & (draws[0] < self.share)
        others = (draws[2] * self.vocabulary).long().clamp(max=self.vocabulary - 1)
        shown = torch.where(chosen & (draws[1] < _MASKED), self.mask, ids)
        shown = torch.where(chosen & (draws[1] >= _MASKED) & (draws[1] < _MASKED + _SWAPPED), others, shown)
        return shown, torch.where(chosen, ids, _PASSED_OVER)


def told(scores: Tensor, wanted: Tensor, taught: Tensor | None, weight: float) -> Tensor:
    """Cross-entropy of hidden words; with a teacher's scores, `weight` of it goes to what the teacher says (eq. 7).

    scores, taught (n, words, vocabulary), wanted (n, words), -100 where nothing was hidden
    """
    counted = wanted != _PASSED_OVER
    likely = scores[counted].float().log_softmax(dim=-1)  # (hidden, vocabulary)
    if len(likely) == 0:
        return scores.sum() * 0
    loss = functional.nll_loss(likely, wanted[counted])
    if taught is None:
        return loss
    return (1 - weight) * loss - weight * (taught[counted].float().softmax(dim=-1) * likely).sum(dim=-1).mean()
