"""What transformers' `generate` gave, as texts with their shares."""

from collections.abc import Sequence
from typing import Any

import torch


def spoken(found: Any, tokenizer: Any, prompt: int) -> tuple[tuple[str, float], ...]:
    """Texts, the best first, each with its share among them, of what `generate` returned as a dictionary.

    prompt: tokens of the prompt, which networks that go on with it repeat
    """
    ids = found.sequences[:, prompt:] if found.sequences.shape[1] > prompt else found.sequences[:, :0]
    texts = [text.strip() for text in tokenizer.batch_decode(ids, skip_special_tokens=True)]
    scores = getattr(found, "sequences_scores", None)
    weights = [1.0] * len(texts) if scores is None else scores.float().tolist()
    return tuple(zip(texts, compared(weights), strict=True))


def compared(likelihoods: Sequence[float]) -> list[float]:
    """Log-likelihoods -> shares of sum 1."""
    shares: list[float] = torch.tensor(list(likelihoods), dtype=torch.float64).softmax(dim=0).tolist()
    return shares
