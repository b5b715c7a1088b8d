"""Details: what a run reads of its subjects' photos, by which pictures keep it and draw it again."""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, TypeVar

import torch
from PIL import Image
from torch import Tensor

from blipdiff.attention.context import KeyValueSource
from blipdiff.attention.reference import Read, Reference, ReferenceAttention, ReferenceStates, Where
from blipdiff.conditioning.mixing import normalised_weights
from blipdiff.conditioning.prompt import build_prompt
from blipdiff.conditioning.subject import SubjectEmbedding, SubjectPhoto
from blipdiff.cut_out import KEPT_SIDE, CutOut, cut_out, framed, reduced
from blipdiff.errors import ImageError, MissingDependencyError
from blipdiff.images import as_layers, picture_tensor
from blipdiff.latents import encode_picture, noise
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.moment import Window
from blipdiff.ranges import INJECTION_BLOCKS
from blipdiff.sampling.adapted import AdaptedRead, AdaptedReading, SeenReference
from blipdiff.sampling.cost import own_size
from pipelines.inputs import Input, card_input
from pipelines.plan import SamplingPlan, pace_of
from pipelines.requests import Detailed

_Kept = TypeVar("_Kept")
States: TypeAlias = ReferenceStates | SeenReference

_REMEMBERED = 8  # references with their states, and cut-outs
_NO_PHOTO = "The card of {word!r} holds no photo, so no details are read of it; make it anew with 'blipdiff encode'."
_NOT_READ = "No details are read of a photo: {reason}"
_GROUND = "It was encoded with the photo's ground: with '--fit cut-out' it is alone."
_ANEW = "The photo's states of {steps} steps take too much memory to be kept; they are computed at each step."


class References:
    """The cut-outs of photos, and what a model sees in them, each made once."""

    def __init__(self, model: BlipDiffusion) -> None:
        self._model = model
        self._cut_outs: OrderedDict[str, CutOut] = OrderedDict()
        self._states: OrderedDict[str, States] = OrderedDict()

    def cut_out(self, photo: SubjectPhoto) -> CutOut:
        """The photo's subject. Raises: ImageError where none is found, MissingDependencyError as `cut_out`."""
        layers = as_layers(photo.image)
        key = hashlib.sha256(repr((layers.size, layers.mode)).encode() + layers.tobytes())
        if photo.mask is not None:
            key.update(repr(photo.mask.size).encode() + photo.mask.tobytes())
        name = key.hexdigest()
        if name not in self._cut_outs:
            self._cut_outs[name] = cut_out(layers, mask=photo.mask)
        return _latest(self._cut_outs, name)

    def states(self, layers: Image.Image, subject: SubjectEmbedding, sites: str) -> States:
        """What the U-Net sees in a cut-out, under the sentence that names it: 'a dog', with the subject in it.

        A model with a detail adapter sees it as that one was trained: once, without noise, and under no words.
        """
        tokens = subject.tokens.detach().float().cpu().contiguous().numpy().tobytes()
        told = repr((layers.size, subject.category, sites)).encode()
        name = hashlib.sha256(told + layers.tobytes() + tokens).hexdigest()
        if name not in self._states:
            self._states[name] = states_of(self._model, layers, subject, sites)
        return _latest(self._states, name)


def states_of(
    model: BlipDiffusion,
    layers: Image.Image,
    subject: SubjectEmbedding,
    sites: str = "all",
    **kept: Any,
) -> States:
    """What the model sees in a cut-out (RGBA): as its detail adapter was trained, or at each moment of a run.

    kept: what `ReferenceStates` takes besides
    """
    reference = reference_of(model, layers, subject)
    if model.detail_adapter is None:
        return ReferenceStates(model.unet, reference, INJECTION_BLOCKS[sites], **kept)
    silent = replace(reference, words=model.encode_prompts([""]).embeddings)
    return SeenReference(model.unet, model.detail_adapter, silent)


def attention_to(
    reads: Sequence[Read | AdaptedRead],
    detail: float,
    plan: SamplingPlan,
    window: Window | None = None,
    size: tuple[int, int] | None = None,
) -> KeyValueSource:
    """What the self-attention layers of a plan's run, or of a tile of (h, w) places in it, read.

    Raises: ConfigError for no detail.
    """
    size, held = size or (plan.latents.shape[-2], plan.latents.shape[-1]), window or Window()
    adapted = [one for one in reads if isinstance(one, AdaptedRead)]
    if adapted:
        return AdaptedReading(adapted, detail, size, held)
    noised = [one for one in reads if isinstance(one, Read)]
    return ReferenceAttention(noised, detail, plan.scheduler.alphas_cumprod, size, held)


def reference_of(model: BlipDiffusion, layers: Image.Image, subject: SubjectEmbedding) -> Reference:
    """A cut-out on white at the model's own size, with the noise that is always this one's.

    layers: RGBA
    """
    picture, mask = framed(layers, own_size(model))
    latents = encode_picture(model.vae, picture_tensor(picture)[None].to(model.vae.device)).to(model.device)
    seed = int.from_bytes(hashlib.sha256(layers.tobytes()).digest()[:7], "big")
    size = (latents.shape[-2], latents.shape[-1])
    covered = torch.nn.functional.interpolate(picture_tensor(mask).mean(0)[None, None], size=size, mode="area")[0, 0]
    words = model.encode_prompts([build_prompt(subject.category, "")], [subject])
    return Reference(latents, noise(seed, latents.shape[1:], device=model.device), covered, words.embeddings)


