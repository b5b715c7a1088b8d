"""Prompts: the sentence about the subject, its amplification by repetition, and what a prompt may hold."""

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any, Literal, TypeVar, overload

from blipdiff.conditioning.weighting import WeightedText, Wording, plain_text
from blipdiff.errors import ConfigError, PromptError, listed

_Value = TypeVar("_Value")
_SEPARATOR = ", "

TOKENIZING = Lock()  # a tokenizer keeps a call's padding and length in itself: two at once take each other's


@dataclass(frozen=True, slots=True)
class AmplifiedPrompt:
    """A prompt that the model reads to its end, and what had to be left out of it.

    wording: the same text, with the weights of its words where they have some
    """

    text: str
    copies: int
    cut_words: tuple[str, ...]  # the words, or the rest of an endless one, that did not fit
    wording: Wording = ""

    @property
    def warning(self) -> str | None:
        """One sentence about what was cut, or None."""
        if not self.cut_words:
            return None
        shown = listed([word if len(word) <= 24 else word[:24] + "..." for word in self.cut_words])
        return f"The prompt is longer than the model can read; left out: {shown}."


@overload
def build_prompt(target: str, prompt: str) -> str: ...
@overload
def build_prompt(target: str, prompt: Wording) -> Wording: ...
def build_prompt(target: str, prompt: Wording) -> Wording:
    """The sentence that the model was trained on: "a dog swimming under water"; an empty prompt gives "a dog".

    Raises: PromptError for an empty target category, and for control characters.
    """
    category = checked_category(target)
    if isinstance(prompt, WeightedText):
        checked_text(prompt.text, "prompt")
        return prompt.stripped().behind(f"a {category} ").stripped()
    return f"a {category} {checked_text(prompt, 'prompt').strip()}".rstrip()


def repeat_prompt(text: Wording, strength: float = 1.0, reps: int = 20, most: int = 1000) -> Wording:
    """int(strength * reps) copies joined by ", ", as the authors' code and diffusers' port amplify a prompt.

    At least one copy: a small strength gave them an empty prompt. At most `most`: a model that reads so many tokens
    reads no more copies, each of which has one or more.

    Raises: ConfigError for a strength that is negative or not finite, and for less than one repetition.
    """
    if not math.isfinite(strength) or strength < 0 or reps < 1:
        raise ConfigError(
            f"A prompt strength of {strength} and {reps} repetitions were given; strength is 0 or more, "
            "repetitions 1 or more."
        )
    return _repeated(text, max(1, int(min(strength * reps, most))))


def _repeated(text: Wording, copies: int) -> Wording:
    if isinstance(text, WeightedText):
        return text.repeated(copies, _SEPARATOR)
    return _SEPARATOR.join([text] * copies)


def amplify(
    text: Wording,
    tokenizer: Any,
    budget: int,
    repeats: int | Literal["fit"] = "fit",
) -> AmplifiedPrompt:
    """As many whole copies of `text` as the model reads, or `repeats` if they are fewer; never an empty prompt.

    budget: positions that the words may take, begin and end mark included (77, or 61 beside a subject)

    Raises: PromptError for control characters, ConfigError for less than one repetition or no budget.
    """
    if (repeats != "fit" and repeats < 1) or budget < 3:
        raise ConfigError(f"{repeats} repetitions in {budget} positions were asked for; at least 1 in 3 are needed.")
    wording = checked_text(text, "prompt").strip() if isinstance(text, str) else text.stripped()
    text = checked_text(plain_text(wording), "prompt")
    room = budget - 2
    one = _count(tokenizer, text)
    if one > room:
        kept = _longest_start(text, tokenizer, room)
        own = kept if isinstance(wording, str) else wording.part(0, len(kept))
        return AmplifiedPrompt(kept, 1, tuple(text[len(kept) :].split()), own)
    copies = max(1, (room + 1) // (one + 1))  # one more for the comma between two copies
    copies = copies if repeats == "fit" else min(copies, repeats)
    while copies > 1 and _count(tokenizer, _SEPARATOR.join([text] * copies)) > room:
        copies -= 1
    return AmplifiedPrompt(_SEPARATOR.join([text] * copies), copies, (), _repeated(wording, copies))


def checked_text(text: str, name: str) -> str:
    """The same text, when it is one that a tokenizer can read.

    Raises: PromptError for control characters other than tab and line ends, for halves of surrogate pairs, and
    for anything that is no text.
    """
    if not isinstance(text, str):
        raise PromptError(f"The {name} is {text!r}; a text was expected.")
    for place, letter in enumerate(text):
        if unicodedata.category(letter) in ("Cc", "Cs") and letter not in "\t\n\r":
            raise PromptError(
                f"The {name} holds the control character U+{ord(letter):04X} at place {place + 1}; remove it."
            )
    return text


def checked_category(category: str) -> str:
    """The category without the space around it.

    Raises: PromptError for an empty category, and for control characters.
    """
    word = checked_text(category, "category").strip()
    if not word:
        raise PromptError("The category is empty; say in a word or two what the subject is, as in 'dog'.")
    return word


def broadcast(name: str, values: _Value | Sequence[_Value], count: int) -> tuple[_Value, ...]:
    """One value for each of `count` rows: a single one, or a list of one, serves them all.

    Raises: PromptError for a list of any other length.
    """
    given: tuple[Any, ...] = tuple(values) if isinstance(values, list | tuple) else (values,)
    if len(given) == count:
        return given
    if len(given) == 1:
        return given * count
    raise PromptError(f"{len(given)} values were given for {name}; give 1 for all, or {count}, one for each.")


def _count(tokenizer: Any, text: str) -> int:
    with TOKENIZING:
        return len(tokenizer(text, add_special_tokens=False).input_ids)


def _longest_start(text: str, tokenizer: Any, room: int) -> str:
    """The longest start of `text` that takes at most `room` tokens: whole words, or letters of an endless first."""
    ends = [place for place in range(1, len(text)) if text[place].isspace() and not text[place - 1].isspace()]
    kept = _last_fitting(text, tokenizer, room, ends)
    return kept or _last_fitting(text, tokenizer, room, range(1, len(text)))


def _last_fitting(text: str, tokenizer: Any, room: int, ends: Sequence[int]) -> str:
    low, high = 0, len(ends)  # by halves: the number of tokens grows with the text
    while low < high:
        middle = (low + high) // 2
        if _count(tokenizer, text[: ends[middle]]) <= room:
            low = middle + 1
        else:
            high = middle
    return text[: ends[low - 1]] if low else ""
