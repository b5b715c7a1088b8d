"""Engines that answer questions for the page and the interface: those that are offered here, one open at a time."""

from collections.abc import Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any

from app.libraries import load_libraries
from blipdiff.errors import ConfigError, PromptError
from pipelines.ask.request import AskRequest

if TYPE_CHECKING:  # which loads torch
    from PIL import Image

    from blipdiff.language.answers import Engine, Turn
    from pipelines.ask.run import Asked

BUNDLED = "mini-describe"
MOST_QUESTIONS = 20  # of one request, earlier turns among them


class Engines:
    """The bundled one, and what the operator names: "blip-vqa, blip-2=FOLDER, plug-and-play:reader=FOLDER"."""

    def __init__(self, offered: str = "") -> None:
        """Raises: ConfigError for what is no list of engines."""
        self._parts = _parts(offered)
        self._open: tuple[str, Engine] | None = None
        self._computing = Lock()

    @property
    def names(self) -> tuple[str, ...]:
        """Those that may be asked, the bundled one first."""
        return tuple(self._parts)

    def answers(
        self,
        name: str,
        photo: "Image.Image",
        questions: Sequence[str],
        request: AskRequest | None = None,
        *,
        turns: "Sequence[Turn]" = (),
        look: bool = False,
    ) -> "tuple[Engine, list[Asked]]":
        """The engine that was asked, and its answers.

        Raises: ConfigError for an engine that is not offered, PromptError for no question and for too many,
        CheckpointError for weights that are not here, and what the engine raises.
        """
        if not questions or len(questions) + len(turns) > MOST_QUESTIONS:
            raise PromptError(
                f"{len(questions)} questions after {len(turns)} turns; ask 1 to {MOST_QUESTIONS} at a time."
            )
        if name not in self._parts:
            raise ConfigError(f"No engine {name!r:.60} is offered here; there are: {', '.join(self.names)}.")
        load_libraries()
        from pipelines.ask.run import answers

        with self._computing:
            engine = self._opened(name)
            return engine, list(answers(engine, photo, questions, request, turns=turns, look=look))

    def _opened(self, name: str) -> "Engine":
        load_libraries()
        from blipdiff.devices import placement
        from blipdiff.language.engines import load_engine

        if self._open is None or self._open[0] != name:
            self._open = None  # before the next one: two may be more than memory holds
            self._open = name, load_engine(name, weights=self._parts[name], place=placement())
        return self._open[1]


def _parts(offered: str) -> dict[str, dict[str, Any]]:
    """By engine, the folders of its parts that were named."""
    found: dict[str, dict[str, Any]] = {BUNDLED: {}}
    for told in filter(None, map(str.strip, offered.split(","))):
        named, sign, source = told.partition("=")
        name, _, part = named.strip().partition(":")
        if not name or (sign and not source.strip()):
            raise ConfigError(f"{told!r:.80} offers no engine; write NAME, NAME=FOLDER or NAME:PART=FOLDER.")
        parts = found.setdefault(name, {})
        if sign:
            parts[part or "weights"] = source.strip()
    return found
