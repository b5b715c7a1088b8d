"""What the diffusers face is told in words and references: encoded, with the guidance that follows them."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import torch
from torch import Tensor

from blipdiff.attention.context import KeyValueSource
from blipdiff.attention.reference import ReferenceRows
from blipdiff.conditioning.guidance import Conditioning, Guidance
from blipdiff.conditioning.layout import PAD, TokenLayout
from blipdiff.conditioning.prompt import amplify, broadcast, build_prompt, checked_text, repeat_prompt
from blipdiff.conditioning.subject import SubjectEmbedding, SubjectPhoto
from blipdiff.conditioning.weighting import OFF, Wording, plain_text, weighted
from blipdiff.cut_out import cut_out, reduced
from blipdiff.errors import ConfigError, ImageError, MissingDependencyError, PromptError, ShapeError, SubjectError
from blipdiff.given_pictures import PictureLike, as_images, each_of
from blipdiff.images import SubjectFit
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.moment import Window
from blipdiff.sampling.cost import own_size
from pipelines.controls.details import States, attention_to, read_of, states_of
from pipelines.plan import SamplingPlan

Reference: TypeAlias = PictureLike | SubjectEmbedding | Sequence[PictureLike]


@dataclass(frozen=True, slots=True)
class Amount:
    """How much of the prompt: strength times reps copies."""

    strength: float
    reps: int


@dataclass(frozen=True, slots=True, eq=False)
class Words:
    """The call's prompts, references and categories: one for all prompts, or one for each; or what they encode to."""

    prompts: list[str]
    references: Any
    source: str | list[str]
    target: str | list[str] | None
    negative: str | list[str] | None
    embeds: Tensor | None = None  # (prompts, slots, width), in place of prompts and references
    negative_embeds: Tensor | None = None  # of the same shape, in place of `negative`
    negative_name: str = "negative_prompt"  # by which it was given
    weighting: str = OFF  # how marks in prompts are read

    @classmethod
    def of(
        cls,
        prompt: str | list[str] | None,
        references: Any,
        source: str | list[str],
        target: str | list[str] | None,
        negative: str | list[str] | None,
        embeds: Tensor | None = None,
        negative_embeds: Tensor | None = None,
        negative_name: str = "negative_prompt",
        weighting: str = OFF,
    ) -> "Words":
        """The arguments of a call.

        Raises: PromptError for no prompt, and for words beside what was encoded of them; ShapeError for embeddings
        of other shapes.
        """
        if embeds is not None:
            check_embeds(embeds, negative_embeds)
            if prompt is not None or references is not None:
                raise PromptError("prompt_embeds hold words and subject already; leave out prompt and reference_image.")
            prompt = [""] * len(embeds)
        if negative is not None and negative_embeds is not None:
            raise PromptError("negative_prompt and negative_prompt_embeds were both given; give one of them.")
        if not isinstance(prompt, str | list | tuple | None):
            raise PromptError(f"The prompt is {prompt!r}; a text, or a list of texts, was expected.")
        prompts = [prompt] if isinstance(prompt, str) else list(prompt or ())
        if not prompts:
            raise PromptError("No prompt was given; give at least one, which may be empty, or prompt_embeds.")
        return cls(prompts, references, source, target, negative, embeds, negative_embeds, negative_name, weighting)

    @property
    def count(self) -> int:
        """How many prompts there are."""
        return len(self.prompts)

    def guidance(
        self,
        model: BlipDiffusion,
        amount: Amount,
        scale: float | Sequence[float],
        window: Window,
        copies: int,
        fit: SubjectFit,
    ) -> Guidance:
        """All rows, `copies` for each prompt, with their scales; a scale of 1 or less is unguided, as the peer's."""
        scales = [float(one) for one in broadcast("guidance_scale", scale, self.count) for _ in range(copies)]
        scales = [max(one, 1.0) for one in scales]
        guided = any(one != 1.0 for one in scales)
        positive = self._positive(model, amount, fit).repeat(copies)
        negative = self._negative(model).repeat(copies) if guided else None
        return Guidance(positive, negative, torch.tensor(scales), window)

    def encoded(self, model: BlipDiffusion, amount: Amount, fit: SubjectFit) -> tuple[Conditioning, Conditioning]:
        """What each prompt says with its subject among the words, and what it keeps away from."""
        return self._positive(model, amount, fit), self._negative(model)

    def reading(
        self, model: BlipDiffusion, plan: SamplingPlan, asked: float | None, copies: int, fit: SubjectFit
    ) -> SamplingPlan:
        """The plan with each prompt's rows reading the photos of its own reference: as much as was asked for.

        Where nothing was, it is as the model says, and what cannot be read is not.

        Raises: ConfigError for a detail outside 0 to 1, and where there is no reference; ImageError for a photo in
        which no subject is found; SubjectError for a card without a photo.
        """
        detail = model.detail(asked)
        if detail == 0 or (asked is None and self.embeds is not None):
            return plan
        if self.embeds is not None or not 0 < detail <= 1:
            raise ConfigError(
                f"A reference_detail of {detail} was given; it goes from 0 to 1, and needs a reference_image."
            )
        references, subjects = self._references(), self._subjects(model, fit)
        words = self._targets(subjects)
        known: dict[tuple[int, str], KeyValueSource | None] = {}
        for reference, subject, word in zip(references, subjects, words, strict=True):
            if (id(subject), word) not in known:
                try:
                    found = [] if asked is None and word != subject.category else _states(model, reference, subject)
                except (ImageError, SubjectError, MissingDependencyError):
                    if asked is not None:
                        raise
                    found = []
                reads = [read_of(one, 1 / len(found)) for one in found]
                known[id(subject), word] = attention_to(reads, detail, plan) if reads else None
        rows = [known[id(subject), word] for subject, word in zip(subjects, words, strict=True) for _ in range(copies)]
        alike = all(one is rows[0] for one in rows)
        return replace(plan, more_keys=rows[0] if alike else ReferenceRows(rows))

    def _references(self) -> list[Any]:
        return list(broadcast("reference_image", each_of(self.references), self.count))

    def _positive(self, model: BlipDiffusion, amount: Amount, fit: SubjectFit) -> Conditioning:
        if self.embeds is not None:
            return _conditioning(self.embeds)
        subjects = self._subjects(model, fit)
        texts = self._texts(subjects)
        _warn_of_long(model, texts, model.positions - model.subject_slots)
        repeated = [repeat_prompt(text, amount.strength, amount.reps, model.positions) for text in texts]
        return model.encode_prompts(repeated, subjects)

    def _negative(self, model: BlipDiffusion) -> Conditioning:
        if self.negative_embeds is not None:
            return _conditioning(self.negative_embeds)
        given = broadcast(self.negative_name, "" if self.negative is None else self.negative, self.count)
        texts = [weighted(checked_text(text, self.negative_name), self.weighting) for text in given]
        _warn_of_long(model, texts, model.positions)
        return model.encode_prompts(texts)

    def _subjects(self, model: BlipDiffusion, fit: SubjectFit) -> list[SubjectEmbedding]:
        """The subject of each prompt; each reference is encoded once."""
        references = self._references()
        sources = broadcast("source_subject_category", self.source, self.count)
        known: dict[tuple[int, str], SubjectEmbedding] = {}
        for reference, category in zip(references, sources, strict=True):
            if (id(reference), category) not in known:
                known[id(reference), category] = _encoded(model, reference, category, fit)
        return [known[id(reference), category] for reference, category in zip(references, sources, strict=True)]

    def _texts(self, subjects: Sequence[SubjectEmbedding]) -> list[Wording]:
        """Each prompt as a sentence about its target."""
        texts = [weighted(text, self.weighting) for text in self.prompts]
        return [build_prompt(word, text) for word, text in zip(self._targets(subjects), texts, strict=True)]

    def _targets(self, subjects: Sequence[SubjectEmbedding]) -> list[str]:
        """What each prompt draws: the subject's own category unless another is given."""
        target = [subject.category for subject in subjects] if self.target is None else self.target
        return list(broadcast("target_subject_category", target, self.count))


