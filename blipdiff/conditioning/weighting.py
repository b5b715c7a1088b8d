"""Weights in prompts: "(word:1.3)", "[word]", "\\(" and "{subject:1.2}", in the meaning that a person knows.

"a1111" multiplies a word's rows and restores the mean of the whole; "compel" moves them away from those of an empty
prompt, and below 1 also towards those of the prompt without the word.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

from blipdiff.errors import PromptError

OFF = "off"
MEANINGS = ("a1111", "compel", OFF)
MARKS_HELP = r"How (word:1.3), [word], \( and {subject:1.2} are read: as by A1111's page, as by compel, or as letters."

_STEP = 1.1
_MOST = 10.0
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)"
_SUBJECT = re.compile(rf"\s?\{{subject:\s*({_NUMBER})\s*\}}", re.IGNORECASE)
_MARKS = re.compile(
    rf"(?P<escaped>\\[()\[\]\\+-])|(?P<round>\()|(?P<square>\[)|:\s*(?P<number>{_NUMBER})\s*(?P<told>\))|(?P<end>\))"
    r"|(?P<less>\])"
)
_SIGNS = re.compile(r"(?P<word>\w[\w'-]*?)(?P<signs>\++|-+)(?=[\s,.;:!?()\[\]]|$)")
_BEHIND = re.compile(rf"\++|-+|{_NUMBER}(?![\w.])")  # what compel writes behind a closed bracket


@dataclass(frozen=True, slots=True)
class WeightedText:
    """A text in pieces, each with its weight, and the weight of the subject's slots."""

    pieces: tuple[tuple[str, float], ...]
    subject: float = 1.0
    meaning: str = "a1111"

    @property
    def text(self) -> str:
        """What the model reads."""
        return "".join(text for text, _ in self.pieces)

    @property
    def is_even(self) -> bool:
        """Whether nothing has another weight than 1."""
        return self.subject == 1 and all(weight == 1 for _, weight in self.pieces)

    def behind(self, before: str) -> "WeightedText":
        """With a text of weight 1 before it."""
        return replace(self, pieces=((before, 1.0), *self.pieces))

    def stripped(self) -> "WeightedText":
        """Without the space around it."""
        text = self.text
        start = len(text) - len(text.lstrip())
        return self.part(start, max(start, len(text.rstrip())))

    def part(self, start: int, stop: int) -> "WeightedText":
        """The letters from `start` to `stop`."""
        found, at = [], 0
        for text, weight in self.pieces:
            own = text[max(start - at, 0) : max(stop - at, 0)]
            found += [(own, weight)] if own else []
            at += len(text)
        return replace(self, pieces=tuple(found))

    def repeated(self, copies: int, separator: str) -> "WeightedText":
        """So many copies with a separator between them."""
        more = ((separator, 1.0), *self.pieces)
        return replace(self, pieces=self.pieces + more * (copies - 1))

    def without(self, place: int) -> "WeightedText":
        """The text that lacks one piece."""
        return replace(self, pieces=self.pieces[:place] + self.pieces[place + 1 :])


Wording: TypeAlias = str | WeightedText


def plain_text(wording: Wording) -> str:
    """What the model reads of a text."""
    return wording if isinstance(wording, str) else wording.text


def weighted(text: str, meaning: str) -> Wording:
    """The text as its marks say it; the same text where there are none, and for "off".

    A bracket that is not closed reaches to the end, one that was not opened is a letter.

    Raises: PromptError for a weight above 10, and for a meaning that is none.
    """
    if meaning not in MEANINGS:
        raise PromptError(f"Weights in prompts are read as {', '.join(MEANINGS)}, not as {meaning!r}.")
    if meaning == OFF or not isinstance(text, str):
        return text
    subjects = _SUBJECT.findall(text)
    read = _read(_SUBJECT.sub("", text), meaning)
    subject = 1.0
    for number in subjects:
        subject *= _checked(float(number), "subject")
    found = WeightedText(_joined(read), subject, meaning)
    return found.text if found.is_even else found


def _read(text: str, meaning: str) -> list[tuple[str, float]]:
    """Pieces of the text with the product of the weights around each."""
    pieces: list[tuple[str, float]] = []
    opened: list[tuple[str, int]] = []  # brackets that are open, and the piece that each begins with
    for kind, part, behind in _parts(text, compel=meaning == "compel"):
        if kind in ("round", "square"):
            opened.append((kind, len(pieces)))
        elif kind in ("end", "told", "less"):
            wanted = "square" if kind == "less" else "round"
            place = next((n for n in reversed(range(len(opened))) if opened[n][0] == wanted), None)
            if place is None:
                pieces.append((part, 1.0))
                continue
            _, first = opened.pop(place)
            pieces[first:] = [(one, weight * _weight(kind, behind, meaning)) for one, weight in pieces[first:]]
        else:
            pieces.append((part, 1.0 if behind is None else _weight("end", behind, meaning)))
    for kind, first in opened:
        factor = _weight("less" if kind == "square" else "end", None, "a1111")
        pieces[first:] = [(one, weight * factor) for one, weight in pieces[first:]]
    return [(one, _checked(weight, one)) for one, weight in pieces]


def _parts(text: str, *, compel: bool) -> Iterator[tuple[str, str, str | None]]:
    """The marks and the texts between them: kind, text, and the weight that is written with it."""
    at = 0
    while at < len(text):
        mark = _MARKS.search(text, at)
        stop = len(text) if mark is None else mark.start()
        if stop > at:
            yield from _words(text[at:stop]) if compel else [("text", text[at:stop], None)]
        if mark is None:
            return
        at, kind = mark.end(), str(mark.lastgroup)
        behind = mark["number"]
        if compel and kind == "end":
            written = _BEHIND.match(text, at)
            at, behind = (at, None) if written is None else (written.end(), written[0])
        yield ("text", mark[0][1:], None) if kind == "escaped" else (kind, mark[0], behind)


def _words(text: str) -> Iterator[tuple[str, str, str | None]]:
    """compel's "word++" and "word-" among the others."""
    at = 0
    for found in _SIGNS.finditer(text):
        if found.start() > at:
            yield "text", text[at : found.start()], None
        yield "text", found["word"], found["signs"]
        at = found.end()
    if at < len(text):
        yield "text", text[at:], None


def _weight(kind: str, written: str | None, meaning: str) -> float:
    if kind == "less":
        return 1 / _STEP
    if written is None:
        return _STEP if meaning == "a1111" else 1.0
    if set(written) in ({"+"}, {"-"}):
        return (1.1 if written[0] == "+" else 0.9) ** len(written)
    return float(written)


def _checked(weight: float, text: str) -> float:
    if not -_MOST <= weight <= _MOST:
        raise PromptError(f"The weight of {text.strip()[:40]!r} is {weight:g}; it goes from {-_MOST:g} to {_MOST:g}.")
    return weight


def _joined(pieces: list[tuple[str, float]]) -> tuple[tuple[str, float], ...]:
    """Neighbours of the same weight as one."""
    found: list[tuple[str, float]] = []
    for text, weight in pieces:
        if found and found[-1][1] == weight:
            found[-1] = (found[-1][0] + text, weight)
        else:
            found.append((text, weight))
    return tuple(found)
