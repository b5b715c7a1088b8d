"""From what a picker holds to the subjects of a job, and back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from app.ui.given import as_files
from app.ui.texts import said
from blipdiff.conditioning.subject import SubjectPhoto
from blipdiff.errors import SubjectError
from pipelines.inputs import CARD_SUFFIX, Input


@dataclass(frozen=True, slots=True)
class Picked:
    """The files of subjects, with their weights and the corrected masks of their cut-outs, by path."""

    paths: tuple[str, ...]
    weights: tuple[float | None, ...] = ()
    masks: Mapping[str, Image.Image] = field(default_factory=dict)


def subjects_of(picked: Picked) -> list[Input]:
    """The subjects of a job. Weights that are all the same say nothing."""
    weights: Sequence[float | None] = picked.weights[: len(picked.paths)]
    if len(set(weights)) < 2:
        weights = (None,) * len(picked.paths)
    return [
        outlined(Input(Path(path), weight=weight), picked.masks.get(path))
        for path, weight in zip(picked.paths, weights, strict=True)
    ]


def outlined(one: Input, mask: Image.Image | None) -> Input:
    """A subject whose cut-out somebody has corrected, or as it was."""
    return one if mask is None else Input(one.content, one.word, one.weight, cut_out_mask=Input(mask))


def picked_of(subjects: Sequence[Input]) -> Picked:
    """The files that stand for a job's subjects, for the browser to hold.

    Raises: SubjectError for photos that are kept nowhere, BlipdiffError for what cannot be read.
    """
    paths = as_files(subjects)
    if len(paths) < len(subjects):
        raise SubjectError(said("Give the subject again: its photo is not kept."))
    masks = {path: mask for path, one in zip(paths, subjects, strict=True) if (mask := _mask(one)) is not None}
    return Picked(tuple(paths), tuple(one.weight for one in subjects), masks)


def _mask(one: Input) -> Image.Image | None:
    if one.cut_out_mask is not None:
        return one.cut_out_mask.opened("mask").image
    return one.content.mask if isinstance(one.content, SubjectPhoto) else None


def is_card(path: str) -> bool:
    """Whether a file is a subject card rather than a photo."""
    return path.lower().endswith(CARD_SUFFIX)
