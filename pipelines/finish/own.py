"""What a picture's own job says of it: its subject, its words, and how it was drawn."""

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from blipdiff.errors import BlipdiffError
from blipdiff.images import as_rgb
from pipelines.inputs import Input, picture_text, pixels_hash
from pipelines.job import Job
from pipelines.metadata import job_of, metadata_of
from pipelines.parameters import parameters
from pipelines.pictures import EDITED_PHOTO_TYPE, SOURCE_TYPE
from pipelines.requests import Detailed

GENERATED, SEED = "generated", "seed"  # of a job's detail: whether the picture is one of ours, and which

_TAKEN = (
    "category",
    "target",
    "prompt",
    "negative",
    "weighting",
    "guidance",
    "fit",
    "repeats",
    "detail",
    "detail_start",
    "detail_stop",
    "detail_sites",
)
_MOST_PICTURE_LETTERS = 2**22


def filled(job: Job) -> Job:
    """The job of a finish with what its picture's own job says, as far as it says nothing else itself.

    A picture that is none of ours, and what a job does not tell of itself, leaves it as it is.
    """
    (picture, *_) = (*job.given("picture"), None)
    metadata = None if picture is None else _metadata(picture)
    if metadata is None:
        return job
    own = job_of(metadata)
    job = replace(job, detail={GENERATED: True, SEED: metadata["seed"], **job.detail})
    if not isinstance(job.request, Detailed) or not isinstance(own.request, Detailed):
        return job
    is_told = bool(job.given("subject")) or bool(getattr(job.request, "category", None))
    shown = own.request.shown(own)
    found = {name: getattr(own.request, name, None) for name in _TAKEN} | dict(shown.words)
    if is_told:
        found |= {"category": None, "target": None}
    request: Any = replace(job.request, **_absent(job.request, found))
    inputs = dict(job.inputs)
    if not is_told and shown.subjects:
        inputs["subject"] = shown.subjects
    drawn: Any = own.request
    if not getattr(request, "controls", True) and own.given("map"):
        request = replace(request, controls=drawn.controls)
        inputs["map"] = own.given("map")
    return replace(job, request=request, inputs=inputs)


def is_generated(job: Job) -> bool:
    """Whether the picture that is worked on was drawn by a model of ours."""
    return bool(job.detail.get(GENERATED))


def seed_of(job: Job) -> int:
    """The seed of the picture that is worked on, 0 where it has none."""
    seed = job.detail.get(SEED, 0)
    return seed if isinstance(seed, int) else 0


def drawn_on(job: Job) -> str:
    """What kind of picture it becomes where parts of it are generated: one that is, or a photo with such parts."""
    return SOURCE_TYPE if is_generated(job) else EDITED_PHOTO_TYPE


def kept_picture(given: Input) -> Input:
    """An opened picture as results keep it: its pixels, or where they are too many its hash."""
    rgb = as_rgb(given.image)
    is_small = len(picture_text(rgb)) <= _MOST_PICTURE_LETTERS
    return Input(rgb, given.word) if is_small else Input(None, given.word, pixels=pixels_hash(rgb))


def _absent(request: Any, found: Mapping[str, Any]) -> dict[str, Any]:
    """Those values that a request leaves at its defaults."""
    defaults = {item.name: item.default for item in fields(request) if item.init}
    known = {name: value for name, value in found.items() if name in parameters(type(request)) and value is not None}
    return {name: value for name, value in known.items() if getattr(request, name) == defaults.get(name)}


def _metadata(picture: Input) -> dict[str, Any] | None:
    """What a picture's file tells, where it is one that a job of ours drew, and is not read into pixels yet."""
    content = picture.content
    if not isinstance(content, Path | bytes):
        return None
    try:
        found = metadata_of(content)
        job_of(found)
    except BlipdiffError:  # a picture like any other; what is wrong with its pixels is told where they are read
        return None
    return None if "part" in found else found
