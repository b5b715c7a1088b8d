"""Prepared photos in webdataset shards: tar files in which files of one name before the first dot are one sample.

A sample is the picture (`.jpg`, square), its subject cut out (`.subject.png`, RGBA, square), the subject's mask in the
picture (`.mask.png`), and category and captions (`.json`).
"""

import io
import json
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from blipdiff.data.records import Pixels
from blipdiff.errors import ConfigError
from blipdiff.foreign import foreign
from blipdiff.outputs import written_file

PARTS = ("jpg", "subject.png", "mask.png", "json")


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


@dataclass(frozen=True, slots=True)
class Places:
    """Where the parts of one sample lie in its shard: (first byte, length) by part."""

    key: str
    parts: dict[str, tuple[int, int]]


def read_shard(path: Path) -> Iterator[Sample]:
    """The samples of a shard, in order. Raises: ConfigError for a file that is no shard of ours."""
    for places in samples_of(path):
        yield read_sample(path, places)


def samples_of(path: Path, name: str = "") -> Iterator[Places]:
    """Where the samples of a shard lie, in order. name: of the shard in errors, where it is not its path's

    Raises: ConfigError for a file that is no shard of ours.
    """
    with foreign(name or path, "a shard", ConfigError), tarfile.open(path) as tar:
        entries = [(entry.name, entry.offset_data, entry.size) for entry in tar]
    found: dict[str, dict[str, tuple[int, int]]] = {}
    for entry_name, first, length in entries:
        key, _, part = entry_name.partition(".")
        found.setdefault(key, {})[part] = (first, length)
    for key, parts in found.items():
        missing = [part for part in PARTS if part not in parts]
        if missing:
            raise ConfigError(f"Sample {key} of {name or path} lacks {', '.join(missing)}.")
        yield Places(key, parts)


def read_sample(path: Path, places: Places) -> Sample:
    """One sample. Raises: ConfigError where it is damaged."""
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


def _name(part: str, places: Places, path: Path) -> str:
    return f"The {part} of sample {places.key} in {path}"


def _content(path: Path, places: Places, parts: Sequence[str]) -> dict[str, bytes]:
    content: dict[str, bytes] = {}
    with foreign(path, "a shard", ConfigError), path.open("rb") as file:
        for part in parts:
            first, length = places.parts[part]
            file.seek(first)
            content[part] = file.read(length)
    return content


def category_of(path: Path, places: Places) -> str:
    """The category of one sample. Raises: ConfigError where it is damaged."""
    content = _content(path, places, ["json"])["json"]
    return str(_about(content, _name("json", places, path))["category"])


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
