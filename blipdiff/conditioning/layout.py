"""What each slot of the text conditioning holds: words, the subject, padding."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from blipdiff.errors import PromptError, listed

BOS, SUBJECT, EOS, PAD = "<bos>", "<subject>", "<eos>", "<pad>"
_MARKS = frozenset((BOS, SUBJECT, EOS, PAD))
_WORD_END = "</w>"

# How CLIP's tokenizer splits a text before its byte pairs: contractions, runs of letters, single digits, the rest.
_SPLIT = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d|[^\W\d_]+|\d|(?:[^\s\w]|_)+")


@dataclass(frozen=True, slots=True)
class TokenLayout:
    """What each slot of one row of text conditioning holds.

    pieces: ("<bos>", "a</w>", "<subject>" x 16, "dog</w>", ..., "<eos>", "<pad>", ...), one for each position;
    words are the tokenizer's own tokens, of which the last of a word ends in "</w>".
    """

    pieces: tuple[str, ...]

    @classmethod
    def of(
        cls,
        tokens: Sequence[str],
        *,
        subject_at: int | None = None,
        subject_slots: int = 0,
        pad: str = "<|endoftext|>",
    ) -> "TokenLayout":
        """The layout of one row of tokens (begin, words, end, padding) with the subject put in at `subject_at`."""
        text = len(tokens)
        while text > 1 and tokens[text - 1] == pad:
            text -= 1
        words = list(tokens[1:text])
        after = len(tokens) - text
        if pad == "<|endoftext|>":  # the first of the run is the end mark itself
            tail = [EOS, *[PAD] * (after - 1)] if after else []
        else:
            words, tail = words[:-1], [EOS, *[PAD] * after]
        pieces = [BOS, *words, *tail]
        if subject_at is not None:
            pieces[subject_at:subject_at] = [SUBJECT] * subject_slots
        return cls(tuple(pieces))

    def __len__(self) -> int:
        return len(self.pieces)

    @property
    def subject_slots(self) -> tuple[int, ...]:
        """The slots that hold the subject; empty for a row without one."""
        return tuple(slot for slot, piece in enumerate(self.pieces) if piece == SUBJECT)

    def spans(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """Each word in reading order with the slots that it takes."""
        found: list[tuple[str, tuple[int, ...]]] = []
        word = ""
        slots: list[int] = []
        for slot, piece in enumerate(self.pieces):
            if piece not in _MARKS:
                word, slots = word + piece.removesuffix(_WORD_END), [*slots, slot]
            if slots and (piece in _MARKS or piece.endswith((_WORD_END, "|>"))):  # "<|endoftext|>" typed by a person
                found.append((_readable(word), tuple(slots)))
                word, slots = "", []
        if slots:
            found.append((_readable(word), tuple(slots)))
        return tuple(found)

    def words(self) -> tuple[str, ...]:
        """The words in reading order, as the tokenizer saw them: lower case, punctuation apart."""
        return tuple(word for word, _ in self.spans())

    def slots(self, phrase: str) -> tuple[int, ...]:
        """The slots of every occurrence of a word, or of several words in a row: "dog", "teddy bear".

        Raises: PromptError when the layout does not hold it; the message lists the words that are there.
        """
        spans = self.spans()
        wanted = _split(unicodedata.normalize("NFC", phrase).lower(), [word for word, _ in spans])
        found: list[int] = []
        start = 0
        while wanted and start + len(wanted) <= len(spans):
            window = spans[start : start + len(wanted)]
            matches = tuple(word for word, _ in window) == wanted
            if matches:
                found.extend(slot for _, slots in window for slot in slots)
            start += len(wanted) if matches else 1
        if not found:
            there = listed(list(dict.fromkeys(word for word, _ in spans)), most=40) or "none"
            raise PromptError(f"The prompt, as the model reads it, does not hold {phrase!r}. Words there: {there}.")
        return tuple(found)


def _split(phrase: str, words: Sequence[str]) -> tuple[str, ...]:
    """A phrase as the tokenizer splits it, and whole where it is a word that was added to the model: "<cat-toy>"."""
    added = sorted({word for word in words if _SPLIT.findall(word) not in ([word], [])}, key=len, reverse=True)
    if not added:
        return tuple(_SPLIT.findall(phrase))
    found: list[str] = []
    for place, part in enumerate(re.split(f"({'|'.join(map(re.escape, added))})", phrase)):
        found += [part] if place % 2 else _SPLIT.findall(part)
    return tuple(found)


@cache
def _bytes_of_letters() -> dict[str, int]:
    """The letter by which byte-pair vocabularies write each byte, turned round (Radford et al. 2019)."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + n): byte for n, byte in enumerate(hidden)}


def _readable(word: str) -> str:
    """A word written in byte letters ("cafÃ©") as a person writes it ("café")."""
    letters = _bytes_of_letters()
    if any(letter not in letters for letter in word):
        return word
    return bytes(letters[letter] for letter in word).decode("utf-8", errors="replace")
