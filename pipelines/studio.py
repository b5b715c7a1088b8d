"""The studio: one loaded model with the subjects, nets and detectors that it has seen, for one run at a time."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, TypeAlias, TypeVar

from PIL import Image
from torch import Tensor

from blipdiff.checkpoints import Additions, load_model
from blipdiff.checkpoints.embeddings import Embedding
from blipdiff.checkpoints.lora import Lora
from blipdiff.checkpoints.memory import free_memory, row_memory
from blipdiff.conditioning.mixing import mix
from blipdiff.conditioning.subject import SubjectEmbedding, SubjectPhoto
from blipdiff.cut_out import reduced
from blipdiff.devices import Placement, placement
from blipdiff.errors import ConfigError, ImageError, MissingDependencyError, SubjectError
from blipdiff.images import as_layers, as_rgb
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.ranges import TORCH
from blipdiff.sampling.acceleration import accelerate
from blipdiff.sampling.cost import Size, own_size
from blipdiff.sampling.loop import Step
from blipdiff.sampling.openvino_engine.engine import Engine, Room, differs
from blipdiff.sampling.stopping import interruptible
from pipelines.batches import preview_pictures
from pipelines.choosing import Chooser
from pipelines.controls.details import Details, References, read_details
from pipelines.controls.nets import Nets
from pipelines.inputs import Input
from pipelines.job import Job
from pipelines.pictures import Picture
from pipelines.plan import SamplingPlan, resolved
from pipelines.requests import Detailed, Sampling
from pipelines.safety import SafetyCheck
from pipelines.sizes import size_notice
from pipelines.task import Notice

Reference: TypeAlias = SubjectPhoto | SubjectEmbedding
Shared: TypeAlias = Callable[[str, Callable[[], SubjectEmbedding]], SubjectEmbedding]
"""What gives the subject of a photo's name, which is encoded here where no other studio has done it."""

BUNDLED = "mini"
_REMEMBERED_SUBJECTS = 64
_UNTOLD = "The picture does not say which U-Net and VAE drew it; it may differ."
_Request = TypeVar("_Request")