@dataclass(frozen=True, slots=True, eq=False)
class Details:
    """What a run reads: for each of its inputs the states of its photo, None where there are none.

    inputs: as pictures keep them; notices: sentences for the user
    """

    request: Detailed  # whose detail is what the model reads
    states: tuple[States | None, ...] = ()
    inputs: tuple[Input, ...] = ()
    notices: tuple[str, ...] = ()

    @property
    def are_read(self) -> bool:
        """Whether there is anything to read."""
        return any(one is not None for one in self.states)

    @property
    def shares(self) -> tuple[float, ...]:
        """How much each of several photos of one subject counts."""
        return normalised_weights([1.0 if one.weight is None else one.weight for one in self.inputs])

    def kept(self, subject: SubjectEmbedding) -> tuple[Input, ...]:
        """What pictures keep of the one subject that all inputs show together."""
        return self.inputs or (card_input(subject),)

    def together(self, plan: SamplingPlan) -> SamplingPlan:
        """The plan of one subject, reading all its photos by their weights."""
        return self.apart(plan, weights=self.shares) if self.are_read else plan

    def apart(
        self,
        plan: SamplingPlan,
        *,
        weights: Sequence[Tensor | float] | None = None,
        where: Sequence[Where | None] | None = None,
        framed: bool = False,
    ) -> SamplingPlan:
        """The plan of several subjects, each read with a weight of its own, or in a place of its own.

        framed: whether an adapter's reference fills its place
        """
        if not self.are_read:
            return plan
        count = len(self.states)
        given = zip(self.states, weights or (1.0,) * count, where or (None,) * count, strict=True)
        reads = [read_of(one, weight, place, framed) for one, weight, place in given if one is not None]
        return self.reading(plan, reads)

    def of_one(self, plan: SamplingPlan, place: int, size: tuple[int, int]) -> KeyValueSource | None:
        """What a tile reads, of (h, w) places of the latents, that shows the subject at this place alone."""
        states = self.states[place] if self.are_read else None
        return self.attention(plan, [] if states is None else [read_of(states)], size)

    def reading(self, plan: SamplingPlan, reads: Sequence[Read | AdaptedRead]) -> SamplingPlan:
        """The plan as it is without reads, so that nothing changes where nothing is read."""
        return replace(plan, more_keys=self.attention(plan, reads)) if reads else plan

    def attention(
        self, plan: SamplingPlan, reads: Sequence[Read | AdaptedRead], size: tuple[int, int] | None = None
    ) -> KeyValueSource | None:
        """What the self-attention layers of a run read, or of a tile of it. Raises: ConfigError for no detail."""
        if not reads:
            return None
        return attention_to(reads, self.request.detail or 0.0, plan, self.request.detail_window(), size)


def read_details(studio: Any, request: Detailed, inputs: Sequence[Input]) -> Details:
    """What the subjects' photos and cards give a run that asks for details; nothing is computed where none does.

    studio: `pipelines.studio.Studio`

    Raises: ImageError for a photo in which no subject is found, where the model has no detail adapter. One that has
        reads photos without being asked to: where it cannot, a notice tells so.
    """
    request = replace(request, detail=request.detail_by(studio.model))
    if request.detail == 0 or not inputs:
        return Details(request)
    subjects = studio.subjects([one.reference for one in inputs], fit=request.fit)
    found, kept, notices = list[States | None](), list[Input](), list[str]()
    for one, subject in zip(inputs, subjects, strict=True):
        layers, note = _layers(studio, one, request.fit)
        notices += [note] if note else []
        word = one.word or subject.category
        if layers is not None:
            with studio.computing():
                found.append(studio.references.states(layers, subject, request.detail_sites))
        else:
            found.append(None)
        kept.append(card_input(subject, word, layers, weight=one.weight, box=one.box, mask=one.mask))
    steps = pace_of(studio.model, request).steps
    if not all(one is None or one.keeps(steps + 1) for one in found):
        notices.append(_ANEW.format(steps=steps))
    return Details(request, tuple(found), tuple(kept), tuple(dict.fromkeys(notices)))


def _layers(studio: Any, one: Input, fit: str) -> tuple[Image.Image | None, str | None]:
    """The cut-out that is read, and what there is to say of it."""
    most = min(KEPT_SIDE, max(own_size(studio.model)))
    reference = one.reference
    if isinstance(reference, SubjectPhoto):
        try:
            with studio.computing():
                found: CutOut = studio.references.cut_out(reference)
        except (ImageError, MissingDependencyError) as reason:
            if studio.model.detail_adapter is None:
                raise
            return None, _NOT_READ.format(reason=reason)
        with_ground = studio.model.detail_adapter is not None and not found.sure and fit != "cut-out"
        return reduced(found.image, most), f"{found.note} {_GROUND}" if with_ground else found.note
    if reference.cut_out is None:
        return None, _NO_PHOTO.format(word=one.word or reference.category)
    return reduced(reference.cut_out, most), None


def read_of(
    states: States, weight: Tensor | float = 1.0, where: Where | None = None, framed: bool = False
) -> Read | AdaptedRead:
    """A reference as a run reads it, with a weight and a place of its own, which an adapter's reference may fill."""
    if isinstance(states, ReferenceStates):
        return Read(states, weight, where)
    return AdaptedRead(states, weight, where, framed)


def _latest(kept: OrderedDict[str, _Kept], name: str) -> _Kept:
    kept.move_to_end(name)
    while len(kept) > _REMEMBERED:
        kept.popitem(last=False)
    return kept[name]
