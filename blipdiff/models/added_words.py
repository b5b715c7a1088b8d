"""Words that a model gets besides its tokenizer's: each has one vector or several, learned by textual inversion.

(Gal et al. 2022, arXiv:2208.01618.) The text encoder's table stays as it is: a word's numbers lie beyond it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from blipdiff.conditioning.prompt import TOKENIZING
from blipdiff.errors import ConfigError
from blipdiff.transformers_types import CLIPTokenizer

_WORD_END = "</w>"


@dataclass(frozen=True, slots=True)
class Encoded:
    """What a tokenizer makes of a text."""

    input_ids: list[int]


@dataclass(frozen=True, slots=True, eq=False)
class WordsTokenizer:
    """A tokenizer of prompts that knows words besides its own, wherever they stand in a text as whole words.

    vectors: of each word, (n, width); it takes n slots. Upper and lower case are one, as in the tokenizer's own words.
    """

    plain: CLIPTokenizer
    start: int  # the number of the first vector: rows of the text encoder's own table
    vectors: Mapping[str, Tensor] = field(default_factory=dict)

    @classmethod
    def of(
        cls, tokenizer: "CLIPTokenizer | WordsTokenizer", start: int, word: str, vectors: Tensor
    ) -> "WordsTokenizer":
        """With one more word. Raises: ConfigError for one that there is already, or that is none."""
        before = tokenizer if isinstance(tokenizer, WordsTokenizer) else cls(tokenizer, start)
        name = word.strip().lower()
        if not name or re.search(r"\s", name):
            raise ConfigError(f"{word!r} is no word: it is empty or has spaces in it. Name another: FILE=word.")
        with TOKENIZING:
            known = before.plain(name, add_special_tokens=False).input_ids
        if name in before.vectors or (len(known) == 1 and known[0] != before.plain.unk_token_id):
            raise ConfigError(f"The word {word!r} is the model's own already; name another: FILE=word.")
        return cls(before.plain, before.start, {**before.vectors, name: vectors})

    def __getattr__(self, name: str) -> Any:
        if name in self.__slots__ or name.startswith("__"):  # while it is copied, nothing is there yet
            raise AttributeError(name)
        return getattr(self.plain, name)

    def __len__(self) -> int:
        return len(self.plain)

    def __call__(
        self,
        text: str,
        *,
        add_special_tokens: bool = True,
        padding: str | bool = False,
        truncation: bool = False,
        max_length: int | None = None,
    ) -> Encoded:
        """As the tokenizer itself, for one text."""
        ids: list[int] = []
        for piece in self._split(text):
            word = piece.lower()
            ids += self._numbers(word) if word in self.vectors else self._own(piece)
        if add_special_tokens:
            length = max_length if max_length is not None and truncation else len(ids) + 2
            ids = [self.plain.bos_token_id, *ids[: length - 2], self.plain.eos_token_id]
        elif truncation and max_length is not None:
            ids = ids[:max_length]
        if padding == "max_length" and max_length is not None:
            ids += [self.plain.pad_token_id] * (max_length - len(ids))
        return Encoded(ids)

    def convert_ids_to_tokens(self, ids: Sequence[int]) -> list[str]:
        """The pieces of a layout: a word of ours stands in its first slot, and ends in its last."""
        names = {number: piece for word in self.vectors for number, piece in self._pieces(word)}
        own = self.plain.convert_ids_to_tokens([0 if one in names else one for one in ids])
        return [names.get(one, piece) for one, piece in zip(ids, own, strict=True)]

    def table(self) -> Tensor:
        """The vectors of all words in the order of their numbers: (n, width)."""
        return torch.cat(list(self.vectors.values()))

    def _numbers(self, word: str) -> list[int]:
        start = self.start
        for name, vectors in self.vectors.items():
            if name == word:
                return list(range(start, start + len(vectors)))
            start += len(vectors)
        return []

    def _pieces(self, word: str) -> list[tuple[int, str]]:
        numbers = self._numbers(word)
        pieces = [word, *[""] * (len(numbers) - 1)]
        pieces[-1] += _WORD_END
        return list(zip(numbers, pieces, strict=True))

    def _split(self, text: str) -> list[str]:
        longest = sorted(self.vectors, key=len, reverse=True)
        either = "|".join(re.escape(word) for word in longest)
        return re.split(rf"(?<!\w)({either})(?!\w)", text, flags=re.IGNORECASE) if longest else [text]

    def _own(self, text: str) -> list[int]:
        found: list[int] = self.plain(text, add_special_tokens=False).input_ids if text.strip() else []
        return found
