"""A run's pictures are scored, a subject at a time; what has been scored is not scored again."""

import hashlib
import json
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from blipdiff.errors import ConfigError
from blipdiff.evaluation.dreambench.benchmark import Benchmark, BenchPicture, BenchSubject
from blipdiff.evaluation.dreambench.encoders import Encoders
from blipdiff.evaluation.dreambench.references import RAW, VARIANTS, found_mask, reference_variants
from blipdiff.evaluation.dreambench.scores import CLIP_I, DINO_SCORE, Scored, cosines_with
from blipdiff.evaluation.views import Floats
from blipdiff.images import open_picture
from blipdiff.outputs import written_file
from pipelines.evaluate.dreambench.run_folder import RunFolder, given_photos
from pipelines.evaluate.requests import EvaluationProgress

SCORING = "scoring"


@dataclass(frozen=True, slots=True, eq=False)
class _References:
    """A subject's photos in features, by metric and variant, one for each photo; and a key of what they show."""

    features: Mapping[str, Mapping[str, tuple[Floats | None, ...]]]
    key: str


@dataclass(frozen=True, slots=True, eq=False)
class RunScores:
    """All that was found: the pictures, and by metric and subject how alike its real photos are."""

    pictures: tuple[Scored, ...]
    real: Mapping[str, Mapping[str, tuple[float, ...]]]


def score(
    encoders: Encoders, benchmark: Benchmark, folder: RunFolder, pictures: Sequence[BenchPicture]
) -> Generator[EvaluationProgress, None, RunScores]:
    """Progress after each subject; returns the scores of the pictures that are there, those of each subject kept.

    Raises: ImageError for a damaged picture, OutputError where scores cannot be kept.
    """
    there = [one for one in pictures if folder.picture(one).is_file()]
    found, real = list[Scored](), dict[str, dict[str, tuple[float, ...]]]({DINO_SCORE: {}, CLIP_I: {}})
    for number, subject in enumerate(benchmark.subjects):
        own = sorted((one for one in there if one.subject is subject), key=lambda one: one.number)
        references = _references(encoders, folder, subject)
        for metric in real:
            real[metric][subject.name] = _pairs(references.features[metric][RAW])
        found += _scores_of(encoders, folder, subject, own, references)
        yield EvaluationProgress(SCORING, number + 1, len(benchmark.subjects))
    return RunScores(tuple(found), real)


def _scores_of(
    encoders: Encoders,
    folder: RunFolder,
    subject: BenchSubject,
    pictures: Sequence[BenchPicture],
    references: _References,
) -> list[Scored]:
    path = folder.scores(encoders.key, subject.name)
    kept = _kept(path, references.key)
    digests = {one.name: _digest(folder.picture(one)) for one in pictures}
    fresh = [one for one in pictures if kept.get(one.name, ("",))[0] != digests[one.name]]
    if fresh:
        made = _scored(encoders, folder, fresh, references)
        kept |= {one.name: (digests[one.name], one) for one in made}
        told = {"references": references.key, "pictures": [[key, one.as_json()] for key, one in kept.values()]}
        with written_file(path) as part:
            part.write_text(json.dumps(told), "utf-8")
    return [kept[one.name][1] for one in pictures]


def _scored(
    encoders: Encoders, folder: RunFolder, pictures: Sequence[BenchPicture], references: _References
) -> list[Scored]:
    images = [open_picture(folder.picture(one)) for one in pictures]
    features = {DINO_SCORE: encoders.dino.pictures(images), CLIP_I: encoders.clip.pictures(images)}
    captions = list(dict.fromkeys(one.caption for one in pictures))
    words = dict(zip(captions, encoders.clip.captions(captions), strict=True))
    condition = str(folder.settings["request"]["condition"])
    return [
        Scored(
            one.name,
            one.subject.name,
            one.prompt,
            given_photos(condition, len(one.subject.photos), one.place),
            {
                metric: {name: cosines_with(features[metric][place], rows) for name, rows in variants.items()}
                for metric, variants in references.features.items()
            },
            float(features[CLIP_I][place] @ words[one.caption]),
        )
        for place, one in enumerate(pictures)
    ]


def _references(encoders: Encoders, folder: RunFolder, subject: BenchSubject) -> _References:
    masks = [found_mask(photo, folder.mask(photo, subject.name)) for photo in subject.photos]
    digest = hashlib.sha256()
    for photo, mask in zip(subject.photos, masks, strict=True):
        digest.update(photo.read_bytes() + (b"" if mask is None else mask.tobytes()))
    readers = {DINO_SCORE: encoders.dino, CLIP_I: encoders.clip}
    features = {
        metric: _features(reader.pictures, _shown(subject, masks, reader.mean))  # type: ignore[attr-defined]
        for metric, reader in readers.items()
    }
    return _References(features, digest.hexdigest()[:16])


def _shown(
    subject: BenchSubject, masks: Sequence[Image.Image | None], mean: tuple[int, int, int]
) -> list[Mapping[str, Image.Image]]:
    return [reference_variants(photo, mask, mean) for photo, mask in zip(subject.photos, masks, strict=True)]


def _features(
    read: Callable[[Sequence[Image.Image]], Floats], shown: Sequence[Mapping[str, Image.Image]]
) -> dict[str, tuple[Floats | None, ...]]:
    found = {}
    for variant in VARIANTS:
        rows = (
            iter(read([one[variant] for one in shown if variant in one]))
            if any(variant in one for one in shown)
            else iter(())
        )
        found[variant] = tuple(next(rows) if variant in one else None for one in shown)
    return found


def _pairs(features: Sequence[Floats | None]) -> tuple[float, ...]:
    """The cosines of all pairs of photos."""
    there = [one for one in features if one is not None]
    return tuple(float(one @ other) for place, one in enumerate(there) for other in there[place + 1 :])


def _kept(path: Path, references: str) -> dict[str, tuple[str, Scored]]:
    """What has been scored against these references, by the picture's name, with the digest of its file."""
    if not path.is_file():
        return {}
    try:
        told = json.loads(path.read_text("utf-8"))
        rows = [(str(key), one) for key, one in told["pictures"]] if told["references"] == references else []
    except (OSError, ValueError, KeyError, TypeError) as reason:
        raise ConfigError(f"{path} is damaged; delete it to have its pictures scored again.") from reason
    scored = [(key, Scored.from_json(one)) for key, one in rows]
    return {one.name: (key, one) for key, one in scored}


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
