"""Pairs of the library -> batches of tensors, drawn in a process of their own, each from (seed, step) alone."""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from blipdiff.conditioning.prompt import amplify, build_prompt
from blipdiff.data.captions import contradiction
from blipdiff.data.pairs import PairLibrary
from blipdiff.data.records import Pair, Pixels
from blipdiff.errors import ConfigError
from blipdiff.models.tokenizers import category_ids, prompt_ids
from blipdiff.training.sections import WordsRecipe
from blipdiff.training.stage2 import RowShares
from blipdiff.training.workers import ALONE, Workers
from blipdiff.transformers_types import BertTokenizer, CLIPTokenizer

_RECONSTRUCTED_TOKENS = 10  # of a category where the photo is drawn again, which only the small model does
_ONSETS = ("b", "br", "d", "f", "fl", "g", "gr", "h", "k", "l", "m", "n", "p", "pl", "r", "s", "st", "t", "tr", "v")
_VOWELS = ("a", "e", "i", "o", "u", "ai", "ee", "oo", "ou")
_ENDS = ("", "", "n", "r", "s", "t", "l", "ck", "sh")


class Pairs(Protocol):
    """What the subject's stage learns from: pairs, each drawn from its number and the seed."""

    def draw(self, index: int, seed: int) -> Pair: ...


class Described(Protocol):
    """What stage 1 learns from: pictures with a category and a true caption."""

    def draw_described(self, index: int, seed: int) -> tuple[Pixels, str, str]: ...


@runtime_checkable
class Again(Protocol):
    """What can show a described subject in another picture."""

    def draw_again(self, index: int, seed: int) -> Pixels: ...


@dataclass(frozen=True, slots=True)
class Wording:
    """How the prompts of a batch are told, as `WordsRecipe` has it."""

    made_up: float = 0.0
    repeated: float = 0.0
    category_tokens: int = 32

    @classmethod
    def of(cls, recipe: WordsRecipe, positions: int) -> "Wording":
        """The recipe's, for a Q-Former of so many positions."""
        return cls(recipe.made_up, recipe.repeated, min(recipe.category_tokens, positions))


class SubjectBatches(Dataset[dict[str, Tensor]]):
    """Batch number `step`: rows with a subject first, then rows with words only, then rows with neither."""

    def __init__(
        self,
        library: Pairs,
        prompts: CLIPTokenizer,
        categories: BertTokenizer,
        shares: RowShares | Callable[[int], RowShares],
        *,
        positions: int,
        subject_slots: int,
        seed: int,
        wording: Wording | None = None,
    ) -> None:
        self.wording = wording or Wording()
        self.library = library
        self.prompts = prompts
        self.categories = categories
        self.shares = shares
        self.positions = positions
        self.subject_slots = subject_slots
        self.seed = seed

    def __getitem__(self, step: int) -> dict[str, Tensor]:
        return self.of_pairs(step, self.pairs(step))

    def pairs(self, step: int) -> list[Pair]:
        """The pairs of a batch, a row each."""
        shares = self._shares(step)
        size = shares.subject + shares.words + shares.nothing
        return [self.library.draw(step * size + row, self.seed) for row in range(size)]

    def of_pairs(self, step: int, pairs: list[Pair]) -> dict[str, Tensor]:
        """The batch of these pairs."""
        shares = self._shares(step)
        rng = np.random.default_rng((self.seed, 1, step))
        with_subject = pairs[: max(1, shares.subject)]  # one that does not count where there is none: see the networks
        with_words = pairs[shares.subject : shares.subject + shares.words]
        ids, mask = category_ids(self.categories, [pair.category for pair in with_subject], 512)
        short, long = self.positions - self.subject_slots, self.positions
        return {
            "target": _pictures([pair.target for pair in pairs]),
            "mask": torch.from_numpy(np.stack([pair.mask for pair in pairs])),
            "photo": _pictures([pair.photo for pair in with_subject]),
            "short_ids": _rows([self._ids(pair, short, rng) for pair in with_subject], short),
            "long_ids": _rows(
                [self._ids(pair, long, rng) for pair in with_words]
                + [prompt_ids(self.prompts, "", long)] * shares.nothing,
                long,
            ),
            "category_ids": _fixed(ids, self.wording.category_tokens, self.categories.pad_token_id),
            "category_mask": _fixed(mask, self.wording.category_tokens, 0),
        }

    def _shares(self, step: int) -> RowShares:
        return self.shares if isinstance(self.shares, RowShares) else self.shares(step)

    def _ids(self, pair: Pair, length: int, rng: np.random.Generator) -> list[int]:
        made_up = rng.random() < self.wording.made_up
        text = build_prompt(made_up_word(rng) if made_up else pair.word or pair.category, pair.prompt)
        if rng.random() < self.wording.repeated:
            text = amplify(text, self.prompts, length).text
        return prompt_ids(self.prompts, text, length)


