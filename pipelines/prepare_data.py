"""Photos -> webdataset shards of cut-out subjects, masks and captions, with a page to look at.

Photos are taken in the order of their names, so many to a shard. A finished shard has a JSON file beside it, its
record, that says what became of each of its photos, and by which its content is checked. Started again, a shard that
agrees with its record is not made again.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from blipdiff.conditioning.prompt import checked_category
from blipdiff.data.captioner import captioned_and_filtered
from blipdiff.data.folders import captions_beside, photo_folder
from blipdiff.data.matting import Matte, Segmenter, cut_out, trimap_of
from blipdiff.data.records import Pixels
from blipdiff.data.shards import Sample, write_shard
from blipdiff.errors import ConfigError, ImageError, SubjectError
from blipdiff.images import fitted, open_picture
from blipdiff.language.captioners import Captioner, Matcher
from blipdiff.outputs import written_file
from pipelines.handing import HandOut, one_by_one
from pipelines.parameters import check, parameter
from pipelines.prepared_page import MOST_SHOWN, Prepared, Skipped, shown_sample, write_report

_RECORD_VERSION = 2
_RECORDED = {"samples", "captions", "refused", "skipped", "shown"}
_UNUSABLE = (ImageError, SubjectError, cv2.error, ValueError)  # what is wrong with one photo alone


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareRequest:
    """How photos become samples."""

    category: str = parameter("", "Category", "What the photos show; without it, each photo's own folder's name.")
    side: int = parameter(512, "Side", "Pixels of the pictures, which are cut square.", low=32, high=4096, step=8)
    subject_side: int = parameter(
        256, "Subject side", "Pixels of the subjects that are cut out.", low=32, high=2048, step=8
    )
    captions: int = parameter(6, "Captions", "Captions drawn for each photo.", low=0, high=64, step=1)
    least_match: float = parameter(
        0.5, "Least match", "Captions with a lower match are refused.", low=0.0, high=1.0, step=0.05
    )
    per_shard: int = parameter(500, "Photos a shard", "Photos in each shard.", low=1, high=100_000, step=1)
    seed: int = parameter(0, "Seed", "Of the captions that are drawn.", low=0, high=2**31)

    def __post_init__(self) -> None:
        check(self)
        if self.category:
            checked_category(self.category)


@dataclass(frozen=True, slots=True)
class Tools:
    """The networks that prepare photos; without captioner and matcher, given captions are kept as they are."""

    segmenter: Segmenter
    matte: Matte
    captioner: Captioner | None = None
    matcher: Matcher | None = None


@dataclass(frozen=True, slots=True)
class _Shard:
    """The photos of one shard, the first of which is number `first` of all."""

    number: int
    first: int
    photos: tuple[Path, ...]


def prepare_photos(folder: Path, output: Path, tools: Tools | HandOut, request: PrepareRequest) -> Iterator[Prepared]:
    """Yields after every shard; writes `report.html` at the end.

    tools: the networks; or what hands out shards to workers that have them

    Raises: ConfigError for a folder without photos, or an output of other photos or settings; OutputError where
    files cannot be written; MissingDependencyError for a package that is needed. A photo that cannot be used raises
    nothing: it is counted and named, as is every file that is none.
    """
    found = photo_folder(folder)
    photos = found.photos
    state = Prepared(
        len(photos), others=[Skipped(_name(path, folder), "its ending is no photo's") for path in found.others]
    )
    _check_settings(output, request)
    _check_shards(output, -(-len(photos) // request.per_shard))
    shards = [
        _Shard(number, first, tuple(photos[first : first + request.per_shard]))
        for number, first in enumerate(range(0, len(photos), request.per_shard))
    ]
    hand_out = one_by_one(tools) if isinstance(tools, Tools) else tools
    for shard, record in zip(shards, hand_out(shards, partial(_there, folder, output, request)), strict=True):
        _count(state, record)
        state.done = shard.first + len(shard.photos)
        yield state
    write_report(output, state)


def _there(folder: Path, output: Path, request: PrepareRequest, tools: Tools, shard: _Shard) -> dict[str, Any]:
    """The record of a shard, which is made where it is not there yet."""
    stem = output / f"subjects-{shard.number:06d}"
    found = _finished(stem, folder, shard.photos)
    return found or _made(stem, folder, shard.photos, tools, request, shard.first)


def _finished(stem: Path, folder: Path, chunk: Sequence[Path]) -> dict[str, Any] | None:
    """The record of a shard that is there as it was made; None where it has to be made.

    Raises: ConfigError when it is of other photos.
    """
    try:
        record: dict[str, Any] = json.loads(stem.with_suffix(".json").read_text("utf-8"))
        version, photos, shard = record["version"], dict(record["photos"]), record["shard"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    if version != _RECORD_VERSION or not record.keys() >= _RECORDED:
        return None
    if list(photos) != [_name(path, folder) for path in chunk]:
        raise ConfigError(f"{stem.parent} holds shards of other photos; give another output folder.")
    if list(photos.values()) != [path.stat().st_size for path in chunk]:
        return None
    return record if shard == _digest(stem.with_suffix(".tar")) else None


def _made(
    stem: Path, folder: Path, chunk: Sequence[Path], tools: Tools, request: PrepareRequest, first: int
) -> dict[str, Any]:
    """A shard and its record, written."""
    sizes = [(_name(path, folder), path.stat().st_size) for path in chunk]
    samples: list[Sample] = []
    skipped: list[Skipped] = []
    refused = 0
    for place, path in enumerate(chunk):
        name = _name(path, folder)
        try:
            sample, out = _prepared(path, name, tools, request, first + place)
        except _UNUSABLE as reason:
            skipped.append(Skipped(name, str(reason).replace(str(path), path.name)))
            continue
        samples.append(sample)
        refused += out
    if samples:
        write_shard(stem.with_suffix(".tar"), samples)
    else:
        stem.with_suffix(".tar").unlink(missing_ok=True)
    record = {
        "version": _RECORD_VERSION,
        "photos": sizes,
        "shard": _digest(stem.with_suffix(".tar")),
        "samples": len(samples),
        "captions": sum(len(sample.captions) for sample in samples),
        "refused": refused,
        "skipped": [asdict(one) for one in skipped],
        "shown": [shown_sample(sample) for sample in samples[: max(0, MOST_SHOWN - first)]],
    }
    with written_file(stem.with_suffix(".json")) as part:  # last: it says that the shard is finished
        part.write_text(json.dumps(record, ensure_ascii=False), "utf-8")
    return record


def _prepared(path: Path, name: str, tools: Tools, request: PrepareRequest, number: int) -> tuple[Sample, int]:
    """A photo's sample, and how many captions were refused."""
    photo = open_picture(path)
    category = request.category or checked_category(path.parent.name.replace("_", " "))
    photo = fitted(photo, (request.side, request.side), "crop")
    picture: Pixels = np.asarray(photo, np.uint8)
    alpha, foreground = tools.matte(picture, trimap_of(tools.segmenter.chances(photo, category)))
    captions, refused = _captions(path, photo, tools, request, number)
    mask = np.clip(alpha * 255 + 0.5, 0, 255).astype(np.uint8)
    subject = cut_out(alpha, foreground, request.subject_side)
    sample = Sample(f"{number:09d}", picture, subject, mask, category, captions or (f"a {category}",), name)
    return sample, refused


