"""The best of several pictures: each scored for the prompt and for the subject, by what has no part in drawing them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize

from blipdiff.conditioning.prompt import build_prompt
from blipdiff.conditioning.subject import SubjectPhoto
from blipdiff.conditioning.weighting import plain_text
from blipdiff.cut_out import framed
from blipdiff.devices import Placement
from blipdiff.errors import ImageError, MissingDependencyError
from blipdiff.filenames import short_name
from blipdiff.images import subject_pixels
from blipdiff.language import verdicts
from blipdiff.language.answers import Engine
from blipdiff.language.engines import load_engine
from blipdiff.language.mini import DescriberEngine
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.models.describer import Describer
from pipelines.controls.details import References
from pipelines.inputs import Input
from pipelines.scores import TOGETHER, Scores
from pipelines.sheets import labelled_grid
from pipelines.task import Notice, Result, Sheet

BEST = "best"  # the kind of the sheet

_INSIDE = 0.5  # share of a patch that the subject takes
_ACROSS = 4  # pictures of the sheet
_FRAME = 224  # pixels of the frame in which the cut-out is seen


@dataclass(frozen=True, slots=True, eq=False)
class Inside:
    """A subject cut out: its `places` (n, width) of length 1, or `rows` (1, 16, shared) as a describer sees it."""

    places: Tensor | None = None
    rows: Tensor | None = None


class Chooser:
    """Scores pictures. engine: who is asked whether a picture shows the prompt; the bundled describer if absent."""

    def __init__(self, model: BlipDiffusion, references: References, engine: Engine | None = None) -> None:
        self._model, self._references, self._engine = model, references, engine
        self._describer: DescriberEngine | None = None

    @classmethod
    def of(cls, model: BlipDiffusion, references: References, judge: str | None, *, download: bool) -> "Chooser":
        """With the engine that is written "blip-vqa" or, with its weights, "blip-vqa=FOLDER".

        Raises: ConfigError for an unknown engine, CheckpointError for weights that are not there.
        """
        if judge is None:
            return cls(model, references)
        name, _, weights = judge.partition("=")
        given = {"weights": Path(weights) if Path(weights).is_dir() else weights} if weights else None
        place = Placement(model.device, torch.float32)
        return cls(model, references, load_engine(name, weights=given, place=place, download=download))

    def scores(self, picture: Image.Image, thing: str, place: str, subjects: Sequence[Inside]) -> Scores:
        """Of one picture. thing, place: "dog", "on a beach"; subjects: what `subjects` gave

        The chance of "yes" to whether the picture shows the sentence, as VQAScore has it (Lin et al. 2024,
        arXiv:2404.01291); a describer's is the place's share among places. And how well the subject is found again.
        """
        if self._engine is None:
            self._engine = self._bundled()
        found = [self._found(picture, one) for one in subjects]
        prompt = _chance(self._engine, picture, thing, place)
        return Scores(prompt, float(np.mean(found)) if found else None, self._engine.name)

    def subjects(self, inputs: Sequence[Input]) -> tuple[list[Inside], list[str]]:
        """What the subjects' photos show inside their cut-outs, and a sentence on each that shows none."""
        found, notices = list[Inside](), list[str]()
        for one in inputs:
            if one.weight == 0:
                continue
            try:
                found.append(self._inside(self._layers(one)))
            except (ImageError, MissingDependencyError) as reason:
                notices.append(f"Pictures are chosen by the prompt alone: {reason}")
        return found, notices

    def _layers(self, one: Input) -> Image.Image:
        reference = one.reference
        if isinstance(reference, SubjectPhoto):
            return self._references.cut_out(reference).image
        if reference.cut_out is None:
            raise ImageError("the subject card keeps no photo.")
        return reference.cut_out

    def _inside(self, layers: Image.Image) -> Inside:
        picture, mask = framed(layers, (_FRAME, _FRAME))
        if (describer := self._knows_subjects()) is not None:
            return Inside(rows=_rows(describer, picture))
        patches = self._patches(picture)
        side = round(len(patches) ** 0.5)
        cover = torch.from_numpy(np.array(mask.resize((side, side), Image.Resampling.BOX), np.float32)).flatten() / 255
        kept = cover >= min(_INSIDE, float(cover.max()))
        return Inside(patches[kept.to(patches.device)])

    def _knows_subjects(self) -> Describer | None:
        """The bundled describer where the model sees as it does; a larger model's own trunk sees more."""
        describer = self._bundled().describer
        own, seen = self._model.subject_encoder.sizes.vision, describer.network.sizes.vision
        return describer if own == seen else None

    def _bundled(self) -> DescriberEngine:
        if self._describer is None:
            engine = load_engine(place=self._place)
            assert isinstance(engine, DescriberEngine)
            self._describer = engine
        return self._describer

    @property
    def _place(self) -> Placement:
        return Placement(self._model.device, torch.float32)

    @torch.no_grad()
    def _patches(self, picture: Image.Image) -> Tensor:
        """What the model's trunk sees at each place: (places, width), of length 1."""
        trunk = self._model.subject_encoder.visual_encoder
        pixels = subject_pixels(picture, self._model.photo, fit="pad")[None]
        weight = next(trunk.parameters())
        return normalize(trunk(pixels.to(weight.device, weight.dtype))[0, 1:].float(), dim=-1)

    def _found(self, picture: Image.Image, subject: Inside) -> float:
        """How alike the describer finds both, which has learned to know a subject again on another ground.

        Or else the mean over the subject's places of the cosine with the likest place of the picture, as the model's
        own trunk sees both.
        """
        if subject.rows is not None:
            describer = self._bundled().describer
            return float(describer.network.same_subject(_rows(describer, picture), subject.rows).clamp(0, 1))
        assert subject.places is not None
        cosines = subject.places @ self._patches(picture).T  # (places of the subject, places of the picture)
        return float(cosines.amax(dim=1).mean().clamp(0, 1))


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """How the pictures of one job are scored."""

    chooser: Chooser
    best: int  # how many are named
    thing: str
    place: str
    subjects: tuple[Inside, ...]
    notices: tuple[str, ...] = ()

    def scores(self, picture: Image.Image) -> Scores:
        """Of one of them."""
        return self.chooser.scores(picture, self.thing, self.place, self.subjects)


