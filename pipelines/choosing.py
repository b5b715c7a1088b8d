"""The best of several pictures: each scored for the prompt and for the subject, by what has no part in drawing them."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
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
from blipdiff.images import fitted, subject_pixels
from blipdiff.language import verdicts
from blipdiff.language.answers import Engine
from blipdiff.language.engines import load_engine
from blipdiff.language.mini import DescriberEngine
from blipdiff.models.blip_diffusion import BlipDiffusion
from pipelines.controls.details import References
from pipelines.inputs import Input
from pipelines.scores import TOGETHER, Scores
from pipelines.sheets import labelled_grid
from pipelines.task import Notice, Result, Sheet

BEST = "best"  # the kind of the sheet

_INSIDE = 0.5  # share of a patch that the subject takes
_ACROSS = 4  # pictures of the sheet
_FRAME = 224  # pixels of the frame in which the cut-out is seen
_SEEN = 128  # pixels of a picture whose colours are looked at
_SIZES = (0.375, 0.47, 0.56, 0.66, 0.75, 0.84, 0.94)  # of the subject's frame against the picture
_FAR = 25.0  # in Lab

Pixels: TypeAlias = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Inside:
    """A subject inside its cut-out: features (places, width) of length 1; picture (H, W, 3) and mask (H, W) of 255."""

    features: Tensor
    picture: Pixels
    mask: Pixels


class Chooser:
    """Scores pictures. engine: who is asked whether a picture shows the prompt; the bundled describer if absent."""

    def __init__(self, model: BlipDiffusion, references: References, engine: Engine | None = None) -> None:
        self._model, self._references, self._engine = model, references, engine

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
        arXiv:2404.01291); a describer's is by its contrast. And how well the subject is found again.
        """
        if self._engine is None:
            self._engine = load_engine(place=Placement(self._model.device, torch.float32))
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
        patches = self._patches(picture)
        side = round(len(patches) ** 0.5)
        cover = torch.from_numpy(np.array(mask.resize((side, side), Image.Resampling.BOX), np.float32)).flatten() / 255
        kept = cover >= min(_INSIDE, float(cover.max()))
        return Inside(patches[kept.to(patches.device)], np.asarray(picture), np.asarray(mask))

    @torch.no_grad()
    def _patches(self, picture: Image.Image) -> Tensor:
        """What the model's trunk sees at each place: (places, width), of length 1."""
        trunk = self._model.subject_encoder.visual_encoder
        pixels = subject_pixels(picture, self._model.photo, fit="pad")[None]
        weight = next(trunk.parameters())
        return normalize(trunk(pixels.to(weight.device, weight.dtype))[0, 1:].float(), dim=-1)

    def _found(self, picture: Image.Image, subject: Inside) -> float:
        """The geometric mean of what the trunk and what the colours say.

        The trunk: the mean over the subject's places of the cosine with the likest place of the picture. The colours:
        e to the power of minus the distance in Lab at the best place and size, in units of 25.
        """
        cosines = subject.features @ self._patches(picture).T  # (places of the subject, places of the picture)
        likeness = float(cosines.amax(dim=1).mean().clamp(0, 1))
        return math.sqrt(likeness * math.exp(-colour_distance(subject, picture) / _FAR))


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


def colour_distance(subject: Inside, picture: Image.Image) -> float:
    """How far the picture's colours are from the subject's inside its mask: root mean square in Lab, 0 to about 100.

    At the best place, size and side of a picture that is looked at on 128 pixels.
    """
    scene, best = _lab(np.asarray(fitted(picture.convert("RGB"), (_SEEN, _SEEN), "pad"))), math.inf
    for share in _SIZES:
        size = (round(share * _SEEN),) * 2
        colours = _lab(cv2.resize(subject.picture, size, interpolation=cv2.INTER_AREA))
        inside = (cv2.resize(subject.mask, size, interpolation=cv2.INTER_AREA) > 127).astype(np.float32)
        if not inside.any():
            continue
        for step in (1, -1):  # as it is, and mirrored
            mask = np.ascontiguousarray(np.dstack([inside] * 3)[:, ::step])
            found = cv2.matchTemplate(scene, np.ascontiguousarray(colours[:, ::step]), cv2.TM_SQDIFF, mask=mask)
            best = min(best, float(found.min()) / float(inside.sum()))
    return math.sqrt(max(best, 0.0))


def _lab(picture: Pixels) -> Any:
    return cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)


def _chance(engine: Engine, picture: Image.Image, thing: str, place: str) -> float:
    if place and isinstance(engine, DescriberEngine):
        return verdicts.place_chance(engine.describer, engine.describer.patches([picture]), thing, place)
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
