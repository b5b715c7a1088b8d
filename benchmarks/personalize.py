"""What tuning gains on unseen subjects, by method: fidelity, scenes, other subjects, time and size, as a table.

python -m benchmarks.personalize LIBRARY JUDGE --subjects 6 --methods embedding,lora,lora+falls,full,lora@1

Each subject has four photos, turned, shifted and on other grounds; it is looked for among twins in other colours, other
artists' drawings of the same thing, and the most alike of others. `@1` learns from one photo alone; the lines "details"
read the photo while they draw, as `--detail` does. With --look all checks of a method are drawn, to be compared with
the one that stopping by itself has chosen. JUDGE: the classifier of contexts that `blipdiff evaluate` keeps.
"""

import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from PIL import Image, ImageEnhance

from blipdiff.conditioning.subject import SubjectEmbedding, SubjectPhoto
from blipdiff.data.pairs import PairLibrary
from blipdiff.data.records import Pair, Pixels
from blipdiff.evaluation.contexts import ContextClassifier
from blipdiff.evaluation.ensemble import Ensemble
from blipdiff.evaluation.hard import HardChoice, hard_choice
from blipdiff.evaluation.inner_structure import InnerStructureMetric
from blipdiff.evaluation.protocols import Trial, draw_trials, subject_views
from blipdiff.images import to_pictures
from blipdiff.latents import decode_latents
from pipelines.evaluate.drawing import side_by_side
from pipelines.generate.request import GenerateRequest
from pipelines.job import Job
from pipelines.personalize.learning import Learning
from pipelines.personalize.photos import read_photos
from pipelines.personalize.request import PersonalizeRequest
from pipelines.personalize.run import material, start_of
from pipelines.plan import encode, execute, plan_encoded
from pipelines.studio import Studio

PHOTOS, DEGREES = 4, 10.0
DETAIL = 0.5  # of the lines with details


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """What is drawn of one subject, and among whom it is looked for."""

    subject: int
    pairs: list[Pair]
    choice: HardChoice
    others: list[int]  # drawings of the same thing by others


class Bench:
    """A model, the library's unseen subjects, and what judges pictures of them."""

    def __init__(self, library: Path, judge: Path, pictures: int, steps: int) -> None:
        self.library, self.pictures, self.steps = PairLibrary(library), pictures, steps
        self.studio = Studio.open("mini", device="cpu", dtype="float32")
        self.ensemble, self.inner = Ensemble.of_library(self.library), InnerStructureMetric()
        self.contexts = ContextClassifier.load(judge)

    def asked(self, trial: Trial, seed: int) -> Asked:
        """New pictures of a trial's subject in scenes without styles."""
        subject, pairs = trial.pair.subject, list[Pair]()
        rng = np.random.default_rng((seed, 11, subject))
        while len(pairs) < self.pictures:
            pair = self.library.draw_subject(subject, rng)
            pairs += [pair] if pair.style is None else []
        concept = self.library.records[subject].concept
        same = [place for place, one in enumerate(self.library.records) if one.concept == concept and place != subject]
        return Asked(subject, pairs, hard_choice(self.library, trial.pair.subject, self.ensemble), same[:2])

    def photos(self, subject: int, seed: int) -> list[Image.Image]:
        """Four photos: turned, shifted, lit differently, on plain grounds."""
        rng, found = np.random.default_rng((seed, 12, subject)), list[Image.Image]()
        for _ in range(PHOTOS):
            photo = Image.fromarray(self.library.draw_subject(subject, rng).photo)
            ground = photo.getpixel((0, 0))
            turned = photo.rotate(rng.uniform(-DEGREES, DEGREES), Image.Resampling.BICUBIC, fillcolor=ground)
            found.append(ImageEnhance.Brightness(turned).enhance(float(rng.uniform(0.92, 1.04))))
        return found

    def draw(self, card: SubjectEmbedding, pairs: Sequence[Pair], detail: float = 0.0) -> list[Pixels]:
        """A picture of the card in each pair's scene; detail: how much of the card's cut-out is read."""
        model, plans = self.studio.model, []
        for seed, one in enumerate(pairs):
            asked = GenerateRequest(category=one.category, prompt=one.prompt, steps=self.steps, detail=detail)
            read = self.studio.details(asked, Job.of(asked, subject=card).given("subject"))
            plans.append(plan_encoded(model, encode(model, asked, card), [seed], details=read))
        plan = side_by_side(plans)
        for step in execute(model.unet, plan):
            latents = step.latents
        return [np.asarray(one) for one in to_pictures(decode_latents(model.vae, latents))]

    def scores(self, asked: Asked, card: SubjectEmbedding) -> dict[str, float]:
        """The figures of one card: the subject's and, under its weights, those of other subjects of the category."""
        return self.seen(asked, self.draw(card, asked.pairs)) | {"others": self.others(asked, card)}

    def seen(self, asked: Asked, pictures: Sequence[Pixels]) -> dict[str, float]:
        """How much pictures show the subject in its scene: likeness, its lead over the best other one, hits, inner
        structure, scenes.
        """
        views, right, rows = asked.choice.views, asked.choice.right, []
        for picture in pictures:
            alike = self.ensemble.compare(picture, views)[self.ensemble.names[0]]
            inner = self.inner.compare(picture, views)
            best = float(np.delete(alike, right).max())
            own = float(alike[right])
            rows.append((own, own - best, float(own > best), float(inner[right] - np.delete(inner, right).mean())))
        named = zip(self.contexts.classify(pictures), asked.pairs, strict=True)
        scene = float(np.mean([scene == pair.scene for (scene, _), pair in named]))
        return dict(zip(("alike", "lead", "hard", "inner"), np.mean(rows, axis=0).tolist(), strict=True)) | {
            "scene": scene
        }

    def others(self, asked: Asked, card: SubjectEmbedding) -> float:
        """How much other subjects of the category still look like themselves under these weights."""
        likeness = []
        for other in asked.others:
            rng = np.random.default_rng((13, other))
            pair = self.library.draw_subject(other, rng)
            plain = self.studio.subject([SubjectPhoto(Image.fromarray(pair.photo), pair.category)], fit="pad")
            [picture] = self.draw(replace(plain, weights=card.weights), [replace(pair, prompt="")])
            [view] = subject_views(self.library, [other])
            likeness.append(float(self.ensemble.compare(picture, [view])[self.ensemble.names[0]][0]))
        return float(np.mean(likeness)) if likeness else float("nan")