def choice_for(studio: Any, job: Any) -> Choice | None:
    """How an opened job's pictures are scored; None where none are chosen, and where one is drawn again.

    studio: `pipelines.studio.Studio`; job: of a request of one subject
    """
    request = job.request
    best = getattr(request, "best", 0)  # a task of a program's own may have a request without it
    if not best or job.index is not None:
        return None
    subjects, notices = studio.chooser.subjects(job.given("subject"))
    place = plain_text(request.worded(request.prompt)).strip()
    thing = request.target or request.category
    return Choice(studio.chooser, best, thing, place, tuple(subjects), tuple(notices))


@torch.no_grad()
def _rows(describer: Describer, picture: Image.Image) -> Tensor:
    return describer.network.picture_features(describer.patches([picture]))


def _chance(engine: Engine, picture: Image.Image, thing: str, place: str) -> float:
    if place and isinstance(engine, DescriberEngine):
        return verdicts.place_share(engine.describer, engine.describer.patches([picture]), thing, place)
    return float(engine.matches(picture, [build_prompt(thing, place)])[0])


def ranked(choice: Choice | None, name: str) -> Callable[[Sequence[Result]], Iterable[Notice | Sheet]]:
    """What is made of all results where they were chosen from."""
    return (lambda _results: ()) if choice is None else lambda results: ranking(results, choice.best, short_name(name))


def ranking(results: Sequence[Result], best: int, name: str) -> Iterator[Notice | Sheet]:
    """The order of all pictures in words, and as a sheet; the best first, and none left out."""
    order = sorted(results, key=lambda one: -one.facts[TOGETHER])
    if not order:
        return
    words = "; ".join(f"seed {one.picture.seed} ({one.label})" for one in order[:best])
    yield Notice(f"The best {best} of {len(order)}: {words}.")
    cells = [
        (one.picture.image, f"{place + 1}. seed {one.picture.seed}: {one.label}") for place, one in enumerate(order)
    ]
    sheet = labelled_grid([row for row in (cells[:best], cells[best:]) if row], across=_ACROSS)
    yield Sheet(BEST, f"{name}-{BEST}", ".png", lambda path: sheet.save(path, format="PNG"))