def made_up_word(rng: np.random.Generator) -> str:
    """A word or two that mean nothing, of many rare pieces.

    People name subjects by words that training never had, and whose pieces push the prompt out of its usual places;
    without such words in training the scene is then lost.
    """
    words = []
    for _ in range(1 + int(rng.random() < 0.3)):
        parts = [
            str(rng.choice(_ONSETS)) + str(rng.choice(_VOWELS)) + str(rng.choice(_ENDS))
            for _ in range(int(rng.integers(1, 4)))
        ]
        words.append("".join(parts))
    return " ".join(words)


class PhotoBatches(Dataset[dict[str, Tensor]]):
    """Batch number `step` of photos with their categories, for reconstruction."""

    def __init__(self, library: PairLibrary, categories: BertTokenizer, size: int, *, seed: int) -> None:
        self.library = library
        self.categories = categories
        self.size = size
        self.seed = seed

    def __getitem__(self, step: int) -> dict[str, Tensor]:
        drawn = [self.library.draw_photo(step * self.size + row, self.seed) for row in range(self.size)]
        ids, mask = category_ids(self.categories, [category for _, category in drawn], 512)
        return {
            "photo": _pictures([photo for photo, _ in drawn]),
            "category_ids": _fixed(ids, _RECONSTRUCTED_TOKENS, self.categories.pad_token_id),
            "category_mask": _fixed(mask, _RECONSTRUCTED_TOKENS, 0),
        }


class DescribedBatches(Dataset[dict[str, Tensor]]):
    """Batch number `step` of pictures with a text to compare and a caption to speak, for stage 1."""

    def __init__(
        self,
        library: Described,
        words: BertTokenizer,
        size: int,
        *,
        seed: int,
        named: float = 0.0,
        tokens: int = 32,
        contradicted: bool = False,
        again: float = 0.0,
    ) -> None:
        """again: share of the batch that is shown in a second picture. Raises: ConfigError where none is drawn."""
        if again and not isinstance(library, Again):
            raise ConfigError("Subjects that are shown twice (again) need a library of drawings.")
        self.again = library if again and isinstance(library, Again) else None
        self.seen_twice = max(2, round(again * size))
        self.contradicted = contradicted
        self.named, self.tokens = named, tokens
        self.library = library
        self.words = words
        self.size = size
        self.seed = seed

    def __getitem__(self, step: int) -> dict[str, Tensor]:
        drawn = [self.library.draw_described(step * self.size + row, self.seed) for row in range(self.size)]
        rng = np.random.default_rng((self.seed, 1, step))  # the bare category, where it shall be ranked by name
        texts = [category if rng.random() < self.named else said for _, category, said in drawn]
        return {
            "photo": _pictures([picture for picture, _, _ in drawn]),
            **described(self.words, texts, [said for _, _, said in drawn], self.tokens),
            "category_key": _keys([category for _, category, _ in drawn]),
            **(self._contradicted([one[1:] for one in drawn], step) if self.contradicted else {}),
            **({} if self.again is None else {"again": self._seen_again(self.again, step)}),
        }

    def _seen_again(self, library: Again, step: int) -> Tensor:
        """Other pictures of the first rows' subjects."""
        return _pictures([library.draw_again(step * self.size + row, self.seed) for row in range(self.seen_twice)])

    def _contradicted(self, told: list[tuple[str, str]], step: int) -> dict[str, Tensor]:
        """Each picture's caption, and one that is false of it, both from [CLS]."""
        rng = np.random.default_rng((self.seed, 2, step))
        wrong = [contradiction(said, category, told, rng) for category, said in told]
        found: dict[str, Tensor] = {}
        for kind, texts in (("true", [said for _, said in told]), ("wrong", wrong)):
            ids, mask = category_ids(self.words, texts, 512)
            found[f"{kind}_ids"] = _fixed(ids, self.tokens, self.words.pad_token_id)
            found[f"{kind}_mask"] = _fixed(mask, self.tokens, 0)
        return found


