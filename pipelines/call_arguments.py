"""What callers of the diffusers face hand over, made into the project's own values."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor

from blipdiff.conditioning.prompt import broadcast, build_prompt
from blipdiff.conditioning.subject import SubjectEmbedding, SubjectPhoto
from blipdiff.errors import ConfigError, ShapeError
from blipdiff.given_pictures import PictureLike, as_images, each_of
from blipdiff.images import PhotoFit, to_pictures
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.moment import Moment

Reference: TypeAlias = PictureLike | SubjectEmbedding | Sequence[PictureLike]
Generators: TypeAlias = torch.Generator | list[torch.Generator] | None
StepCallback: TypeAlias = Callable[[Any, int, Tensor, dict[str, Any]], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Amount:
    """How much of the prompt: strength times reps copies."""

    strength: float
    reps: int


@dataclass(frozen=True, slots=True, eq=False)
class Words:
    """The call's prompts, references and categories: one for all prompts, or one for each."""

    prompts: list[str]
    references: Any
    source: str | list[str]
    target: str | list[str] | None
    negative: str | list[str] | None

    def subjects(self, model: BlipDiffusion, fit: PhotoFit) -> list[SubjectEmbedding]:
        """The subject of each prompt; each reference is encoded once."""
        count = len(self.prompts)
        references = broadcast("reference_image", each_of(self.references), count)
        sources = broadcast("source_subject_category", self.source, count)
        known: dict[tuple[int, str], SubjectEmbedding] = {}
        for reference, category in zip(references, sources, strict=True):
            if (id(reference), category) not in known:
                known[id(reference), category] = _encoded(model, reference, category, fit)
        return [known[id(reference), category] for reference, category in zip(references, sources, strict=True)]

    def texts(self, subjects: Sequence[SubjectEmbedding]) -> list[str]:
        """Each prompt as a sentence about its target, which is the subject's own category unless another is given."""
        target = [subject.category for subject in subjects] if self.target is None else self.target
        targets = broadcast("target_subject_category", target, len(self.prompts))
        return [build_prompt(word, text) for word, text in zip(targets, self.prompts, strict=True)]

    def negatives(self) -> list[str]:
        """What each prompt keeps away from."""
        return list(broadcast("neg_prompt", "" if self.negative is None else self.negative, len(self.prompts)))


def _encoded(model: BlipDiffusion, reference: Reference, category: str, fit: PhotoFit) -> SubjectEmbedding:
    if isinstance(reference, SubjectEmbedding):
        return reference
    return model.encode_subject([SubjectPhoto(photo, category) for photo in as_images(reference)], fit=fit)


@dataclass(frozen=True, slots=True, eq=False)
class CallbackEdit:
    """A user's callback as an edit of the latents: what it returns goes on."""

    pipeline: Any
    callback: StepCallback

    def __call__(self, latents: Tensor, moment: Moment) -> Tensor:
        answer = self.callback(self.pipeline, moment.index, moment.timestep, {"latents": latents})
        changed = answer.get("latents", latents) if answer else latents
        if changed.shape != latents.shape:
            raise ShapeError(
                f"The callback returned latents of shape {tuple(changed.shape)}, not {tuple(latents.shape)}."
            )
        return changed


def start_noise(latents: Tensor | None, shape: tuple[int, ...], generator: Generators, device: torch.device) -> Tensor:
    """The latents that were given, or standard normal noise of `shape`, float32.

    Raises: ShapeError for latents of another shape.
    """
    if latents is None:
        return randn_tensor(shape, generator=generator, device=device, dtype=torch.float32)  # type: ignore[no-any-return]
    if tuple(latents.shape) != shape:
        raise ShapeError(f"Latents of shape {tuple(latents.shape)} were given; {shape} was expected.")
    return latents.to(device, torch.float32)


def row_generators(generator: Generators, rows: int) -> list[torch.Generator]:
    """One generator for each row: torch's own where none is given.

    Raises: ConfigError for a list of another length.
    """
    if generator is None:
        return [torch.default_generator] * rows
    if isinstance(generator, torch.Generator):
        return [generator] * rows
    if len(generator) != rows:
        raise ConfigError(f"{len(generator)} generators were given for {rows} pictures; give one, or one each.")
    return list(generator)


def as_output(pixels: Tensor, output_type: str) -> Any:
    """Pixels (rows, 3, H, W) in [0, 1] as pil, np (rows, H, W, 3) or pt."""
    if output_type == "pil":
        return to_pictures(pixels)
    return pixels if output_type == "pt" else pixels.cpu().permute(0, 2, 3, 1).numpy()
