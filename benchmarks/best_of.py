"""Best of N: whether the pictures that the scores choose are righter than the mean of all, by judges that choose none.

    python -m benchmarks.best_of LIBRARY JUDGE KEPT --subjects 26 --count 8 [--describer FOLDER] [--split source]

Each unseen subject is drawn `count` times in one scene. A classifier of contexts says whether the scene is right, a
hard choice among ten whether the subject is; neither has a part in choosing. Pictures and judgements are kept in
KEPT, so that another describer can be tried on the same. JUDGE: the classifier that `blipdiff evaluate` keeps.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from PIL import Image

from benchmarks.personalize import Bench
from blipdiff.checkpoints.describer import load_describer
from blipdiff.conditioning.subject import SubjectPhoto
from blipdiff.data.records import Pair
from blipdiff.evaluation import hard
from blipdiff.evaluation.protocols import Trial, draw_trials
from blipdiff.language.mini import DescriberEngine
from pipelines.choosing import Chooser
from pipelines.inputs import Input

LOOKED_AT = 12  # subjects of other concepts among which the most alike ones are looked for
RESAMPLED = 4000


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """Pictures of one subject in one scene. scene, right: (count,), whether each is right."""

    photo: Image.Image
    category: str
    prompt: str
    pictures: list[Image.Image]
    scene: np.ndarray
    right: np.ndarray


def judged(bench: Bench, trials: Sequence[Trial], count: int, kept: Path) -> Iterator[Judged]:
    """Drawn and judged, or read where that was done before."""
    for trial in trials:
        place = kept / f"{bench.library.records[trial.pair.subject].source}-{trial.pair.subject}-{count}"
        if not (place / "judged.json").is_file():
            _judge(bench, trial, count, place)
        told = json.loads((place / "judged.json").read_text())
        pictures = [Image.open(place / f"{number}.png") for number in range(count)]
        scene, right = np.array(told["scene"]), np.array(told["right"])
        yield Judged(Image.open(place / "photo.png"), told["category"], told["prompt"], pictures, scene, right)


def _judge(bench: Bench, trial: Trial, count: int, place: Path) -> None:
    place.mkdir(parents=True, exist_ok=True)
    pair = _plain(bench, trial)
    photo = Image.fromarray(pair.photo)
    card = bench.studio.subject([SubjectPhoto(photo, pair.category)], fit="pad")
    pictures = bench.draw(card, [pair] * count)
    choice = hard.hard_choice(bench.library, trial.pair.subject, bench.ensemble)
    right = []
    for number, picture in enumerate(pictures):
        alike = bench.ensemble.compare(picture, choice.views)[bench.ensemble.names[0]]
        right.append(bool(alike[choice.right] > np.delete(alike, choice.right).max()))
        Image.fromarray(picture).save(place / f"{number}.png")
    photo.save(place / "photo.png")
    scene = [found == pair.scene for found, _ in bench.contexts.classify(pictures)]
    told = {"category": pair.category, "prompt": pair.prompt, "scene": scene, "right": right}
    (place / "judged.json").write_text(json.dumps(told))


def _plain(bench: Bench, trial: Trial) -> Pair:
    """The trial's pair, or another one of its subject, without a style."""
    pair, rng = trial.pair, np.random.default_rng((11, trial.pair.subject))
    while pair.style is not None:
        pair = bench.library.draw_subject(trial.pair.subject, rng)
    return pair


def chosen(chooser: Chooser, one: Judged) -> np.ndarray:
    """What the scores say of each picture: (count, 2), of the prompt and of the subject."""
    given = Input(SubjectPhoto(one.photo, one.category))
    subjects, _ = chooser.subjects([given])
    scores = [chooser.scores(picture, one.category, one.prompt, subjects) for picture in one.pictures]
    return np.array([[score.prompt, 1.0 if score.subject is None else score.subject] for score in scores])


def gain(best: np.ndarray, mean: np.ndarray) -> str:
    """Best against mean, with the difference's 95 % interval by a paired bootstrap over subjects."""
    rng, difference = np.random.default_rng(0), best - mean
    drawn = difference[rng.integers(len(difference), size=(RESAMPLED, len(difference)))].mean(1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return f"{best.mean():.1%} / {mean.mean():.1%}: {difference.mean():+.1%} ({low:+.1%} to {high:+.1%})"


def main(
    library: Path,
    judge: Path,
    kept: Path,
    subjects: Annotated[int, typer.Option("--subjects")] = 26,
    count: Annotated[int, typer.Option("--count")] = 8,
    split: Annotated[str, typer.Option("--split")] = "source",
    describer: Annotated[str, typer.Option("--describer")] = "mini-describe",
    drawn: Annotated[int, typer.Option("--drawn", help="Steps of each picture.")] = 12,
) -> None:
    """Prints a table."""
    torch.set_num_threads(1)
    hard._LOOKED_AT = LOOKED_AT
    bench = Bench(library, judge, 1, drawn)
    trials = draw_trials(bench.library, split, subjects=subjects, pictures=1, seed=11)  # type: ignore[arg-type]
    seen = list(judged(bench, trials, count, kept))
    chooser = Chooser(bench.studio.model, bench.studio.references, DescriberEngine(load_describer(describer)))
    scores = [chosen(chooser, one) for one in seen]
    orders = {"prompt times subject": lambda s: s.prod(1), "prompt": lambda s: s[:, 0], "subject": lambda s: s[:, 1]}
    means = {what: np.array([getattr(one, what).mean() for one in seen]) for what in ("scene", "right")}
    for name, order in orders.items():
        places = [int(order(one).argmax()) for one in scores]
        for what, mean in means.items():
            best = np.array([getattr(one, what)[place] for one, place in zip(seen, places, strict=True)], float)
            print(f"{name}, {what}: {gain(best, mean)}")
    for what, mean in means.items():
        print(f"whoever knew, {what}: {gain(np.array([getattr(one, what).max() for one in seen], float), mean)}")


if __name__ == "__main__":
    typer.run(main)
