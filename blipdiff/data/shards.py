"""Prepared photos in webdataset shards: tar files in which files of one name before the first dot are one sample.

A sample is the picture (`.jpg`, square), its subject cut out (`.subject.png`, RGBA, square), the subject's mask in the
picture (`.mask.png`), and category and captions (`.json`).
"""

import io
import json
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from blipdiff.data.composites import composite, premultiplied, warped
from blipdiff.data.folders import visible_files
from blipdiff.data.records import Pair, Pixels
from blipdiff.data.referenced import reference_view
from blipdiff.errors import ConfigError
from blipdiff.foreign import foreign
from blipdiff.outputs import written_file

PARTS = ("jpg", "subject.png", "mask.png", "json")
_PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


@dataclass(frozen=True, slots=True)
class Sample:
    """One prepared photo. picture (S, S, 3), subject (s, s, 4), mask (S, S), all 8 bits."""

    key: str
    picture: Pixels
    subject: Pixels
    mask: Pixels
    category: str
    captions: tuple[str, ...]
    source: str


def write_shard(path: Path, samples: list[Sample]) -> None:
    """The samples as one tar file, whole or not at all; the same samples give the same bytes.

    Raises: OutputError when it cannot be written.
    """
    with written_file(path) as part, tarfile.open(part, "w", format=tarfile.USTAR_FORMAT) as tar:
        for sample in samples:
            about = {"category": sample.category, "captions": list(sample.captions), "source": sample.source}
            for suffix, content in (
                ("jpg", _encoded(".jpg", sample.picture, cv2.COLOR_RGB2BGR)),
                ("subject.png", _encoded(".png", sample.subject, cv2.COLOR_RGBA2BGRA)),
                ("mask.png", _encoded(".png", sample.mask, None)),
                ("json", json.dumps(about, ensure_ascii=False).encode()),
            ):
                entry = tarfile.TarInfo(f"{sample.key}.{suffix}")
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))


def read_shard(path: Path) -> Iterator[Sample]:
    """The samples of a shard, in order. Raises: ConfigError for a file that is no shard of ours."""
    for places in _samples_of(path):
        yield _read(path, places)


@dataclass(frozen=True, slots=True)
class _Places:
    """Where the parts of one sample lie in its shard: (first byte, length) by part."""

    key: str
    parts: dict[str, tuple[int, int]]


class ShardLibrary:
    """The prepared photos of a folder: for stage 1 pictures with captions, for stage 2 pairs as in the paper.

    A pair's photo is the subject cut out on other ground, its target the picture as it is (Li et al. 2023,
    arXiv:2305.14720, sec. 3.2). Every draw depends on its number and the seed alone; each epoch has its own order.

    backgrounds: a folder of pictures to put subjects on; plain colours where it is None

    Raises: ConfigError where the folder holds no shard, or lacks one that was made.
    """

    def __init__(self, folder: Path, *, photo_side: int, picture_side: int, backgrounds: Path | None = None) -> None:
        self.photo_side = photo_side
        self.picture_side = picture_side
        self._paths = sorted(path for path in folder.glob("*.tar") if not path.name.startswith("."))
        _check_complete(folder)
        self._samples = [(shard, places) for shard, path in enumerate(self._paths) for places in _samples_of(path)]
        if not self._samples:
            raise ConfigError(f"{folder} holds no shard; make some with 'blipdiff data prepare'.")
        self._backgrounds = [] if backgrounds is None else _pictures_in(backgrounds)
        self._order: tuple[tuple[int, int], NDArray[np.int64]] = ((0, -1), np.empty(0, np.int64))

    def __len__(self) -> int:
        return len(self._samples)

    def categories(self) -> tuple[str, ...]:
        """Every category, the most frequent first."""
        counts = Counter(self._category(place) for place in range(len(self)))
        return tuple(name for name, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0])))

    def draw(self, index: int, seed: int) -> Pair:
        """The pair number `index` of the endless sequence that `seed` begins."""
        rng = np.random.default_rng((seed, 2, index))
        place, sample = self._chosen(index, seed)
        subject = premultiplied(_sized(sample.subject, self.photo_side))
        moved = warped(subject, rng.uniform(0.86, 1.08), 0.0, *(0.5 + rng.uniform(-0.04, 0.04, 2)))
        return Pair(
            photo=composite(moved, self._ground(rng)),
            target=_sized(sample.picture, self.picture_side),
            mask=_sized(sample.mask, self.picture_side),
            category=sample.category,
            prompt=prompt_of(_pick(sample.captions, rng), sample.category),
            scene="photo",
            style=None,
            subject=place,
        )

    def draw_referenced(self, index: int, seed: int) -> tuple[Pair, Pixels, Pixels]:
        """The pair of the same number, its subject on white as a cut-out is read, and the mask there."""
        _, sample = self._chosen(index, seed)
        cut_out = premultiplied(_sized(sample.subject, self.picture_side))
        return (self.draw(index, seed), *reference_view(cut_out, np.random.default_rng((seed, 4, index))))

    def draw_described(self, index: int, seed: int) -> tuple[Pixels, str, str]:
        """A whole picture as the trunk sees it, its subject's category, and one of its captions."""
        rng = np.random.default_rng((seed, 2, index))
        _, sample = self._chosen(index, seed)
        caption = _pick(sample.captions, rng) or sample.category
        return _sized(sample.picture, self.photo_side), sample.category, caption

    def _chosen(self, index: int, seed: int) -> tuple[int, Sample]:
        epoch = index // len(self._samples)
        if self._order[0] != (seed, epoch):
            self._order = ((seed, epoch), np.random.default_rng((seed, 3, epoch)).permutation(len(self._samples)))
        place = int(self._order[1][index % len(self._samples)])
        shard, places = self._samples[place]
        return place, _read(self._paths[shard], places)

    def _category(self, place: int) -> str:
        shard, places = self._samples[place]
        content = _content(self._paths[shard], places, ["json"])["json"]
        return str(_about(content, _name("json", places, self._paths[shard]))["category"])

    def _ground(self, rng: Generator) -> Pixels:
        side = self.photo_side
        if self._backgrounds:
            path = self._backgrounds[int(rng.integers(len(self._backgrounds)))]
            with foreign(path, "a picture to put subjects on", ConfigError):
                picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
            if picture is not None:
                return _sized(_square(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB).astype(np.uint8)), side)
        ground = np.empty((side, side, 3), np.uint8)
        ground[:] = rng.integers(0, 256, 3)
        return ground