def described(words: BertTokenizer, texts: list[str], captions: list[str], tokens: int) -> dict[str, Tensor]:
    """Texts to compare with their photos, from [CLS], and captions to speak, from [DEC]; both cut at `tokens`."""
    ids, mask = category_ids(words, texts, 512)
    said, said_mask = category_ids(words, captions, 512)
    said[:, 0] = words.bos_token_id
    return {
        "text_ids": _fixed(ids, tokens, words.pad_token_id),
        "text_mask": _fixed(mask, tokens, 0),
        "caption_ids": _fixed(said, tokens, words.pad_token_id),
        "caption_mask": _fixed(said_mask, tokens, 0),
        "text_key": _keys(texts),
    }


class TargetBatches(Dataset[dict[str, Tensor]]):
    """Batch number `step` of targets alone, for the autoencoder."""

    def __init__(self, library: PairLibrary, size: int, *, seed: int) -> None:
        self.library = library
        self.size = size
        self.seed = seed

    def __getitem__(self, step: int) -> dict[str, Tensor]:
        pairs = [self.library.draw(step * self.size + row, self.seed) for row in range(self.size)]
        # every other picture is a photo: subjects on plain ground must come out crisp too
        return {"target": _pictures([pair.photo if row % 4 == 3 else pair.target for row, pair in enumerate(pairs)])}


def stream(
    dataset: Dataset[dict[str, Tensor]],
    first: int,
    stop: int,
    *,
    accumulate: int = 1,
    workers: Workers = ALONE,
    loaders: int = 1,
) -> Iterator[dict[str, Tensor]]:
    """The micro-batches of steps `first` to `stop` - 1 that fall to this worker, in order.

    They are drawn ahead of need by `loaders` processes. Each step has `accumulate` of them.
    """
    loader: DataLoader[dict[str, Tensor]] = DataLoader(
        dataset,
        sampler=[step * accumulate + k for step in range(first, stop) for k in workers.share(accumulate)],
        batch_size=None,
        num_workers=loaders,
        prefetch_factor=6,
        worker_init_fn=_one_thread,
    )
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # OpenCV's threads do not come along into a forked worker, which would wait for them for ever
    try:
        return iter(loader)
    finally:
        cv2.setNumThreads(threads)


def _one_thread(_worker: int) -> None:
    torch.set_num_threads(1)


def _pictures(pictures: list[Any]) -> Tensor:
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()


def _rows(ids: list[list[int]], length: int) -> Tensor:
    """Ids as a tensor of this length, also where there are none."""
    return torch.tensor(ids, dtype=torch.long).reshape(-1, length)


def _keys(texts: list[str]) -> Tensor:
    """Numbers that are equal for equal texts, in every process."""
    return torch.tensor([zlib.crc32(text.encode()) for text in texts])


def _fixed(tokens: Tensor, length: int, padding: int) -> Tensor:
    fixed = tokens.new_full((len(tokens), length), padding)
    fixed[:, : min(length, tokens.shape[1])] = tokens[:, :length]
    return fixed