class Studio:
    """One model, which computes for one run at a time; subjects are encoded once and remembered.

    Runs may take turns, in one thread or in several: a run that is neither finished nor closed keeps nobody waiting.
    """

    def __init__(
        self,
        model: BlipDiffusion,
        *,
        download: bool = False,
        folders: Sequence[Path] = (),
        engine: str = "auto",
        converted: Path | None = None,
    ) -> None:
        """Switches on what makes the model fast where it is; its weights keep their values.

        download: whether control nets and detectors may be fetched; folders: where nets are looked for that pictures
        name; engine: what computes the networks, "torch" or "openvino", or "auto" for the faster one where memory
        suffices for it; converted: the folder in which the networks are kept that OpenVINO computes

        Raises: ConfigError for an engine that is not known.
        """
        place = Placement(model.device, model.unet.dtype)
        memory = Room(lambda: free_memory(place.device), lambda: row_memory(model.unet, model.vae))
        self.engine = Engine.chosen(engine, place, model.unet, converted, memory)
        accelerate(model, place, self.engine)
        self.model = model
        self.nets = Nets(model, download=download, folders=folders, loaded=self.engine.serve_control)
        self.references = References(model)
        self._subjects: OrderedDict[str, SubjectEmbedding] = OrderedDict()
        self._computing = Lock()
        self.make_room: Callable[[], bool] = lambda: False  # lets go what else takes memory; whether there was any
        self.share: Shared = lambda _name, encode: encode()
        self.safety: SafetyCheck | None = None
        self.chooser = Chooser(model, self.references)

    @classmethod
    def open(
        cls,
        source: str | Path = BUNDLED,
        *,
        device: str = "auto",
        dtype: str = "auto",
        download: bool = False,
        folders: Sequence[Path] = (),
        additions: Additions | None = None,
        loras: Sequence[str | Path | Lora] = (),
        embeddings: Sequence[str | Path | Embedding] = (),
        vae: str | Path | None = None,
        engine: str = "auto",
        converted: Path | None = None,
    ) -> "Studio":
        """A studio with a model that is loaded where it runs best, and with what goes on it.

        loras: files, folders or hub ids, with their weights: "chalk.safetensors:0.8"; embeddings: with the words that
        stand for them: "toy.pt=<cat-toy>"; vae: a folder, file or hub id; additions: all of these, and another base;
        engine, converted: as `Studio` takes them

        Raises: CheckpointError for a model or an addition that cannot be used, ConfigError for both ways at once, and
        for an engine that is not known.
        """
        place: Placement = placement(device, dtype)
        own = Additions.of(loras=loras, embeddings=embeddings, vae=vae)
        if own and additions:
            raise ConfigError("Give LoRAs, embeddings and VAE either by their names or as additions, not both.")
        model = load_model(
            source, dtype=place.dtype, device=place.device, download=download, additions=own or additions
        )
        studio = cls(model, download=download, folders=folders, engine=engine, converted=converted)
        if additions is not None and additions.safety is not None:
            studio.safety = SafetyCheck(additions.safety, download=download)
        if additions is not None and additions.judge is not None:
            studio.chooser = Chooser.of(model, studio.references, additions.judge, download=download)
        return studio

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

    def card(
        self, references: Sequence[Reference], *, weights: Sequence[float] | None = None, fit: str = "pad"
    ) -> tuple[SubjectEmbedding, list[str]]:
        """As `subject`, with the heaviest photo's cut-out, which details are read from; and what there is to say of it.

        Where no subject can be cut out, the card is one without, and a sentence says why. Raises: as `subject`.
        """
        subject = self.subject(references, weights=weights, fit=fit)
        shares = [1.0] * len(references) if weights is None else list(weights)
        heaviest = references[shares.index(max(shares))]
        if isinstance(heaviest, SubjectEmbedding):
            return replace(subject, cut_out=heaviest.cut_out), []
        try:
            with self.computing():
                found = self.references.cut_out(heaviest)
        except (ImageError, MissingDependencyError) as error:
            return subject, [f"The card keeps no photo to read details from. {error}"]
        return replace(subject, cut_out=reduced(found.image)), [] if found.note is None else [found.note]

    def subjects(self, references: Sequence[Reference], *, fit: str = "pad") -> list[SubjectEmbedding]:
        """Each photo or card as a subject of this model.

        Raises: SubjectError for another model's card.
        """
        parts = [self._encoded(reference, fit) for reference in references]
        for part in parts:
            part.check_model(self.model.subject_fingerprint, self.model.text_encoder.sizes.width)
        return parts

    def subject_of(self, inputs: Sequence[Input], *, fit: str = "pad") -> SubjectEmbedding:
        """The one subject that opened inputs show together. Raises: as `subject`."""
        given = [one.weight for one in inputs]
        weights = [1.0 if one is None else one for one in given] if any(one is not None for one in given) else None
        return self.subject([one.reference for one in inputs], weights=weights, fit=fit)

    def details(self, request: Detailed, inputs: Sequence[Input]) -> Details:
        """What a run reads of its opened subjects' photos. Raises: ImageError where one shows no subject."""
        return read_details(self, request, inputs)

    def resolved(self, request: _Request) -> _Request:
        """The request with what the model says where nothing was asked for, as pictures tell it.

        Raises: ConfigError for fitted steps that are no longer the model's.
        """
        if isinstance(request, Sampling):
            return resolved(self.model, request)
        if getattr(request, "guidance", 0.0) is not None:
            return request
        return replace(request, guidance=self.model.guidance)  # type: ignore[type-var]

    def check_maker(self, made_by: Mapping[str, Any] | None) -> list[str]:
        """Passes for what this model made; sentences on what its pictures do not tell.

        Raises: ConfigError when another model made it.
        """
        if made_by is None:
            return []
        identity = self.model.identity
        if made_by.get("fingerprint") != identity.subject:
            raise ConfigError(
                f"The picture was made by the model {made_by.get('name')} ({made_by.get('fingerprint')}), "
                f"this is {self.model.name} ({identity.subject}). Load that model to repeat it."
            )
        if others := identity.differing(made_by):
            raise ConfigError(
                f"The picture was made by the model {made_by.get('name')} ({made_by['identity']}), "
                f"this is {self.model.name} ({identity.model}), another in: {', '.join(others)}. "
                "Load that model to repeat it."
            )
        other = differs(str(made_by.get("engine", TORCH)), self.engine.name)
        return [*([] if made_by.get("identity") else [_UNTOLD]), *([] if other is None else [other])]

    def engine_notices(self) -> list[Notice]:
        """What there is to say of the engine since this was last asked: why it is torch, what was converted."""
        return [Notice(text) for text in self.engine.notices()]

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

    def previews(self, clean: Tensor) -> list[Image.Image]:
        """What a run will come to, as far as its latents without noise (rows, channels, h, w) tell.

        None where finished pictures are looked at by a safety checker.
        """
        if self.safety is not None:
            return []
        with self._computing:
            return preview_pictures(self.model.vae, clean)

    def picture(self, image: Image.Image, seed: int, job: Job) -> Picture:
        """A picture that this model has drawn; `job` is the one that draws exactly this."""
        unet = self.model.unet
        place = {"device": str(self.model.device), "dtype": str(unet.dtype).removeprefix("torch.")}
        place["engine"] = self.engine.name
        made_by = {"name": self.model.name, **self.model.identity.told()}
        seed = job.request.seed_of(seed) if isinstance(job.request, Sampling) else seed
        image, safety = (image, None) if self.safety is None else self.safety.looked_at(image)
        return Picture(image, seed, replace(job, model=None, added=()).as_mapping(), made_by, place, safety=safety)

    def _encoded(self, reference: Reference, fit: str) -> SubjectEmbedding:
        if isinstance(reference, SubjectEmbedding):
            return reference
        rgb = as_rgb(reference.image)  # the same bytes are another picture under another palette
        key = hashlib.sha256(repr((rgb.size, reference.category, fit)).encode())
        key.update(rgb.tobytes())
        if fit == "cut-out":
            layers = [as_layers(reference.image), *([] if reference.mask is None else [reference.mask])]
            key.update(b"".join(repr(one.size).encode() + one.tobytes() for one in layers))
        name = key.hexdigest()
        with self._computing:
            if name not in self._subjects:
                encode = partial(self.model.encode_subject, reference, fit=fit)  # type: ignore[arg-type]
                self._subjects[name] = self.share(name, encode)
                while len(self._subjects) > _REMEMBERED_SUBJECTS:
                    self._subjects.popitem(last=False)
            self._subjects.move_to_end(name)
            return self._subjects[name]


def purpose(
    model: BlipDiffusion, way: str = "add --model Salesforce/blipdiffusion --download to the command"
) -> str | None:
    """One sentence about what a model is for, where it is not for everything: the bundled one is not.

    way: how the one for photographs is had here
    """
    if model.name != BUNDLED:
        return None
    width, height = own_size(model)
    return (
        f"mini is a small model for trying things: it draws drawn things at {width} x {height} pixels. Photographs "
        f"take the published weights: {way}."
    )
