"""Whether an engine looks at the photo at all: its next word must not be the same for two photos.

BLIP-2 and InstructBLIP of transformers 5 take a photo in by tokens that stand for it in the prompt. Without these
tokens, as from processors of before, they answer fluently without having looked.
"""

from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from blipdiff.errors import CheckpointError, PromptError

QUESTION = "what is it?"
SAME = 1e-6  # scores that are no further apart are the same: sums of one processor may be ordered anew
_SIDE = 64


def trial_photos() -> tuple[Image.Image, Image.Image]:
    """Two photos that nobody takes for one another."""
    ramp = np.linspace(0, 255, _SIDE, dtype=np.uint8)
    first = np.stack(np.broadcast_arrays(ramp[None, :], ramp[:, None], np.uint8(40)), axis=-1)
    return Image.fromarray(first), Image.fromarray(255 - first[:, ::-1])


@torch.no_grad()
def check_looks(scores: Callable[[Image.Image, str], Tensor], name: str) -> None:
    """Passes when scores of the next word, made of a photo and a question, differ between two photos.

    Raises: CheckpointError where they do not, or where they are no numbers.
    """
    first, second = (scores(photo, QUESTION).float() for photo in trial_photos())
    if not bool(torch.isfinite(first).all() and torch.isfinite(second).all()):
        raise CheckpointError(f"{name} answers with scores that are no numbers; its weights or its dtype do not do.")
    if float((first - second).abs().max()) <= SAME:
        raise CheckpointError(
            f"{name} does not look at the photo: of two different ones it says the same. Its prompt "
            "lacks the <image> tokens that stand for the photo, or its config.json names another token for them."
        )


def prompt_with_photo(words: Tensor, token: int | None, queries: int, name: str) -> Tensor:
    """A prompt's ids (1, words) behind the token that stands for the photo, once for each query: (1, queries + words).

    Raises: CheckpointError where the network names no such token, PromptError where the words hold it themselves.
    """
    if token is None:
        raise CheckpointError(f"{name} would not look at the photo: its config.json names no <image> token for it.")
    if bool((words == token).any()):
        raise PromptError("The question holds <image>, by which the network is told the photo itself; leave it out.")
    return torch.cat([torch.full((1, queries), token), words], dim=1)
