"""A card of what a picker holds."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from blipdiff.conditioning.subject import SubjectEmbedding
from pipelines.inputs import Input

if TYPE_CHECKING:  # which loads torch
    from pipelines.studio import Studio


def card_of(
    studio: "Studio", subjects: Sequence[Input], category: str, *, fit: str = "pad", with_photo: bool = True
) -> tuple[SubjectEmbedding, list[str]]:
    """The card of the one subject that photos and cards show together, and what there is to say of it.

    with_photo: whether it keeps the subject's cut-out, which details are read from

    Raises: BlipdiffError for what cannot be read, and for photos of which nobody says what they show.
    """
    opened = [replace(one, word=one.word or category).opened("subject") for one in subjects]
    references = [one.reference for one in opened]
    weights = [one.weight for one in opened if one.weight is not None] or None
    if not with_photo:
        return replace(studio.subject(references, weights=weights, fit=fit), cut_out=None), []
    return studio.card(references, weights=weights, fit=fit)
