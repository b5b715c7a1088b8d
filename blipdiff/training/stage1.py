"""Stage 1, multimodal representation: contrast, matching and captioning on one Q-Former.

BLIP-2 (Li et al. 2023, arXiv:2301.12597, sec. 3.1), with hard negatives as in ALBEF (Li et al. 2021,
arXiv:2107.07651, sec. 3.2), and where they are asked for ALBEF's masked words and momentum distillation. Beside the
papers: texts that are equal are all right answers, and those of one category are no wrong ones, since small data
repeats itself within a batch; captions with one wrong word may be matched too; and a subject's pictures may be told
from other subjects' by all query rows together (InfoNCE, van den Oord et al. 2018, arXiv:1807.03748).
"""

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from blipdiff.images import PhotoSettings
from blipdiff.models.representation import Representation
from blipdiff.training.masking import Masking, told
from blipdiff.training.sections import RepresentationRecipe
from blipdiff.training.workers import whole
from blipdiff.transformers_types import BertTokenizer

SMOOTHING = 0.1  # of the contrast's and the captions' right answers
HARDNESS = 0.1  # temperature of the wrong pairs' draw: at the contrast's own a small model meets none it can tell
SUBJECT_TEMPERATURE = 0.1  # of the choice between subjects
COLDEST, WARMEST = 0.03, 0.2  # bounds of the learned temperature: AdamW's steps are large beside it in a short run


