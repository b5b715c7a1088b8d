"""Ask a photo: questions in a row, each with the turns before it -> answers, and where the engine looked."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from blipdiff.errors import ConfigError
from blipdiff.language.answers import Answer, Engine, Looked, Turn, checked_question
from blipdiff.language.heat import heat_picture
from pipelines.ask.request import AskRequest


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A question, its answer, and where the engine looked for it, if that was wanted."""

    question: str
    answer: Answer
    looked: Looked | None = None

    def as_mapping(self) -> dict[str, Any]:
        """The same as JSON has it, without the map."""
        answer = self.answer
        told: dict[str, Any] = {"question": self.question, "answer": answer.text}
        told |= {"chances": [*map(list, answer.chances)], "read": list(answer.read), "notes": list(answer.notes)}
        return told if self.looked is None else told | {"looked": self.looked.about}


def answers(
    engine: Engine,
    photo: Image.Image,
    questions: Sequence[str],
    request: AskRequest | None = None,
    *,
    turns: Sequence[Turn] = (),
    look: bool = False,
) -> Iterator[Asked]:
    """The answers, one by one; each question is asked with the turns before it.

    Raises: PromptError for a question that cannot be read, ImageError for a photo that shows nothing.
    """
    speaking = (request or AskRequest()).speaking
    asked = [checked_question(question) for question in questions]
    said = list(turns)
    for question in asked:
        answer = engine.answer(photo, question, turns=tuple(said), speaking=speaking)
        looked = engine.looked(photo, question, answer, tuple(said)) if look else None
        yield Asked(question, answer, looked)
        said.append(Turn(question, answer.text))


def heat_map(photo: Image.Image, asked: Asked) -> Image.Image:
    """The photo under the colours of where was looked. Raises: ConfigError where that was not wanted when asking."""
    if asked.looked is None:
        raise ConfigError("Where the engine looked was not kept; ask with look=True.")
    return heat_picture(photo, asked.looked)