def _captions(
    path: Path, photo: Image.Image, tools: Tools, request: PrepareRequest, number: int
) -> tuple[tuple[str, ...], int]:
    given = captions_beside(path)
    if tools.captioner is None or tools.matcher is None:
        return tuple(given), 0
    seed = request.seed * 1_000_003 + number
    kept = captioned_and_filtered(
        photo, given, tools.captioner, tools.matcher, count=request.captions, least=request.least_match, seed=seed
    )
    return kept.captions, kept.refused


def _name(path: Path, folder: Path) -> str:
    """Of a photo, as records and samples have it; bytes that are no text are spelt out."""
    return path.relative_to(folder).as_posix().encode("utf-8", "backslashreplace").decode()


def _digest(path: Path) -> str | None:
    """The SHA-256 of a file; None where there is none."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return None


def _check_shards(output: Path, count: int) -> None:
    """Passes when the output holds no shard beyond those of these photos."""
    known = {f"subjects-{number:06d}" for number in range(count)}
    if any(path.suffix in (".tar", ".json") and path.stem not in known for path in output.glob("subjects-*")):
        raise ConfigError(f"{output} holds shards of other photos; give another output folder.")


def _check_settings(output: Path, request: PrepareRequest) -> None:
    """Shards of other settings are not gone on with."""
    path, text = output / "settings.json", json.dumps(asdict(request), sort_keys=True)
    if path.is_file() and path.read_bytes() != text.encode():
        raise ConfigError(f"{output} was prepared with other settings ({path.name}); give another output folder.")
    with written_file(path) as part:
        part.write_text(text, "utf-8")


def _count(state: Prepared, record: dict[str, Any]) -> None:
    for name in ("samples", "captions", "refused"):
        setattr(state, name, getattr(state, name) + int(record[name]))
    state.skipped += [Skipped(**one) for one in record["skipped"]]
