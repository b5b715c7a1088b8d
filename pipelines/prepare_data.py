"""Photos -> webdataset shards of cut-out subjects, masks and captions, with a page to look at.

Photos are taken in the order of their names, so many to a shard. A finished shard has a JSON file beside it that says
what became of each of its photos; started again, those are not done again.
"""

import html
import json
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from blipdiff.conditioning.prompt import checked_category
from blipdiff.data.captioner import Captioner, Matcher, captioned_and_filtered
from blipdiff.data.matting import Matte, Segmenter, cut_out, trimap_of
from blipdiff.data.records import Pixels
from blipdiff.data.shards import Sample, write_shard
from blipdiff.errors import BlipdiffError, ConfigError, PromptError
from blipdiff.images import fitted, open_picture
from blipdiff.outputs import written_file
from pipelines.requests import check, parameter

PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
_SHOWN = 24


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
class Skipped:
    """A photo that became no sample, and why."""

    photo: str
    reason: str


@dataclass(slots=True)
class Prepared:
    """How far the work is: counts over all shards, those of earlier runs included."""

    photos: int
    done: int = 0
    samples: int = 0
    captions: int = 0
    refused: int = 0
    skipped: list[Skipped] = field(default_factory=list)


def prepare_photos(folder: Path, output: Path, tools: Tools, request: PrepareRequest) -> Iterator[Prepared]:
    """Yields after every shard; writes `report.html` at the end.

    Raises: ConfigError for a folder without photos, or an output of other photos or settings; OutputError where
    files cannot be written. A photo that cannot be used raises nothing: it is counted and named.
    """
    photos = photos_in(folder)
    state = Prepared(len(photos))
    _check_settings(output, request)
    for number, first in enumerate(range(0, len(photos), request.per_shard)):
        chunk = photos[first : first + request.per_shard]
        stem = output / f"subjects-{number:06d}"
        _count(state, _shard_record(stem, folder, chunk, tools, request, first))
        state.done = first + len(chunk)
        yield state
    write_report(output, state)


def photos_in(folder: Path) -> list[Path]:
    """Every photo of a folder and its folders, in the order of their names. Raises: ConfigError when there is none."""
    if not folder.is_dir():
        raise ConfigError(f"There is no folder {folder} with photos.")
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PHOTO_SUFFIXES and path.is_file())
    if not found:
        raise ConfigError(f"{folder} holds no photo; expected files ending in {', '.join(PHOTO_SUFFIXES)}.")
    return found


def _shard_record(
    stem: Path, folder: Path, chunk: Sequence[Path], tools: Tools, request: PrepareRequest, first: int
) -> dict[str, object]:
    """What became of a shard's photos: read when it is finished, else found out and written."""
    names = [str(path.relative_to(folder)) for path in chunk]
    record_path = stem.with_suffix(".json")
    if record_path.is_file():
        record: dict[str, object] = json.loads(record_path.read_text("utf-8"))
        if record["photos"] != names:
            raise ConfigError(f"{stem.parent} holds shards of other photos; give another output folder.")
        return record
    samples: list[Sample] = []
    skipped: list[Skipped] = []
    refused = 0
    for place, path in enumerate(chunk):
        try:
            sample, out = _prepared(path, names[place], tools, request, first + place)
        except (BlipdiffError, cv2.error, ValueError) as reason:
            if isinstance(reason, ConfigError | PromptError):
                raise
            skipped.append(Skipped(names[place], str(reason).replace(str(path), path.name)))
            continue
        samples.append(sample)
        refused += out
    if samples:
        write_shard(stem.with_suffix(".tar"), samples)
    record = {
        "photos": names,
        "samples": len(samples),
        "captions": sum(len(sample.captions) for sample in samples),
        "refused": refused,
        "skipped": [asdict(one) for one in skipped],
        "shown": [_shown(sample) for sample in samples[: max(0, _SHOWN - first)]],
    }
    with written_file(record_path) as part:  # last: it says that the shard is finished
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
    beside = path.with_suffix(".txt")
    given = [line.strip() for line in beside.read_text("utf-8").splitlines()] if beside.is_file() else []
    given = [line for line in given if line]
    if tools.captioner is None or tools.matcher is None:
        return tuple(given), 0
    seed = request.seed * 1_000_003 + number
    kept = captioned_and_filtered(
        photo, given, tools.captioner, tools.matcher, count=request.captions, least=request.least_match, seed=seed
    )
    return kept.captions, kept.refused


def _check_settings(output: Path, request: PrepareRequest) -> None:
    """Shards of other settings are not gone on with."""
    path, text = output / "settings.json", json.dumps(asdict(request), sort_keys=True)
    if path.is_file() and path.read_text("utf-8") != text:
        raise ConfigError(f"{output} was prepared with other settings ({path.name}); give another output folder.")
    with written_file(path) as part:
        part.write_text(text, "utf-8")


def _count(state: Prepared, record: dict[str, object]) -> None:
    for name in ("samples", "captions", "refused"):
        setattr(state, name, getattr(state, name) + int(record[name]))  # type: ignore[call-overload]
    state.skipped += [Skipped(**one) for one in record["skipped"]]  # type: ignore[attr-defined]


def _shown(sample: Sample) -> dict[str, str]:
    """A sample's pictures for the report, small, as data."""
    alpha = sample.subject[..., 3:].astype(np.float32) / 255
    chequers = (np.indices(sample.subject.shape[:2]).sum(axis=0) // 8 % 2 * 50 + 180)[..., None]
    on_chequers = (sample.subject[..., :3] * alpha + chequers * (1 - alpha)).astype(np.uint8)
    pictures = {"picture": sample.picture, "mask": np.dstack([sample.mask] * 3), "subject": on_chequers}
    return {
        "source": sample.source,
        "category": sample.category,
        "captions": " / ".join(sample.captions),
        **{name: _data(picture) for name, picture in pictures.items()},
    }


def _data(picture: Pixels) -> str:
    small = cv2.resize(picture, (160, 160), interpolation=cv2.INTER_AREA)
    coded = cv2.imencode(".jpg", np.ascontiguousarray(small[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
    return "data:image/jpeg;base64," + b64encode(coded.tobytes()).decode()


def write_report(output: Path, state: Prepared) -> Path:
    """`report.html`: counts, samples, and each photo that was left out with its reason. Raises: OutputError."""
    shown = [
        one for path in sorted(output.glob("subjects-*.json")) for one in json.loads(path.read_text("utf-8"))["shown"]
    ][:_SHOWN]
    rows = "".join(
        "<tr>"
        + "".join(f'<td><img alt="{name}" src="{one[name]}"></td>' for name in ("picture", "mask", "subject"))
        + f"<td><b>{html.escape(one['category'])}</b><br>{html.escape(one['captions'])}"
        + f"<br><small>{html.escape(one['source'])}</small></td></tr>"
        for one in shown
    )
    left_out = "".join(
        f"<tr><td>{html.escape(one.photo)}</td><td>{html.escape(one.reason)}</td></tr>" for one in state.skipped
    )
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Prepared photos</title><style>'
        "body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem }"
        "td { padding: .3rem .8rem .3rem 0; vertical-align: top } img { width: 160px; display: block }</style>"
        f"<h1>Prepared photos</h1><p>{state.samples} of {state.photos} photos became samples, with {state.captions} "
        f"captions; {state.refused} captions were refused, {len(state.skipped)} photos were left out.</p>"
        f"<h2>Samples</h2><table>{rows}</table><h2>Left out</h2><table>{left_out}</table></html>\n"
    )
    with written_file(output / "report.html") as part:
        part.write_text(page, "utf-8")
    return output / "report.html"
