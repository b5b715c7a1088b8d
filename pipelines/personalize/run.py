"""Personalize, from a job to a card: photos are read, a subject is learned while it is looked at, and it is drawn."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from blipdiff.conditioning.guidance import concat
from blipdiff.conditioning.mixing import mix
from blipdiff.conditioning.prompt import amplify, build_prompt
from blipdiff.conditioning.subject import SubjectEmbedding, SubjectPhoto
from blipdiff.cut_out import reduced
from blipdiff.filenames import short_name
from blipdiff.images import thumbnail, to_pictures
from blipdiff.latents import decode_latents
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.sampling.loop import Step
from blipdiff.training.personal_checks import Check
from blipdiff.training.personal_views import Ground, Views, subject_views, views_of
from pipelines.batches import Prepared, Round
from pipelines.generate.request import GenerateRequest
from pipelines.generate.run import prepare as prepare_generated
from pipelines.job import Job
from pipelines.personalize.learning import Learning, LearningStep, Material
from pipelines.personalize.memory import planned_memory
from pipelines.personalize.photos import Photos, read_photos
from pipelines.personalize.request import PersonalizeRequest
from pipelines.plan import encode, execute, plan_encoded, plan_rows
from pipelines.studio import Studio
from pipelines.task import Notice, Sheet

CARD = "card"  # the kind of sheet that the result is
_VIEWS, _HELD_OUT = 96, 8
_SCENES = ("", "on a white background", "on a beach", "in the snow", "on a grass field", "under a night sky")
_GROUNDS = (
    "on a beach", "in the snow", "on a grass field", "under a night sky", "in a forest", "in the desert",
    "on a wooden table", "in front of a brick wall", "in a city at night", "on a road",
)  # fmt: skip
_GROUND_STEPS = 10
_LEAST_TO_HOLD_OUT = 4  # photos, from which on one of them is only for checking
_OTHER_STEPS, _SAMPLE_STEPS = 15, 12
_SAMPLES = 2  # pictures of the learned subject at the end


def prepare(studio: Studio, job: Job) -> Prepared:
    """The subject's learning with samples as its previews, pictures of it, and its card.

    Raises: BlipdiffError for photos that cannot be read and for what the model cannot do.
    """
    return prepare_in(studio, job, None)


def prepare_in(
    studio: Studio, job: Job, folder: Path | None, is_stopping: Callable[[], bool] = lambda: False
) -> Prepared:
    """The same in a folder, where it goes on after it was stopped; without one it begins anew.

    is_stopping: whether it shall come to an end now, and keep what is best so far
    """
    request: PersonalizeRequest = job.request
    photos = read_photos(studio, [one.image for one in job.given("photo")], request.category, request.fit)
    told = planned_memory(studio.model, request)
    run = _Run(studio, job, photos, folder, is_stopping, told.checkpointing)
    return Prepared(None, (), run.rounds, 1, (*photos.notices, told.sentence), last=lambda _results: run.sheets())


def learned(studio: Studio, request: PersonalizeRequest, photos: Sequence[Image.Image]) -> SubjectEmbedding:
    """The subject of photos, learned; its card. Raises: as `prepare`."""
    run = _Run(studio, Job.of(request), read_photos(studio, photos, request.category, request.fit), None)
    for _ in studio.in_turns(run.learning()):
        pass
    return run.card


@dataclass(slots=True, eq=False)
class _Run:
    """A subject on its way from photos to a card."""

    studio: Studio
    job: Job
    photos: Photos
    folder: Path | None
    is_stopping: Callable[[], bool] = lambda: False
    checkpointing: bool = False
    notes: list[str] = field(default_factory=list)
    _learning: Learning | None = None
    _card: SubjectEmbedding | None = None
    _is_checked: bool = False
    _given: int = 0  # the step whose card was given last

    @property
    def request(self) -> PersonalizeRequest:
        found: PersonalizeRequest = self.job.request
        return found

    @property
    def card(self) -> SubjectEmbedding:
        """The learned subject."""
        assert self._card is not None
        return self._card

    def rounds(self) -> Iterator[Round]:
        """The learning, then pictures of what was learned, drawn as anybody would draw them."""
        steps = self.learning()
        while self._card is None:
            yield Round(self._until_checked(steps), (self.request.seed,), self._so_far)
        drawn = prepare_generated(self.studio, self._sample_job(self.card, _SAMPLES).opened())
        for one in drawn.rounds():
            yield replace(one, steps=(replace(step, index=self._end, count=self._end + 1) for step in one.steps))

    def sheets(self) -> Iterator[Sheet]:
        """The card, as a file."""
        yield Sheet(CARD, short_name(self.request.category), ".safetensors", self.card.save)

    def _until_checked(self, steps: Iterator[Step]) -> Iterator[Step]:
        for step in steps:
            yield step
            if self._is_checked:
                return

    def _so_far(self, _latents: Tensor) -> Iterator[Notice | Sheet]:
        """The card, where it is better than the last one, so that whoever stops here has it; what there is to say."""
        notes, self.notes = self.notes, []
        yield from (Notice(text) for text in notes)
        if self._learning is not None and self._learning.best.step > self._given:
            self._given = self._learning.best.step
            yield Sheet(CARD, short_name(self.request.category), ".safetensors", self._learning.card().save)

    @property
    def _end(self) -> int:
        return self._learning.count if self._learning is not None else 0

    def learning(self) -> Iterator[Step]:
        """The steps of the learning, with the last sample as what they show."""
        with ExitStack() as places:
            folder = self.folder or Path(places.enter_context(tempfile.TemporaryDirectory(prefix="blipdiff-learning-")))
            model = self.studio.model
            learning = self._learning = Learning(
                model, self.request, material(model, self.photos, self.request), folder, self.checkpointing
            )
            shown = self._sample(learning.material.start)
            for step in learning.steps():
                self._is_checked = step.check is not None
                if self._is_checked:
                    shown = self._sample(learning.now())
                self.notes += [] if step.note is None else [step.note]
                yield _as_step(step, shown)
                if self.is_stopping():
                    break
            self._card = learning.card()
            self.notes.append(_told(learning.best, self._card))
            self._is_checked = False
            yield Step(learning.count, learning.count + 1, torch.tensor(0), shown, shown, None)

    def _sample(self, card: SubjectEmbedding) -> Tensor:
        """Latents of a picture of a card, (1, channels, h, w)."""
        model, asked = self.studio.model, self._sample_job(card, 1).request
        plan = plan_encoded(model, encode(model, replace(asked, steps=_SAMPLE_STEPS), card), [asked.seed])
        return _last(execute(model.unet, plan))

    def _sample_job(self, card: SubjectEmbedding, count: int) -> Job:
        request = self.request
        asked = GenerateRequest(category=request.category, prompt=request.sample, count=count, seed=request.seed)
        return Job.of(self.studio.resolved(asked), subject=card)


def material(model: BlipDiffusion, photos: Photos, request: PersonalizeRequest) -> Material:
    """What is learned from. Raises: ImageError for a photo that shows nothing."""
    pictures, category, seed = photos.pictures, request.category, request.seed
    apart = len(pictures) >= _LEAST_TO_HOLD_OUT
    own = pictures[:-1] if apart else pictures
    start = start_of(model, photos, category)
    grounds = scenes_around(model, start, category, seed)
    views = subject_views(
        model, own, category, count=max(_VIEWS, 2 * len(own)), seed=seed, flips=request.flips, grounds=grounds
    )
    held = pictures[-1:] if apart else pictures
    held_out = subject_views(model, held, category, count=_HELD_OUT, seed=seed + 999_983, flips=False)
    return Material(views, held_out, others(model, category, request.fit, seed), start)


def scenes_around(model: BlipDiffusion, start: SubjectEmbedding, category: str, seed: int) -> list[Ground]:
    """The subject in scenes as the model draws it without learning: what its views are set on, which cover it."""
    asked = [GenerateRequest(category=category, prompt=scene, steps=_GROUND_STEPS) for scene in _GROUNDS]
    encoded = [encode(model, one, start) for one in asked]
    positive = concat([one.positive for one in encoded])
    negative = None if encoded[0].negative is None else encoded[0].negative.repeat(len(asked))
    seeds = [seed + 104_729 * (number + 1) for number in range(len(asked))]
    plan = plan_rows(model, asked[0], replace(positive, weights=()), negative, seeds)
    drawn = to_pictures(decode_latents(model.vae, _last(execute(model.unet, plan))))
    return [Ground(np.asarray(one), scene) for one, scene in zip(drawn, _GROUNDS, strict=True)]


def start_of(model: BlipDiffusion, photos: Photos, category: str) -> SubjectEmbedding:
    """The mean of the photos' embeddings, as a card without learning."""
    first = photos.pictures[0]
    parts = [SubjectEmbedding(rows, category.strip(), fingerprint=model.subject_fingerprint) for rows in photos.rows]
    whole = parts[0] if len(parts) == 1 else mix([(part, 1.0) for part in parts])
    cut = None if first.cut_out is None else reduced(first.cut_out)
    told = {"model": model.name, "photos": str(len(parts))}
    return replace(whole, thumbnail=thumbnail(first.photo), cut_out=cut, provenance=told)


