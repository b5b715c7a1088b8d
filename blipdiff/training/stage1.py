"""Stage 1, multimodal representation: contrast, matching and captioning on one Q-Former.

BLIP-2 (Li et al. 2023, arXiv:2301.12597, sec. 3.1), with hard negatives as in ALBEF (Li et al. 2021,
arXiv:2107.07651, sec. 3.2). Beside the papers: texts that are equal are all right answers, and those of one category
are no wrong ones, since small data repeats itself within a batch.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from blipdiff.models.representation import Representation

SMOOTHING = 0.1  # of the contrast's and the captions' right answers
HARDNESS = 0.1  # temperature of the wrong pairs' draw: at the contrast's own a small model meets none it can tell
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
        compiled: bool = False,
    ) -> None:
        """matching_share: of a batch's rows that are matched, each in three passes; wrong ones come from all rows."""
        self.network = network
        self.matching_share = matching_share
        self._see, self._itg, self._text_features, self._itm = _passes(network, compiled=compiled)
        self.mean, self.std = photo_mean.view(1, 3, 1, 1), photo_std.view(1, 3, 1, 1)
        self.train_trunk = train_trunk
        network.visual_encoder.requires_grad_(train_trunk)

    def modules(self) -> dict[str, nn.Module]:
        """The trained modules by name."""
        return {"representation": self.network}

    def trainable(self) -> Iterable[nn.Parameter]:
        """Every parameter of the network; those of a frozen trunk ask for no gradient."""
        return self.network.parameters()

    def loss(self, batch: dict[str, Tensor], generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """batch as `batches.DescribedBatches` gives it -> the loss and its parts.

        photo (n, 3, side, side) uint8; text_ids and text_mask (n, words), from [CLS]; caption_ids and caption_mask
        (n, words), from [DEC]; text_key and category_key (n,): equal numbers, equal texts or categories.
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
        contrast = (_contrast(logits, same, near) + _contrast(logits.T, same, near)) / 2

        matching, right = self._matching(patches, batch, cosines.detach() / HARDNESS, near | same, generator)
        parts = {
            "itc": contrast.detach(),
            "itm": matching.detach(),
            "itg": captioning.detach(),
            "itc_accuracy": same.gather(1, logits.argmax(dim=1)[:, None]).float().mean(),
            "itm_accuracy": right,
        }
        return contrast + matching + captioning, parts

    def _matching(
        self, patches: Tensor, batch: dict[str, Tensor], logits: Tensor, excluded: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Each photo with its text, with a hard wrong text, and each text with a hard wrong photo."""
        ids, mask = batch["text_ids"], batch["text_mask"]
        rows = max(1, round(self.matching_share * len(ids)))
        wrong_texts, texts_exist = _hard(logits[:rows], excluded[:rows], generator)
        wrong_photos, photos_exist = _hard(logits.T[:rows], excluded[:rows], generator)
        pairs = self._itm(
            torch.cat([patches[:rows], patches[:rows], patches[wrong_photos]]),
            torch.cat([ids[:rows], ids[wrong_texts], ids[:rows]]),
            torch.cat([mask[:rows], mask[wrong_texts], mask[:rows]]),
        ).float()
        answers = torch.cat([ids.new_ones(rows), ids.new_zeros(2 * rows)])
        counted = torch.cat([torch.ones_like(texts_exist), texts_exist, photos_exist])
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
    )
    return tuple(torch.compile(one, dynamic=False) for one in passes) if compiled else passes


def _captioning(scores: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
    """Cross-entropy of each next word; padding is no word."""
    wanted = ids[:, 1:].masked_fill(mask[:, 1:] == 0, -100)
    return functional.cross_entropy(
        scores[:, :-1].float().flatten(0, 1), wanted.flatten(), ignore_index=-100, label_smoothing=SMOOTHING
    )


def _contrast(logits: Tensor, same: Tensor, near: Tensor) -> Tensor:
    """Cross-entropy with all equal texts as right answers, and texts of the same category left out."""
    logits = logits.masked_fill(near & ~same, float("-inf"))
    chances = logits.log_softmax(dim=1)
    right = same.float() / same.sum(dim=1, keepdim=True)
    counted = ~(near & ~same)
    smooth = counted.float() / counted.sum(dim=1, keepdim=True)
    wanted = (1 - SMOOTHING) * right + SMOOTHING * smooth
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
