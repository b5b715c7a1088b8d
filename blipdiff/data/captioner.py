"""Captions for photos: several are drawn, and those that a matcher accepts are kept.

Captioning and filtering (BLIP, Li et al. 2022, arXiv:2201.12086, sec. 3.3): captions that came with a photo have to
pass the same filter as drawn ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from blipdiff.language.answers import Speaking
from blipdiff.language.captioners import Captioner, Matcher


@dataclass(frozen=True, slots=True)
class KeptCaptions:
    """What passed the filter, the best first, and how many texts did not."""

    captions: tuple[str, ...]
    refused: int


def captioned_and_filtered(
    photo: Image.Image,
    given: Sequence[str],
    captioner: Captioner,
    matcher: Matcher,
    *,
    count: int,
    least: float,
    seed: int,
) -> KeptCaptions:
    """Given and drawn captions whose match is `least` or more."""
    texts = list(
        dict.fromkeys(
            text
            for text in [*given, *captioner.captions(photo, count, Speaking(temperature=1.0, seed=seed))]
            if text.strip()
        )
    )
    if not texts:
        return KeptCaptions((), 0)
    scored = sorted(zip(matcher.matches(photo, texts), texts, strict=True), key=lambda one: (-one[0], one[1]))
    kept = tuple(text for score, text in scored if score >= least)
    return KeptCaptions(kept, len(texts) - len(kept))