def learnings(bench: Bench, asked: Asked, method: str, steps: int, seed: int, folder: Path) -> Learning:
    """A subject's learning by a method as the table names it, from its photos on."""
    name, _, count = method.partition("@")
    kind, _, falls = name.partition("+")
    request = PersonalizeRequest(
        category=asked.pairs[0].category, method=kind, rank_falls=bool(falls), steps=steps, seed=seed
    )
    images = bench.photos(asked.subject, seed)[: int(count or PHOTOS)]
    photos = read_photos(bench.studio, images, request.category, request.fit)
    return Learning(bench.studio.model, request, material(bench.studio.model, photos, request), folder)


def measured(
    bench: Bench, asked: Asked, methods: Sequence[str], steps: int, look: str, seed: int
) -> Iterator[dict[str, Any]]:
    """A line for each method, and for each check of the one that is looked at."""
    photos = read_photos(bench.studio, bench.photos(asked.subject, seed), asked.pairs[0].category, "pad")
    plain = start_of(bench.studio.model, photos, asked.pairs[0].category)
    yield {"method": "zero-shot", **bench.scores(asked, plain)}
    yield {"method": "zero-shot, details", **bench.seen(asked, bench.draw(plain, asked.pairs, DETAIL))}
    yield {"method": "true", **bench.seen(asked, [pair.target for pair in asked.pairs])}
    for method in methods:
        with tempfile.TemporaryDirectory() as place:
            begun, worked = time.monotonic(), time.process_time()
            learning = learnings(bench, asked, method, steps, seed, Path(place))
            for step in learning.steps():
                if step.check is not None and method == look:
                    seen = bench.seen(asked, bench.draw(learning.now(), asked.pairs))
                    told = {"step": step.check.step, "held_out": step.check.held_out, "drift": step.check.drift}
                    yield {"method": f"{method} looked at", **seen, **told}
            seconds, worked = time.monotonic() - begun, time.process_time() - worked
            card, best = learning.card(), learning.best
            size = card.save(Path(place) / "card.safetensors").stat().st_size
            told = {
                "seconds": seconds,
                "processor seconds": worked,
                "bytes": size,
                "step": best.step,
                "held_out": best.held_out,
                "drift": best.drift,
            }
            yield {"method": method, **bench.scores(asked, card), **told}
            yield {"method": f"{method}, details", **bench.seen(asked, bench.draw(card, asked.pairs, DETAIL))}


def main(
    library: Path,
    judge: Path,
    subjects: Annotated[int, typer.Option("--subjects")] = 6,
    methods: Annotated[str, typer.Option("--methods")] = "embedding,lora,lora+falls,full,lora@1",
    pictures: Annotated[int, typer.Option("--pictures")] = 6,
    steps: Annotated[int, typer.Option("--steps", help="0: until it is enough.")] = 0,
    drawn: Annotated[int, typer.Option("--drawn", help="Steps of each picture.")] = 15,
    look: Annotated[str, typer.Option("--look", help="The method whose every check is drawn.")] = "",
    seed: Annotated[int, typer.Option("--seed")] = 0,
    skip: Annotated[int, typer.Option("--skip", help="Of the subjects: the first ones, which are left out.")] = 0,
) -> None:
    """Prints a line of JSON for each subject and method."""
    torch.set_num_threads(1)
    bench = Bench(library, judge, pictures, drawn)
    trials = draw_trials(bench.library, "source", subjects=subjects, pictures=1, seed=seed)
    for trial in trials[skip:]:
        asked = bench.asked(trial, seed)
        for line in measured(bench, asked, methods.split(","), steps, look, seed):
            about = {"subject": bench.library.records[asked.subject].name}
            print(
                json.dumps(about | {k: round(v, 4) if isinstance(v, float) else v for k, v in line.items()}), flush=True
            )


if __name__ == "__main__":
    typer.run(main)
