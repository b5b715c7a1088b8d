"""Blends and scenes of unseen subjects, drawn and measured: what `blipdiff evaluate-blending` reports."""

import json
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

from blipdiff.conditioning.mixing import mix
from blipdiff.conditioning.subject import SubjectPhoto
from blipdiff.data.pairs import PairLibrary
from blipdiff.data.records import Pixels
from blipdiff.distances import picture_distance
from blipdiff.evaluation.blending import SubjectPair, draw_subject_pairs, is_monotone, spearman, true_scene
from blipdiff.evaluation.ensemble import TOGETHER, Ensemble
from blipdiff.evaluation.hard import hard_choice
from blipdiff.evaluation.protocols import choice_of, subject_views
from blipdiff.evaluation.sheets import contact_sheet, save_sheet
from blipdiff.evaluation.statistics import Figure, mean, share
from blipdiff.images import to_pictures
from blipdiff.latents import decode_latents, size_factor
from blipdiff.outputs import written_file
from pipelines.blend.request import BlendRequest
from pipelines.evaluate.requests import BlendingRequest, EvaluationProgress
from pipelines.inputs import Input
from pipelines.job import Job, run
from pipelines.plan import SamplingPlan, execute
from pipelines.scene.plan import encode_scene, plan_scene, region_masks
from pipelines.scene.request import SceneRequest
from pipelines.studio import Studio
from pipelines.task import Result

SLACK = 0.1  # of a path's range: what a metric's number may go back by and the path still count as monotone
VARIANTS = ("with regions", "with regions, no tiles", "regions found", "without regions", "merely mixed")
TRUE = "true composites"


@dataclass(frozen=True, slots=True, eq=False)
class BlendingReport:
    """Lines of (what, figure as text), and the same for machines."""

    lines: tuple[tuple[str, str], ...]
    figures: Mapping[str, Any]


Event: TypeAlias = EvaluationProgress | BlendingReport


def evaluate_blending(
    studio: Studio, library: PairLibrary, folder: Path, request: BlendingRequest | None = None
) -> Iterator[Event]:
    """Progress first, the report last, which is then also in `folder`, with sheets of the pictures.

    Raises: ConfigError where the library has too few unseen concepts, OutputError where nothing can be written.
    """
    request = request or BlendingRequest()
    pairs = draw_subject_pairs(library, pairs=request.pairs, choices=request.choices, seed=request.seed)
    ensemble = Ensemble.of_library(library)
    figures: dict[str, Figure] = {}
    if request.what != "scenes":
        figures |= yield from _paths(studio, library, ensemble, pairs, request, folder)
    if request.what != "paths":
        figures |= yield from _scenes(studio, library, ensemble, pairs, request, folder)
    lines = tuple((name, _text(name, figure)) for name, figure in figures.items())
    told = {"request": asdict(request), "model": studio.model.name} | {
        name: asdict(figure) for name, figure in figures.items()
    }
    with written_file(folder / "blending.json") as part:
        part.write_text(json.dumps(told, indent=1), "utf-8")
    yield BlendingReport(lines, told)


