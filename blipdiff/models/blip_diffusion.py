"""BLIP-Diffusion in one value: the parts of a checkpoint, and the two encodings that everything starts from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from blipdiff.conditioning.guidance import Conditioning
from blipdiff.conditioning.layout import TokenLayout
from blipdiff.conditioning.mixing import mix
from blipdiff.conditioning.subject import SubjectEmbedding, SubjectPhoto
from blipdiff.conditioning.subject_weights import Acting
from blipdiff.conditioning.weighting import WeightedText, Wording
from blipdiff.cut_out import cut_out, framed
from blipdiff.devices import runs_on
from blipdiff.diffusers_types import VAE, ControlNet, UNet
from blipdiff.errors import PromptError, SubjectError
from blipdiff.images import PhotoSettings, SubjectFit, subject_pixels, thumbnail
from blipdiff.models.added_words import WordsTokenizer
from blipdiff.models.context_text_encoder import ContextTextEncoder
from blipdiff.models.detail_adapter import DetailAdapter
from blipdiff.models.identity import Addition, ModelIdentity, drawing_parts, weights_fingerprint
from blipdiff.models.step_tables import StepTables
from blipdiff.models.subject_encoder import SubjectEncoder
from blipdiff.models.tokenizers import category_ids, prompt_ids
from blipdiff.models.weighted_rows import weighted_rows
from blipdiff.ranges import USUAL_GUIDANCE
from blipdiff.transformers_types import BertTokenizer, CLIPTokenizer


@dataclass(frozen=True, slots=True)
class BlipDiffusion:
    """A loaded model. Nothing here changes during a run: two runs may share it."""

    subject_encoder: SubjectEncoder
    text_encoder: ContextTextEncoder
    prompt_tokenizer: CLIPTokenizer | WordsTokenizer
    category_tokenizer: BertTokenizer
    unet: UNet
    vae: VAE
    scheduler_config: Mapping[str, Any]  # as on disk, `_class_name` included
    photo: PhotoSettings
    subject_fingerprint: str  # of the subject encoder: which subject cards this model understands
    insert_at: int = 2
    guidance: float = USUAL_GUIDANCE  # the scale that serves this model best, where nobody asks for another
    name: str = "unnamed"
    controlnet: ControlNet | None = None
    detail_adapter: DetailAdapter | None = None
    additions: tuple[Addition, ...] = ()  # what was put on it: LoRAs, embeddings
    step_tables: StepTables | None = None  # steps that were fitted to it

    @property
    def identity(self) -> ModelIdentity:
        """What this model is by its weights and settings: which subject cards fit it, and what draws."""
        parts = drawing_parts(self.unet, self.text_encoder, self.vae, self.scheduler_config, self.insert_at)
        if self.detail_adapter is not None:
            parts["detail_adapter"] = weights_fingerprint(self.detail_adapter)
        return ModelIdentity(self.subject_fingerprint, parts | {one.part: one.fingerprint for one in self.additions})

    @property
    def positions(self) -> int:
        """Slots of the text conditioning: 77 at full size."""
        return self.text_encoder.sizes.positions

    @property
    def subject_slots(self) -> int:
        """Rows that a subject takes among the words: 16."""
        return self.subject_encoder.sizes.qformer.queries

    @property
    def device(self) -> torch.device:
        """Where the U-Net computes, and so where latents go."""
        return runs_on(self.unet)

    def scale(self, asked: float | None) -> float:
        """The guidance that was asked for, or the model's own."""
        return self.guidance if asked is None else asked

    def detail(self, asked: float | None) -> float:
        """How much of a subject's photo is read: as was asked for, else what a model that learned to reads, or nothing.

        Beside an IP-Adapter nothing is read unless it was asked for: the two do not go together.
        """
        if asked is not None:
            return asked
        reads_another = getattr(self.unet.config, "encoder_hid_dim_type", None) is not None
        return 0.0 if self.detail_adapter is None or reads_another else self.detail_adapter.detail

    def moved(self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> "BlipDiffusion":
        """The same model with its networks on `device` and in `dtype`; the VAE keeps fp32 where fp16 is asked for."""
        for net in (self.subject_encoder, self.text_encoder, self.unet, self.controlnet, self.detail_adapter):
            if net is not None:
                nn.Module.to(net, device=device, dtype=dtype)  # diffusers' own warns of what does not concern it here
        nn.Module.to(self.vae, device=device, dtype=torch.float32 if dtype == torch.float16 else dtype)
        return replace(self)

    @torch.no_grad()
    def encode_subject(
        self,
        photos: SubjectPhoto | Sequence[SubjectPhoto],
        *,
        weights: Sequence[float] | None = None,
        fit: SubjectFit = "crop",
    ) -> SubjectEmbedding:
        """The subject that one photo, or several weighted photos of it, show.

        Raises: SubjectError for no photo or other than one weight each, PromptError for an empty category; what
        `cut_out` raises where the subject shall be encoded without its ground.
        """
        photos = [photos] if isinstance(photos, SubjectPhoto) else list(photos)
        if not photos:
            raise SubjectError("A subject needs at least one photo.")
        shares = [1.0] * len(photos) if weights is None else list(weights)
        if len(shares) != len(photos):
            raise SubjectError(f"{len(photos)} photos were given with {len(shares)} weights; give one weight each.")
        tokens = self.encode_photos(photos, fit=fit)
        parts = [
            SubjectEmbedding(
                tokens=row.float().cpu(),
                category=photo.category.strip(),
                thumbnail=thumbnail(photo.image),
                fingerprint=self.subject_fingerprint,
                provenance={"model": self.name, "fit": fit, "photos": str(len(photos))},
            )
            for row, photo in zip(tokens, photos, strict=True)
        ]
        return parts[0] if len(parts) == 1 else mix(list(zip(parts, shares, strict=True)))

    @torch.no_grad()
    def encode_photos(self, photos: Sequence[SubjectPhoto], *, fit: SubjectFit = "crop") -> Tensor:
        """One embedding for each photo, in one batch: (n, 16, width)."""
        encoder = self.subject_encoder
        pixels = torch.stack([self._pixels(photo, fit) for photo in photos])
        ids, mask = category_ids(
            self.category_tokenizer, [photo.category for photo in photos], encoder.sizes.qformer.positions
        )
        device = runs_on(encoder)
        return encoder(pixels.to(device), ids.to(device), mask.to(device))  # type: ignore[no-any-return]

    def _pixels(self, photo: SubjectPhoto, fit: SubjectFit) -> Tensor:
        if fit != "cut-out":
            return subject_pixels(photo.image, self.photo, fit=fit)
        alone, _ = framed(cut_out(photo.image, mask=photo.mask).image, (self.photo.side, self.photo.side))
        return subject_pixels(alone, self.photo, fit="squash")

    @torch.no_grad()
    def encode_prompts(
        self, prompts: Sequence[Wording], subjects: Sequence[SubjectEmbedding | None] | None = None
    ) -> Conditioning:
        """One row of conditioning for each prompt, with its subject among the words where there is one.

        Raises: PromptError when the counts differ, SubjectError for a subject that another model has made.
        """
        subjects = [None] * len(prompts) if subjects is None else list(subjects)
        if not prompts or len(subjects) != len(prompts):
            raise PromptError(f"{len(prompts)} prompts were given with {len(subjects)} subjects; give one each.")
        rows, layouts = [], []
        for prompt, subject in zip(prompts, subjects, strict=True):
            row, ids = self._row(prompt, subject)
            rows.append(row)
            layouts.append(self._layout(ids, subject is not None))
        weights = tuple(self._weights(subject) for subject in subjects)
        return Conditioning(torch.cat(rows), tuple(layouts), weights if any(weights) else ())

    def _weights(self, subject: SubjectEmbedding | None) -> tuple[Acting, ...]:
        """What was learned of a subject. Raises: SubjectError where it was learned on another U-Net."""
        for one in () if subject is None else subject.weights:
            one.weights.check_base(weights_fingerprint(self.unet), subject.category if subject else "")
        return () if subject is None else subject.weights

    def _row(self, prompt: Wording, subject: SubjectEmbedding | None) -> tuple[Tensor, list[int]]:
        """The row of one prompt (1, slots, width), and its ids."""
        words, device = self.prompt_tokenizer, runs_on(self.text_encoder)
        length = self.positions - (self.subject_slots if subject is not None else 0)
        tokens = None if subject is None else self._subject_tokens(subject)
        added = words.table().to(device) if isinstance(words, WordsTokenizer) else None

        def encode(ids: list[int]) -> Tensor:
            row: Tensor = self.text_encoder(torch.tensor([ids], device=device), tokens, self.insert_at, added)
            return row

        if isinstance(prompt, WeightedText):
            place = None if subject is None else self.insert_at
            return weighted_rows(words, prompt, length, encode, place, self.subject_slots)
        ids = prompt_ids(words, prompt, length)
        return encode(ids), ids

    def _subject_tokens(self, subject: SubjectEmbedding) -> Tensor:
        subject.check_model(self.subject_fingerprint, self.text_encoder.sizes.width)
        return subject.tokens[None].to(runs_on(self.text_encoder), self.text_encoder.dtype)

    def _layout(self, ids: list[int], has_subject: bool) -> TokenLayout:
        return TokenLayout.of(
            self.prompt_tokenizer.convert_ids_to_tokens(ids),
            subject_at=self.insert_at if has_subject else None,
            subject_slots=self.subject_slots,
        )