class RepresentationObjective:
    """The sum of the three losses; the trunk learns along or stays as it is."""

    def __init__(
        self,
        network: Representation,
        photo_mean: Tensor,
        photo_std: Tensor,
        *,
        train_trunk: bool,
        matching_share: float = 1.0,
        masking: Masking | None = None,
        distillation: float = 0.0,
        ramp_steps: int = 0,
        compiled: bool = False,
    ) -> None:
        """matching_share: of a batch's rows that are matched, each in three passes; wrong ones come from all rows.

        masking: which words are hidden to be told; distillation: how much of the contrast's and the hidden words' right
        answers is what the averaged weights say, reached in `ramp_steps` (ALBEF, sec. 3.3: 0.4 after an epoch)
        """
        self.network = network
        self.matching_share = matching_share
        self.masking = masking
        self.distillation, self.ramp_steps = distillation, ramp_steps
        self._teacher: Representation | None = None
        self._taught = 0.0  # how much of `distillation` counts by now
        self._see, self._itg, self._text_features, self._itm, self._mlm, self._picture_features = _passes(
            network, compiled=compiled
        )
        self.mean, self.std = photo_mean.view(1, 3, 1, 1), photo_std.view(1, 3, 1, 1)
        self.train_trunk = train_trunk
        network.visual_encoder.requires_grad_(train_trunk)

    @classmethod
    def of(
        cls,
        recipe: RepresentationRecipe,
        network: Representation,
        words: BertTokenizer,
        photo: PhotoSettings,
        *,
        compiled: bool = False,
    ) -> "RepresentationObjective":
        """As a recipe asks for it."""
        return cls(
            network,
            torch.tensor(photo.mean),
            torch.tensor(photo.std),
            train_trunk=recipe.train_trunk,
            matching_share=recipe.matching_share,
            masking=Masking.of(recipe.masking, words) if recipe.masking else None,
            distillation=recipe.distillation,
            ramp_steps=recipe.warmup_steps,
            compiled=compiled,
        )

    def modules(self) -> dict[str, nn.Module]:
        """The trained modules by name."""
        return {"representation": self.network}

    def trainable(self) -> Iterable[nn.Parameter]:
        """Every parameter of the network; those of a frozen trunk ask for no gradient."""
        return self.network.parameters()

    def teach(self, averages: Sequence[Tensor], step: int) -> None:
        """Told before every step: the averaged weights, as `trainable` orders what is trained, are the teacher's."""
        if not self.distillation:
            return
        if self._teacher is None:
            self._teacher = copy.deepcopy(self.network).requires_grad_(False).eval()
        own = (one for one, taught in self._pairs(self._teacher) if taught.requires_grad)
        with torch.no_grad():
            for parameter, average in zip(own, averages, strict=True):
                parameter.copy_(whole(average))
        self._taught = self.distillation * min(1.0, step / self.ramp_steps if self.ramp_steps else 1.0)

    def _pairs(self, teacher: Representation) -> Iterable[tuple[nn.Parameter, nn.Parameter]]:
        return zip(teacher.parameters(), self.network.parameters(), strict=True)

    def loss(self, batch: dict[str, Tensor], generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """batch as `batches.DescribedBatches` gives it -> the loss and its parts.

        photo (n, 3, side, side) uint8; text_ids and text_mask (n, words), from [CLS]; caption_ids and caption_mask
        (n, words), from [DEC]; text_key and category_key (n,): equal numbers, equal texts or categories. Where it has
        true_ids and wrong_ids with their masks, captions from [CLS], these are matched too; where it has again
        (m, 3, side, side), other pictures of the first m rows' subjects, these are told apart.
        """
        device = self.network.device
        batch = {name: tensor.to(device) for name, tensor in batch.items()}
        photos = (batch["photo"].float() / 255 - self.mean.to(device)) / self.std.to(device)
        with torch.set_grad_enabled(self.train_trunk):
            patches = self._see(photos)
        queries, scores = self._itg(patches, batch["caption_ids"], batch["caption_mask"])
        captioning = _captioning(scores, batch["caption_ids"], batch["caption_mask"])

        texts = self._text_features(batch["text_ids"], batch["text_mask"])
        cosines = self.network.itc(self.network.shared(queries), texts)
        with torch.no_grad():  # the number itself: beyond a bound of the loss alone it would learn no more
            self.network.temp.clamp_(COLDEST, WARMEST)
        logits = cosines / self.network.temp.float()  # (n photos, n texts)
        same, near = _equal(batch["text_key"]), _equal(batch["category_key"])
        taught = self._taught_contrast(photos, batch)
        contrast = _contrast(logits, same, near, taught, self._taught)
        contrast = (contrast + _contrast(logits.T, same, near, None if taught is None else taught.T, self._taught)) / 2

        matching, right = self._matching(patches, batch, cosines.detach() / HARDNESS, near | same, generator)
        parts = {
            "itc": contrast.detach(),
            "itm": matching.detach(),
            "itg": captioning.detach(),
            "itc_accuracy": same.gather(1, logits.argmax(dim=1)[:, None]).float().mean(),
            "itm_accuracy": right,
        }
        loss = contrast + matching + captioning
        if "again" in batch:
            subjects, parts["subject_accuracy"] = self._subjects(queries, batch["again"])
            loss, parts["subjects"] = loss + subjects, subjects.detach()
        if self.masking is not None:
            masked = self._masked(self.masking, photos, patches, batch, generator)
            loss, parts["mlm"] = loss + masked, masked.detach()
        return loss, parts

    def _subjects(self, queries: Tensor, again: Tensor) -> tuple[Tensor, Tensor]:
        """Which second picture (m, 3, side, side) shows the subject of which first row, and how often it is told."""
        photos = (again.float() / 255 - self.mean.to(again.device)) / self.std.to(again.device)
        with torch.set_grad_enabled(self.train_trunk):
            patches = self._see(photos)
        other = self._picture_features(patches)
        alike = self.network.same_subject(self.network.shared(queries[: len(other)]), other) / SUBJECT_TEMPERATURE
        right = torch.arange(len(other), device=alike.device)
        loss = (functional.cross_entropy(alike, right) + functional.cross_entropy(alike.T, right)) / 2
        return loss, (alike.argmax(dim=1) == right).float().mean()

    @torch.no_grad()
    def _taught_contrast(self, photos: Tensor, batch: dict[str, Tensor]) -> Tensor | None:
        """What the teacher says of each photo and each text (n, n), where there is one."""
        if self._teacher is None or not self._taught:
            return None
        features = self._teacher.picture_features(self._teacher.visual_encoder(photos))
        texts = self._teacher.text_features(batch["text_ids"], batch["text_mask"])
        return self._teacher.itc(features, texts) / self._teacher.temp.float().clamp(COLDEST, WARMEST)

    def _masked(
        self,
        masking: Masking,
        photos: Tensor,
        patches: Tensor,
        batch: dict[str, Tensor],
        generator: torch.Generator,
    ) -> Tensor:
        """Hidden words of the captions, told from the photo and the other words."""
        ids, mask = batch["caption_ids"].clone(), batch["caption_mask"]
        ids[:, 0] = batch["text_ids"][:, 0]  # [CLS] for [DEC]: nothing is spoken here
        shown, wanted = masking.hidden(ids, mask, generator)
        taught = None
        if self._teacher is not None and self._taught:
            with torch.no_grad():
                taught = self._teacher.mlm(self._teacher.visual_encoder(photos), shown, mask)
        return told(self._mlm(patches, shown, mask), wanted, taught, self._taught)

    def _matching(
        self, patches: Tensor, batch: dict[str, Tensor], logits: Tensor, excluded: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Each photo with its text, with a hard wrong text, and each text with a hard wrong photo."""
        ids, mask = batch["text_ids"], batch["text_mask"]
        rows = max(1, round(self.matching_share * len(ids)))
        wrong_texts, texts_exist = _hard(logits[:rows], excluded[:rows], generator)
        wrong_photos, photos_exist = _hard(logits.T[:rows], excluded[:rows], generator)
        seen = [patches[:rows], patches[:rows], patches[wrong_photos]]
        texts = [ids[:rows], ids[wrong_texts], ids[:rows]]
        masks = [mask[:rows], mask[wrong_texts], mask[:rows]]
        answers = [ids.new_ones(rows), ids.new_zeros(2 * rows)]
        exist = [torch.ones_like(texts_exist), texts_exist, photos_exist]
        for kind, answer in (("true", 1), ("wrong", 0)):
            if f"{kind}_ids" in batch:
                seen.append(patches[:rows])
                texts.append(batch[f"{kind}_ids"][:rows])
                masks.append(batch[f"{kind}_mask"][:rows])
                answers.append(ids.new_full((rows,), answer))
                exist.append(torch.ones_like(texts_exist))
        return self._told_apart(seen, texts, masks, torch.cat(answers), torch.cat(exist))

    def _told_apart(
        self, seen: list[Tensor], texts: list[Tensor], masks: list[Tensor], answers: Tensor, counted: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The loss of pairs, and the share that is told right, of those that count."""
        pairs = self._itm(torch.cat(seen), torch.cat(texts), torch.cat(masks)).float()
        losses = functional.cross_entropy(pairs, answers, reduction="none")
        right = ((pairs.argmax(dim=1) == answers) & counted).sum() / counted.sum()
        return (losses * counted).sum() / counted.sum(), right


def _passes(network: Representation, *, compiled: bool) -> tuple[Callable[..., Any], ...]:
    """The trunk and the Q-Former under its three masks."""
    passes: tuple[Callable[..., Any], ...] = (
        network.visual_encoder,
        network.itg,
        network.text_features,
        network.itm,
        network.mlm,
        network.picture_features,
    )
    return tuple(torch.compile(one, dynamic=False) for one in passes) if compiled else passes


def _captioning(scores: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
    """Cross-entropy of each next word; padding is no word."""
    wanted = ids[:, 1:].masked_fill(mask[:, 1:] == 0, -100)
    return functional.cross_entropy(
        scores[:, :-1].float().flatten(0, 1), wanted.flatten(), ignore_index=-100, label_smoothing=SMOOTHING
    )


def _contrast(logits: Tensor, same: Tensor, near: Tensor, taught: Tensor | None = None, weight: float = 0.0) -> Tensor:
    """Cross-entropy with all equal texts as right answers, and texts of the same category left out.

    taught: a teacher's logits, whose answers have this weight (ALBEF, eq. 6)
    """
    logits = logits.masked_fill(near & ~same, float("-inf"))
    chances = logits.log_softmax(dim=1)
    right = same.float() / same.sum(dim=1, keepdim=True)
    counted = ~(near & ~same)
    smooth = counted.float() / counted.sum(dim=1, keepdim=True)
    wanted = (1 - SMOOTHING) * right + SMOOTHING * smooth
    if taught is not None:
        wanted = (1 - weight) * wanted + weight * taught.masked_fill(~counted, float("-inf")).softmax(dim=1)
    return -(wanted * chances.masked_fill(~counted, 0)).sum(dim=1).mean()


def _hard(logits: Tensor, excluded: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """For each row a wrong column drawn by likeness (n,), and whether there was any to draw from (n,)."""
    weights = logits.float().softmax(dim=1).clamp(min=1e-6).masked_fill(excluded, 0).cpu()
    exist = weights.sum(dim=1) > 0
    weights[~exist] = 1
    chosen = torch.multinomial(weights, 1, generator=generator)[:, 0]
    return chosen.to(logits.device), exist.to(logits.device)


def _equal(keys: Tensor) -> Tensor:
    return keys[:, None] == keys[None, :]