def _paths(
    studio: Studio,
    library: PairLibrary,
    ensemble: Ensemble,
    pairs: Sequence[SubjectPair],
    request: BlendingRequest,
    folder: Path,
) -> Generator[EvaluationProgress, None, dict[str, Figure]]:
    scored = _Courses()
    drawn = _Courses()
    largest: dict[str, list[float]] = {"even": [], "perceptual": []}
    unevenness: dict[str, list[float]] = {"even": [], "perceptual": []}
    shown = []
    for number, pair in enumerate(pairs):
        views = subject_views(library, [pair.candidates[place] for place in pair.rights])
        for spacing, steps in largest.items():
            path = _path(studio, pair, spacing, request)
            distances = [one.detail.distance for one in path[:-1]]
            steps.append(max(distances))
            unevenness[spacing].append(max(distances) / max(float(np.mean(distances)), 1e-9))
            if spacing == "perceptual":
                continue
            images = [frame.picture.image for frame in path]
            scores = [ensemble.compare(_pixels(image), views)[TOGETHER] for image in images]
            scored.add([-float(score[0]) for score in scores])
            scored.add([float(score[1]) for score in scores])
            drawn.add([picture_distance(images[0], image) for image in images])
            drawn.add([-picture_distance(images[-1], image) for image in images])
            shown.append(images)
        yield EvaluationProgress("paths", number + 1, len(pairs))
    headings = [f"{place / (request.frames - 1):.0%}" for place in range(request.frames)]
    names = [f"{pair.categories[0]} to {pair.categories[1]}" for pair in pairs]
    save_sheet(contact_sheet(shown[:12], headings, names[:12]), folder / "paths.png")
    return {
        **scored.figures("the metrics' likeness to either subject"),
        **drawn.figures("the distance from either end's picture"),
        "largest step, even spacing": mean(largest["even"]),
        "largest step, perceptual spacing": mean(largest["perceptual"]),
        "largest step over the mean step, even spacing": mean(unevenness["even"]),
        "largest step over the mean step, perceptual spacing": mean(unevenness["perceptual"]),
    }


@dataclass(frozen=True, slots=True)
class _Courses:
    """Sequences of numbers that should rise along a path."""

    rising: list[bool] = field(default_factory=list)
    nearly: list[bool] = field(default_factory=list)
    ranks: list[float] = field(default_factory=list)

    def add(self, values: Sequence[float]) -> None:
        """One more."""
        self.rising.append(is_monotone(values))
        self.nearly.append(is_monotone(values, slack=SLACK))
        self.ranks.append(spearman(values))

    def figures(self, of: str) -> dict[str, Figure]:
        """Shares and mean correlation, by what they are of."""
        return {
            f"monotone: {of}": share(self.rising),
            f"monotone but for {SLACK:.0%} of the range: {of}": share(self.nearly),
            f"Spearman's correlation with the place: {of}": mean(self.ranks),
        }


def _path(studio: Studio, pair: SubjectPair, spacing: str, request: BlendingRequest) -> list[Result]:
    """The path's frames in order."""
    asked = BlendRequest(
        prompt=pair.scene,
        frames=request.frames,
        spacing=spacing,
        steps=request.steps,
        guidance=request.guidance,
        seed=pair.seed,
        batch=request.batch,
        film=("none",),
    )
    return [event for event in run(studio, Job.of(asked, subject=_photos(pair))) if isinstance(event, Result)]