def others(model: BlipDiffusion, category: str, fit: str, seed: int) -> Views:
    """Pictures of the category in scenes, as the model draws them without any subject; each with the rows of what it
    shows. They hold other subjects and scenes alike."""
    request = GenerateRequest(category=category, count=len(_SCENES), steps=_OTHER_STEPS)
    texts = [build_prompt(category, scene) for scene in _SCENES]
    words = [amplify(text, model.prompt_tokenizer, model.positions, request.repeats).text for text in texts]
    negative = model.encode_prompts([""] * len(words)) if model.scale(None) != 1 else None
    seeds = [seed + 7919 * (number + 1) for number in range(len(words))]
    plan = plan_rows(model, request, model.encode_prompts(words), negative, seeds)
    drawn = to_pictures(decode_latents(model.vae, _last(execute(model.unet, plan))))
    fit = "pad" if fit == "cut-out" else fit  # in what a model draws without a subject there may be none
    tokens = model.encode_photos([SubjectPhoto(one, category) for one in drawn], fit=fit).float().cpu()  # type: ignore[arg-type]
    pixels = [np.asarray(one) for one in drawn]
    whole = np.full(pixels[0].shape[:2], 255, np.uint8)
    return views_of(model, pixels, [whole] * len(pixels), texts, tokens)


def _last(steps: Iterator[Step]) -> Tensor:
    latents: Any = None
    for step in steps:
        latents = step.latents
    return latents  # type: ignore[no-any-return]


def _as_step(step: LearningStep, shown: Tensor) -> Step:
    return Step(step.index, step.count + 1, torch.tensor(0), shown, shown, shown)


def _told(best: Check, card: SubjectEmbedding) -> str:
    if best.step == 0:
        return "Nothing that was learned shows the subject better than its photos' embedding does; the card keeps that."
    count = sum(tensor.numel() for one in card.weights for tensor in one.weights.tensors.values())
    size = f" Its weights are {count / 1e6:.2f} million numbers." if count else ""
    told = f"The best state is that of step {best.step}: its error on held-out views is {best.held_out:.0%} of before."
    return told + size