def check_embeds(embeds: Any, negative: Any) -> None:
    """Raises: ShapeError for embeddings that are no (prompts, slots, width), or not of one shape."""
    shapes = [tuple(getattr(one, "shape", ())) for one in (embeds, negative) if one is not None]
    if any(len(shape) != 3 for shape in shapes) or len(set(shapes)) > 1:
        raise ShapeError(
            f"prompt_embeds and negative_prompt_embeds of shapes {', '.join(map(str, shapes))} were given; both are "
            "(prompts, slots, width), as encode_prompt gives them."
        )


def _conditioning(embeds: Tensor) -> Conditioning:
    """Embeddings of which nobody says what their slots hold."""
    layout = TokenLayout((PAD,) * embeds.shape[1])
    return Conditioning(embeds, (layout,) * len(embeds))


def _warn_of_long(model: BlipDiffusion, texts: Sequence[Wording], budget: int) -> None:
    """Says what a prompt loses that does not fit even once; that its repetitions are cut is their purpose."""
    for text in dict.fromkeys(texts):
        warning = amplify(text, model.prompt_tokenizer, budget, 1).warning if plain_text(text).strip() else None
        if warning is not None:
            warnings.warn(warning, stacklevel=6)


def _states(model: BlipDiffusion, reference: Reference, subject: SubjectEmbedding) -> list[States]:
    """What the U-Net sees in each of a reference's photos."""
    if isinstance(reference, SubjectEmbedding):
        if reference.cut_out is None:
            raise SubjectError(f"The card of {reference.category!r} holds no photo to read details from.")
        layers = [reference.cut_out]
    else:
        layers = [cut_out(photo).image for photo in as_images(reference)]
    most = max(own_size(model))
    return [states_of(model, reduced(one, most), subject) for one in layers]


def _encoded(model: BlipDiffusion, reference: Reference, category: str, fit: SubjectFit) -> SubjectEmbedding:
    if isinstance(reference, SubjectEmbedding):
        return reference
    return model.encode_subject([SubjectPhoto(photo, category) for photo in as_images(reference)], fit=fit)
