"""The studio: one loaded model and the subjects it has seen. A request becomes a stream of events."""

import base64
import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any, TypeAlias

import torch
from PIL import Image
from safetensors.torch import load as from_safetensors
from safetensors.torch import save as to_safetensors

from blipdiff.checkpoints import load_model
from blipdiff.conditioning.mixing import mix
from blipdiff.conditioning.subject import SubjectEmbedding, SubjectPhoto
from blipdiff.devices import Placement, placement
from blipdiff.errors import ConfigError, SubjectError
from blipdiff.images import as_rgb, to_pictures
from blipdiff.latents import decode_latents
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.sampling.acceleration import accelerate
from blipdiff.sampling.cost import Size
from blipdiff.sampling.loop import Step
from blipdiff.sampling.stopping import interruptible
from pipelines.generate import EncodedRequest, encode, picture_size, plan_generate
from pipelines.plan import SamplingPlan, execute
from pipelines.previews import preview_pictures
from pipelines.requests import GenerateRequest, from_mapping
from pipelines.results import Picture
from pipelines.sizes import size_notice

Reference: TypeAlias = SubjectPhoto | SubjectEmbedding

_REMEMBERED_SUBJECTS = 64


@dataclass(frozen=True, slots=True)
class Progress:
    """A U-Net call is done; `previews` are there when they were asked for."""

    step: int  # of the whole request, from 1
    steps: int
    seeds: tuple[int, ...]  # the pictures being drawn
    previews: tuple[Image.Image, ...] = ()


@dataclass(frozen=True, slots=True)
class Notice:
    """A sentence for the user: something was left out or chosen."""

    text: str


Event: TypeAlias = Progress | Notice | Picture


