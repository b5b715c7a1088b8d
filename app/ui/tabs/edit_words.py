"""From a sentence and the words that were clicked in it to what an edit is asked."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.ui.texts import said
from blipdiff.errors import PromptError
from pipelines.edit.request import EditRequest

_ARTICLES = frozenset(("a", "an", "the"))
_MARKS = ".,;:!?"


@dataclass(frozen=True, slots=True)
class SwappedWords:
    """What `EditRequest` calls source, target, prompt and focus; `named` is the clicked words alone."""

    source: str
    target: str
    prompt: str
    focus: str
    named: str


def swapped_words(sentence: str, clicked: Sequence[int], instead: str) -> SwappedWords:
    """The request's words for swapping the clicked ones, which stand side by side, for `instead`.

    The subject stands at the sentence's beginning; words before the clicked ones go along in source and target.

    Raises: PromptError for an empty sentence, or for words that are not clicked, not there or not side by side.
    """
    words, places = sentence.split(), sorted(set(clicked))
    if not words:
        raise PromptError(said("Say what the picture shows: 'a cat sits on a sofa'."))
    if not places:
        raise PromptError(said("Click on the words that are to be swapped."))
    if places[-1] >= len(words) or places != list(range(places[0], places[-1] + 1)):
        raise PromptError(said("Click on words that stand side by side: one thing is swapped at a time."))
    first = 1 if words[0].lower() in _ARTICLES and places[0] > 0 else 0
    before, after = words[first : places[0]], words[places[-1] + 1 :]
    named = " ".join(words[place] for place in places).strip(_MARKS)
    target = instead.strip() or named
    return SwappedWords(
        source=" ".join([*before, named]),
        target=" ".join([*before, target]),
        prompt=" ".join(after),
        focus=named if before else "",
        named=named,
    )


def sentence_of(request: EditRequest) -> tuple[str, str]:
    """What a request's picture shows, as a sentence, and what was swapped in."""
    said = f"{request.source} {request.prompt}".strip()
    return said, request.drawn if request.category is None else request.category


def clicked_words(request: EditRequest) -> list[int]:
    """Which words of `sentence_of` a request were clicked on: the last ones of what is swapped."""
    words = request.source.split()
    return list(range(len(words) - len((request.focus or request.source).split()), len(words)))