def _scenes(
    studio: Studio,
    library: PairLibrary,
    ensemble: Ensemble,
    pairs: Sequence[SubjectPair],
    request: BlendingRequest,
    folder: Path,
) -> Generator[EvaluationProgress, None, dict[str, Figure]]:
    pictures: dict[str, list[Image.Image]] = {}
    for variant in VARIANTS:
        pictures[variant] = yield from _drawn(studio, variant, pairs, request)
    grounds = [np.array(library.scenes[number * len(library.scenes) // len(pairs)]) for number in range(len(pairs))]
    pictures[TRUE] = [
        Image.fromarray(true_scene(subject_views(library, [pair.candidates[place] for place in pair.rights]), ground))
        for pair, ground in zip(pairs, grounds, strict=True)
    ]
    hits: dict[str, list[float]] = {name: [] for name in pictures}
    hard: dict[str, list[float]] = {name: [] for name in (VARIANTS[0], TRUE)}
    for number, pair in enumerate(pairs):
        views = subject_views(library, pair.candidates)
        for name, drawn in pictures.items():
            for half, right in zip(_halves(drawn[number]), pair.rights, strict=True):
                hits[name].append(choice_of(ensemble.compare(half, views)[TOGETHER], right).hit)
        for place, right in enumerate(pair.rights):
            asked = hard_choice(library, pair.candidates[right], ensemble, choices=request.choices)
            for name, found in hard.items():
                half = _halves(pictures[name][number])[place]
                found.append(choice_of(ensemble.compare(half, asked.views)[TOGETHER], asked.right).hit)
        yield EvaluationProgress("scoring scenes", number + 1, len(pairs))
    rows = [[_sheet(pictures[name][number]) for name in pictures] for number in range(min(len(pairs), 12))]
    names = [f"{' | '.join(pair.categories)}" for pair in pairs[:12]]
    save_sheet(contact_sheet(rows, list(pictures), names, 160), folder / "scenes.png")
    figures = {
        f"own subject in each region among {request.choices}, {name}": share(found) for name, found in hits.items()
    }
    figures |= {
        f"own subject in each region by a hard choice of {request.choices}, {name}": share(found)
        for name, found in hard.items()
    }
    both = {
        f"both regions right, {name}": share([min(pair) for pair in zip(found[::2], found[1::2], strict=True)])
        for name, found in hits.items()
    }
    return figures | both


def _drawn(
    studio: Studio, variant: str, pairs: Sequence[SubjectPair], request: BlendingRequest
) -> Generator[EvaluationProgress, None, list[Image.Image]]:
    drawn: list[Image.Image] = []
    for pair in pairs:
        plan = _scene_plan(studio, variant, pair, request)
        latents = plan.latents
        for step in execute(studio.model.unet, plan):
            latents = step.latents
        drawn += to_pictures(decode_latents(studio.model.vae, latents))
        yield EvaluationProgress(f"scenes {variant}", len(drawn), len(pairs))
    return drawn


def _scene_plan(studio: Studio, variant: str, pair: SubjectPair, request: BlendingRequest) -> SamplingPlan:
    model = studio.model
    own = int(model.unet.config.sample_size)
    side = own * size_factor(model.vae)
    words = [category.strip() for category in pair.categories]
    asked = SceneRequest(
        prompt=f"a {{{words[0]}}} and a {{{words[1]}}} {pair.scene}",
        steps=request.steps,
        guidance=request.guidance,
        seed=pair.seed,
        width=2 * side,
        height=side,
        arrange="found" if variant == "regions found" else "row",
        tiles_until=0.0 if "no tiles" in variant else SceneRequest(prompt="{a}").tiles_until,
    )
    subjects = studio.subjects(_photos(pair))
    boxes = ((0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0))
    if variant == "merely mixed":
        subjects = [mix([(subject, 1.0) for subject in subjects])] * 2
    rows = encode_scene(model, asked, words, subjects)
    details = studio.details(asked, [Input(photo, word) for photo, word in zip(_photos(pair), words, strict=True)])
    if variant == "regions found":
        return plan_scene(model, asked, rows, None, [pair.seed], details=details)
    placed = [Input(subject, word, box=box) for word, subject, box in zip(words, subjects, boxes, strict=True)]
    masks = region_masks(asked, placed, (own, 2 * own))
    plan = plan_scene(model, asked, rows, masks, [pair.seed], details=details)
    if variant.startswith("with regions"):
        return plan
    return SamplingPlan(plan.guidance, plan.latents, plan.scheduler, generators=plan.generators)


def _photos(pair: SubjectPair) -> list[SubjectPhoto]:
    return [
        SubjectPhoto(Image.fromarray(photo), category)
        for photo, category in zip(pair.photos, pair.categories, strict=True)
    ]


def _halves(picture: Image.Image) -> tuple[Pixels, Pixels]:
    pixels = _pixels(picture)
    middle = pixels.shape[1] // 2
    return np.ascontiguousarray(pixels[:, :middle]), np.ascontiguousarray(pixels[:, middle:])


def _pixels(picture: Image.Image) -> Pixels:
    return np.array(picture.convert("RGB"))


def _sheet(picture: Image.Image) -> Image.Image:
    """On a square, for the contact sheet."""
    square = Image.new("RGB", (picture.width, picture.width), "white")
    square.paste(picture, (0, (picture.width - picture.height) // 2))
    return square


def _text(name: str, figure: Figure) -> str:
    return figure.as_number() if "step" in name or "Spearman" in name else figure.as_percent()