class Studio:
    """One model, which computes for one run at a time; subjects are encoded once and remembered.

    Runs may take turns, in one thread or in several: a run that is neither finished nor closed keeps nobody waiting.
    """

    def __init__(self, model: BlipDiffusion) -> None:
        """Switches on what makes the model fast where it is; its weights keep their values."""
        accelerate(model, Placement(model.device, model.unet.dtype))
        self.model = model
        self._subjects: OrderedDict[str, SubjectEmbedding] = OrderedDict()
        self._computing = Lock()

    @classmethod
    def open(
        cls, source: str | Path = "mini", *, device: str = "auto", dtype: str = "auto", download: bool = False
    ) -> "Studio":
        """A studio with a model that is loaded where it runs best."""
        place: Placement = placement(device, dtype)
        return cls(load_model(source, dtype=place.dtype, device=place.device, download=download))

    def subject(
        self, references: Sequence[Reference], *, weights: Sequence[float] | None = None, fit: str = "pad"
    ) -> SubjectEmbedding:
        """The one subject that photos and cards show together, each with its weight.

        Raises: SubjectError for no reference, a count of weights that is not theirs, or another model's card.
        """
        if not references:
            raise SubjectError("No subject was given; give a photo or a subject card.")
        shares = [1.0] * len(references) if weights is None else list(weights)
        if len(shares) != len(references):
            raise SubjectError(f"{len(references)} subjects were given with {len(shares)} weights; give one each.")
        parts = self.subjects(references, fit=fit)
        return parts[0] if len(parts) == 1 and weights is None else mix(list(zip(parts, shares, strict=True)))

    def subjects(self, references: Sequence[Reference], *, fit: str = "pad") -> list[SubjectEmbedding]:
        """Each photo or card as a subject of this model.

        Raises: SubjectError for another model's card.
        """
        parts = [self._encoded(reference, fit) for reference in references]
        for part in parts:
            part.check_model(self.model.subject_fingerprint, self.model.text_encoder.sizes.width)
        return parts

    def run(self, request: GenerateRequest, subject: SubjectEmbedding, *, preview_every: int = 0) -> Iterator[Event]:
        """The request's notices, its progress, and its pictures as they are finished; closing stops it.

        Raises: BlipdiffError for what the model cannot do, before anything is drawn.
        """
        encoded = encode(self.model, request, subject)
        request = encoded.request
        yield from (Notice(text) for text in encoded.warnings)
        batches = _batches(request)
        plans = ((plan_generate(self.model, encoded, batch), 1) for batch in batches)
        yield from self.size_notices(picture_size(self.model, request), plans)
        done = 0
        for batch in batches:
            for event in self._draw(encoded, batch, preview_every):
                if isinstance(event, Progress):
                    done += 1
                    yield replace(event, step=done, steps=event.steps * len(batches))
                else:
                    yield self._picture(event[0], batch[event[1]], request, subject)

    def repeat(self, metadata: Mapping[str, Any]) -> Iterator[Event]:
        """The picture that this metadata came with, drawn again in the company of its batch.

        Raises: ConfigError when another model made it or the metadata lacks its subject.
        """
        yield from self.check_maker(metadata)
        values = dict(metadata["request"])
        if "task" in values:
            raise ConfigError(f"The picture was made by {values['task']}; repeat it with that command's --like.")
        subject = subject_from(
            values.pop("subject", None), str(values.get("category", "")), self.model.subject_fingerprint
        )
        request = from_mapping(values)
        batch = next((batch for batch in _batches(request) if metadata["seed"] in batch), None)
        if batch is None:
            raise ConfigError(f"The metadata is damaged: seed {metadata['seed']} is not among the request's.")
        encoded = encode(self.model, request, subject)
        for event in self._draw(encoded, batch, 0):
            if isinstance(event, Progress):
                yield event
            elif batch[event[1]] == metadata["seed"]:
                yield self._picture(event[0], batch[event[1]], request, subject)

    def check_maker(self, metadata: Mapping[str, Any]) -> list[Notice]:
        """What there is to say of the metadata of a picture that this model made.

        Raises: ConfigError when another model made it.
        """
        made_by = metadata["model"].get("fingerprint")
        if made_by != self.model.subject_fingerprint:
            raise ConfigError(
                f"The picture was made by the model {metadata['model'].get('name')} ({made_by}), "
                f"this is {self.model.name} ({self.model.subject_fingerprint}). Load that model to repeat it."
            )
        own = self.model.identity
        if others := own.differing(metadata["model"]):
            raise ConfigError(
                f"The picture was made by the model {metadata['model'].get('name')} ({metadata['model']['identity']}), "
                f"this is {self.model.name} ({own.model}), another in: {', '.join(others)}. "
                "Load that model to repeat it."
            )
        if metadata["model"].get("identity") is None:
            return [Notice("The picture does not say which U-Net and VAE drew it; it may differ.")]
        return []

    def computing(self) -> AbstractContextManager[Any]:
        """A block in which no other run of this studio computes."""
        return self._computing

    def in_turns(self, steps: Iterator[Step]) -> Iterator[Step]:
        """The steps of a run, each computed while no other run computes."""
        while True:
            with self._computing, interruptible(self.model.unet):
                step = next(steps, None)
            if step is None:
                return
            yield step

    def size_notices(
        self, size: Size, plans: Iterable[tuple[SamplingPlan, int]], *, side_by_side: int = 1
    ) -> list[Notice]:
        """What there is to say of pictures of this size, as `sizes.size_notice`, timed while no other run computes."""
        with self._computing:
            text = size_notice(self.model, size, plans, side_by_side=side_by_side)
        return [] if text is None else [Notice(text)]

    def _picture(self, image: Image.Image, seed: int, request: GenerateRequest, subject: SubjectEmbedding) -> Picture:
        told = {**asdict(request), "subject": subject_text(subject)}
        return self.picture(image, seed, seed - request.seed, told)

    def picture(self, image: Image.Image, seed: int, index: int, told: Mapping[str, Any]) -> Picture:
        """A picture that this model has drawn, `told` being what JSON can hold of what it was asked for."""
        unet = self.model.unet
        place = {"device": str(self.model.device), "dtype": str(unet.dtype).removeprefix("torch.")}
        identity = self.model.identity
        return Picture(image, seed, index, told, self.model.name, identity.subject, place, identity=identity)

    def _draw(
        self, encoded: EncodedRequest, seeds: Sequence[int], preview_every: int
    ) -> Iterator[Progress | tuple[Image.Image, int]]:
        return self.draw(plan_generate(self.model, encoded, seeds), seeds, preview_every=preview_every)

    def draw(
        self, plan: SamplingPlan, seeds: Sequence[int], *, preview_every: int = 0
    ) -> Iterator[Progress | tuple[Image.Image, int]]:
        """Progress of one batch, then each of its pictures with its place in the batch."""
        latents, steps = plan.latents, execute(self.model.unet, plan)
        while True:
            with self._computing, interruptible(self.model.unet):
                step = next(steps, None)
                if step is None:
                    break
                latents = step.latents
                shows = preview_every > 0 and (step.index + 1) % preview_every == 0
                previews = preview_pictures(self.model.vae, step.clean) if shows and step.clean is not None else []
            yield Progress(step.index + 1, step.count, tuple(seeds), tuple(previews))
        with self._computing:
            pictures = to_pictures(decode_latents(self.model.vae, latents))
        yield from ((picture, place) for place, picture in enumerate(pictures))

    def _encoded(self, reference: Reference, fit: str) -> SubjectEmbedding:
        if isinstance(reference, SubjectEmbedding):
            return reference
        rgb = as_rgb(reference.image)  # the same bytes are another picture under another palette
        key = hashlib.sha256(repr((rgb.size, reference.category, fit)).encode())
        key.update(rgb.tobytes())
        name = key.hexdigest()
        with self._computing:
            if name not in self._subjects:
                self._subjects[name] = self.model.encode_subject(reference, fit=fit)  # type: ignore[arg-type]
                while len(self._subjects) > _REMEMBERED_SUBJECTS:
                    self._subjects.popitem(last=False)
            self._subjects.move_to_end(name)
            return self._subjects[name]


def _batches(request: GenerateRequest) -> list[tuple[int, ...]]:
    seeds = request.seeds()
    return [seeds[first : first + request.batch] for first in range(0, len(seeds), request.batch)]


def subject_text(subject: SubjectEmbedding) -> str:
    """The subject's embedding as text, so that a picture can be repeated without the photo."""
    return base64.b64encode(to_safetensors({"tokens": subject.tokens.contiguous()})).decode()


def subject_from(text: Any, category: str, fingerprint: str) -> SubjectEmbedding:
    """What `subject_text` wrote. Raises: ConfigError for text that is missing or damaged."""
    try:
        tokens = from_safetensors(base64.b64decode(text, validate=True))["tokens"]
    except Exception as error:  # whatever the damage: text, base64, container or key
        raise ConfigError(
            "The metadata lacks the picture's subject, or it is damaged; it cannot be repeated."
        ) from error
    return SubjectEmbedding(tokens.to(torch.float32), category, fingerprint=fingerprint)
