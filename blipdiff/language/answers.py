"""What is asked of a photo and what comes back: the values that every engine takes and gives."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from PIL import Image
from torch import Tensor

from blipdiff.conditioning.prompt import checked_text
from blipdiff.errors import PromptError
from blipdiff.images import PhotoFit

LONGEST_QUESTION = 500  # letters


@dataclass(frozen=True, slots=True)
class Turn:
    """A question that was asked before, and its answer."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Speaking:
    """How words are chosen: the likeliest, the best of several beams, or drawn.

    temperature: 0 for the likeliest words; share: words are drawn from the smallest set that has this share of the
    chances (Holtzman et al. 2020, arXiv:1904.09751); longest: tokens; length_penalty: of beams, below 0 for short ones
    """

    beams: int = 1
    temperature: float = 0.0
    share: float = 0.9
    longest: int = 30
    length_penalty: float = 1.0
    seed: int = 0

    def options(self) -> dict[str, Any]:
        """The same as arguments of transformers' `generate`."""
        drawn = {"do_sample": True, "temperature": self.temperature, "top_p": self.share} if self.temperature else {}
        beams = {"num_beams": self.beams, "length_penalty": self.length_penalty} if self.beams > 1 else {}
        return {"max_new_tokens": self.longest, "do_sample": False, **drawn, **beams}

    def returned(self, count: int = 1) -> dict[str, Any]:
        """`options` for so many texts, of beams all there are, with what they are worth."""
        texts = max(count, self.beams if not self.temperature else 1)
        return self.options() | {"num_return_sequences": texts, "return_dict_in_generate": True, "output_scores": True}

    def several(self, count: int) -> "Speaking":
        """The same for several texts, which are drawn: the likeliest ones would all be one."""
        return self if count == 1 or self.temperature else replace(self, temperature=1.0)

    def seeded(self, seed: int) -> "Speaking":
        """The same from another seed."""
        return replace(self, seed=seed)


LIKELIEST = Speaking()


@dataclass(frozen=True, slots=True)
class Answer:
    """What an engine says.

    chances: possible answers with their shares, the likeliest first, where the engine compares them; read: captions
    that the answer was read from; notes: what whoever asks should know
    """

    text: str
    chances: tuple[tuple[str, float], ...] = ()
    read: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Looked:
    """Where an engine looked: shares (rows, columns) of the photo's patches, of sum 1, and what they are shares of."""

    shares: Tensor
    about: str
    fit: PhotoFit


class Engine(Protocol):
    """Answers questions about photos; every call leaves it as it was."""

    @property
    def name(self) -> str:
        """By which it is asked for."""
        ...

    @property
    def about(self) -> str:
        """One sentence: what it is, and what it is not for."""
        ...

    def answer(
        self, photo: Image.Image, question: str, *, turns: Sequence[Turn] = (), speaking: Speaking = LIKELIEST
    ) -> Answer:
        """Raises: PromptError for a question that it cannot read, ImageError for a photo that shows nothing."""
        ...

    def captions(self, photo: Image.Image, count: int, speaking: Speaking = LIKELIEST) -> list[str]:
        """`count` captions, drawn where that is more than one."""
        ...

    def matches(self, photo: Image.Image, texts: Sequence[str]) -> list[float]:
        """From 0 to 1, for each text: how likely the photo shows that."""
        ...

    def looked(self, photo: Image.Image, question: str, answer: Answer, turns: Sequence[Turn] = ()) -> Looked:
        """Where it looked for this answer to this question."""
        ...


def checked_question(question: str) -> str:
    """The question without the space around it. Raises: PromptError for an empty, endless or unreadable one."""
    text = " ".join(checked_text(question, "question").split())
    if not text:
        raise PromptError('The question is empty; ask something of the photo, as in "what colour is the cup?".')
    if len(text) > LONGEST_QUESTION:
        raise PromptError(f"The question is {len(text):,} letters long; engines read at most {LONGEST_QUESTION}.")
    return text
