"""What a photo shows, in words: a caption, ranked categories, and how well a text fits.

The heads of the representation model at work (BLIP-2, arXiv:2301.12597, sec. 3.1): categories are ranked by
image-text contrast, texts are matched with the photo, captions are generated word by word.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from blipdiff.images import PhotoFit, PhotoSettings, subject_pixels
from blipdiff.models.representation import Representation
from blipdiff.models.tokenizers import category_ids
from blipdiff.transformers_types import BertTokenizer

LONGEST_CAPTION = 24  # tokens


SURE = 0.65  # chance of the first category from which on names are worth suggesting; measured, see LOG.md


@dataclass(frozen=True, slots=True)
class Description:
    """What was found in one photo."""

    caption: str
    categories: tuple[tuple[str, float], ...]  # the likeliest first, with their chances among all that are known
    text: str  # the text that `match` is of: a given one, or the caption
    match: float  # from 0 to 1

    @property
    def is_sure(self) -> bool:
        """Whether the first category is likely enough for the others to be of use."""
        return bool(self.categories) and self.categories[0][1] >= SURE


@dataclass(frozen=True, slots=True)
class Describer:
    """A trained representation model with its words and the categories that it ranks. A run changes nothing here."""

    network: Representation
    tokenizer: BertTokenizer
    photo: PhotoSettings
    categories: tuple[str, ...]
    category_features: Tensor  # (categories, shared), of length 1
    name: str = "unnamed"

    @torch.no_grad()
    def describe(
        self, photo: Image.Image, *, text: str | None = None, count: int = 5, fit: PhotoFit = "pad"
    ) -> Description:
        """Caption, the `count` likeliest categories, and the match of `text`, or else of the caption."""
        patches = self.patches([photo], fit=fit)
        caption = self.captions(patches)[0]
        said = self.readable(caption) if text is None else text
        return Description(caption, self.ranked(patches)[0][:count], said, float(self.matches(patches, [said])[0]))

    @torch.no_grad()
    def patches(self, photos: Sequence[Image.Image], *, fit: PhotoFit = "pad") -> Tensor:
        """The trunk's features of photos (n, patches, width), which every other question here starts from."""
        pixels = torch.stack([subject_pixels(photo, self.photo, fit=fit) for photo in photos])
        return self.network.visual_encoder(pixels.to(self.network.device, self.network.dtype))  # type: ignore[no-any-return]

    @torch.no_grad()
    def ranked(self, patches: Tensor) -> list[tuple[tuple[str, float], ...]]:
        """For each photo every known category with its chance, the likeliest first."""
        cosines = self.network.itc(self.network.picture_features(patches), self.category_features)
        chances = (cosines / self.network.temp.float()).softmax(dim=1)
        best = chances.sort(dim=1, descending=True, stable=True)
        return [
            tuple((self.categories[place], chance) for chance, place in zip(row, order, strict=True))
            for row, order in zip(best.values.tolist(), best.indices.tolist(), strict=True)
        ]

    @torch.no_grad()
    def matches(self, patches: Tensor, texts: Sequence[str]) -> Tensor:
        """How likely each text is of its photo, from 0 to 1: (n,).

        Raises: PromptError for an empty text or one that is too long.
        """
        ids, mask = category_ids(self.tokenizer, texts, self.network.sizes.qformer.positions)
        device = self.network.device
        return self.network.itm(patches, ids.to(device), mask.to(device)).float().softmax(dim=1)[:, 1]

    @torch.no_grad()
    def likenesses(self, patches: Tensor, texts: Sequence[str]) -> Tensor:
        """Image-text contrast: the cosine of each photo with each text, (n, texts).

        Raises: PromptError for an empty text or one that is too long.
        """
        return self.network.itc(self.network.picture_features(patches), self.text_features(texts))

    @torch.no_grad()
    def text_features(self, texts: Sequence[str]) -> Tensor:
        """What texts mean in the space that they share with pictures: (texts, shared), of length 1.

        Raises: PromptError for an empty text or one that is too long.
        """
        ids, mask = category_ids(self.tokenizer, texts, self.network.sizes.qformer.positions)
        return self.network.text_features(ids.to(self.network.device), mask.to(self.network.device))

    @torch.no_grad()
    def caption_scores(self, patches: Tensor, captions: Sequence[str]) -> Tensor:
        """How likely each caption is spoken of its photo: log-likelihoods (n,).

        Raises: PromptError for an empty caption or one that is too long.
        """
        ids, mask = category_ids(self.tokenizer, captions, self.network.sizes.qformer.positions)
        ids[:, 0] = int(self.tokenizer.bos_token_id)
        ids, mask = ids.to(self.network.device), mask.to(self.network.device)
        likely = self.network.itg(patches, ids, mask)[1][:, :-1].float().log_softmax(dim=-1)
        return (likely.gather(2, ids[:, 1:, None])[..., 0] * mask[:, 1:]).sum(dim=1)

    @torch.no_grad()
    def captions(self, patches: Tensor, *, generator: torch.Generator | None = None, share: float = 0.9) -> list[str]:
        """A caption for each photo: the likeliest word each time, or with a generator one drawn from the likeliest.

        share: words are drawn from the smallest set that has this share of the chances (Holtzman et al. 2020,
            arXiv:1904.09751)
        """
        longest = min(LONGEST_CAPTION, self.network.sizes.qformer.positions)
        ids = torch.full((len(patches), 1), self.tokenizer.bos_token_id, device=self.network.device)
        ended = torch.zeros(len(patches), dtype=torch.bool, device=self.network.device)
        while ids.shape[1] < longest and not bool(ended.all()):
            scores = self.network.itg(patches, ids, torch.ones_like(ids))[1][:, -1].float()
            chosen = scores.argmax(dim=1) if generator is None else _drawn(scores, share, generator)
            chosen = torch.where(ended, self.tokenizer.pad_token_id, chosen)
            ended |= chosen == self.tokenizer.sep_token_id
            ids = torch.cat([ids, chosen[:, None]], dim=1)
        return [text.strip() for text in self.tokenizer.batch_decode(ids, skip_special_tokens=True)]

    def readable(self, caption: str) -> str:
        """As many words of a caption of our own as can be read again: odd words may take more tokens than they were."""
        words = caption.split()
        while words and len(self.tokenizer(" ".join(words)).input_ids) > self.network.sizes.qformer.positions:
            words.pop()
        return " ".join(words) or self.categories[0]


@torch.no_grad()
def category_features(network: Representation, tokenizer: BertTokenizer, categories: Sequence[str]) -> Tensor:
    """The features of categories' names, as captions say them: (categories, shared)."""
    rows = []
    for first in range(0, len(categories), 256):
        ids, mask = category_ids(tokenizer, categories[first : first + 256], network.sizes.qformer.positions)
        rows.append(network.text_features(ids.to(network.device), mask.to(network.device)))
    return torch.cat(rows)


def _drawn(scores: Tensor, share: float, generator: torch.Generator) -> Tensor:
    chances, order = scores.softmax(dim=1).cpu().sort(dim=1, descending=True)
    chances[chances.cumsum(dim=1) - chances > share] = 0
    place = torch.multinomial(chances, 1, generator=generator)
    return order.gather(1, place)[:, 0].to(scores.device)