def _check_complete(folder: Path) -> None:
    """Passes when each shard that has a record beside it is there."""
    for record in sorted(folder.glob("subjects-*.json")):
        try:
            samples = json.loads(record.read_text("utf-8")).get("samples")
        except (OSError, ValueError, AttributeError, RecursionError):
            samples = None
        if samples != 0 and not record.with_suffix(".tar").is_file():
            raise ConfigError(f"{folder} lacks {record.stem}.tar; run 'blipdiff data prepare' again.")


def prompt_of(caption: str, category: str) -> str:
    """What a caption says about its subject, to follow "a {category}": "a dog on grass" gives "on grass"."""
    before, found, after = caption.partition(category)
    return after.strip() if found and len(before.split()) <= 4 else f", {caption}" if caption else ""


def _samples_of(path: Path) -> Iterator[_Places]:
    with foreign(path, "a shard", ConfigError), tarfile.open(path) as tar:
        entries = [(entry.name, entry.offset_data, entry.size) for entry in tar]
    found: dict[str, dict[str, tuple[int, int]]] = {}
    for name, first, length in entries:
        key, _, part = name.partition(".")
        found.setdefault(key, {})[part] = (first, length)
    for key, parts in found.items():
        missing = [part for part in PARTS if part not in parts]
        if missing:
            raise ConfigError(f"Sample {key} of {path} lacks {', '.join(missing)}.")
        yield _Places(key, parts)


def _read(path: Path, places: _Places) -> Sample:
    content = _content(path, places, PARTS)
    names = {part: _name(part, places, path) for part in PARTS}
    about = _about(content["json"], names["json"])
    return Sample(
        places.key,
        _decoded(content["jpg"], cv2.IMREAD_COLOR, cv2.COLOR_BGR2RGB, names["jpg"]),
        _decoded(content["subject.png"], cv2.IMREAD_UNCHANGED, cv2.COLOR_BGRA2RGBA, names["subject.png"]),
        _decoded(content["mask.png"], cv2.IMREAD_GRAYSCALE, None, names["mask.png"]),
        about["category"],
        tuple(about["captions"]),
        about.get("source", ""),
    )


def _name(part: str, places: _Places, path: Path) -> str:
    return f"The {part} of sample {places.key} in {path}"


def _content(path: Path, places: _Places, parts: Sequence[str]) -> dict[str, bytes]:
    content: dict[str, bytes] = {}
    with foreign(path, "a shard", ConfigError), path.open("rb") as file:
        for part in parts:
            first, length = places.parts[part]
            file.seek(first)
            content[part] = file.read(length)
    return content


def _about(content: bytes, name: str) -> dict[str, Any]:
    """What is told of a sample: its category and captions."""
    with foreign(name, "readable JSON", ConfigError):
        about = json.loads(content)
    is_whole = isinstance(about, dict) and isinstance(about.get("category"), str)
    captions = about.get("captions") if is_whole else None
    if not isinstance(captions, list) or not all(isinstance(caption, str) for caption in captions):
        raise ConfigError(f"{name} tells no category with captions; run 'blipdiff data prepare' again.")
    return dict(about)


def _encoded(suffix: str, picture: Pixels, order: int | None) -> bytes:
    quality = [cv2.IMWRITE_JPEG_QUALITY, 95] if suffix == ".jpg" else []
    stored = picture if order is None else cv2.cvtColor(picture, order)
    return bytes(cv2.imencode(suffix, stored, quality)[1].tobytes())


def _decoded(content: bytes, how: int, order: int | None, name: str) -> Pixels:
    with foreign(name, "a picture", ConfigError):
        picture = cv2.imdecode(np.frombuffer(content, np.uint8), how)
    channels = () if how == cv2.IMREAD_GRAYSCALE else (3 if how == cv2.IMREAD_COLOR else 4,)
    if picture is None or picture.shape != (len(picture), len(picture), *channels):
        raise ConfigError(f"{name} is damaged, or no square picture; run 'blipdiff data prepare' again.")
    return np.asarray(picture if order is None else cv2.cvtColor(picture, order), np.uint8)


def _sized(picture: Pixels, side: int) -> Pixels:
    if picture.shape[0] == side:
        return picture
    smaller = side < picture.shape[0]
    resized = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)
    return np.asarray(resized, np.uint8)


def _square(picture: Pixels) -> Pixels:
    """The middle of a picture."""
    side = min(picture.shape[:2])
    top, left = (picture.shape[0] - side) // 2, (picture.shape[1] - side) // 2
    return picture[top : top + side, left : left + side]


def _pictures_in(folder: Path) -> list[Path]:
    found = [path for path in visible_files(folder) if path.suffix.lower() in _PICTURE_SUFFIXES]
    if not found:
        raise ConfigError(f"{folder} holds no picture to put subjects on.")
    return found


def _pick(captions: tuple[str, ...], rng: Generator) -> str:
    return captions[int(rng.integers(len(captions)))] if captions else ""
