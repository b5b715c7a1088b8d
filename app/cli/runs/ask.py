"""A photo is asked questions; answers are said as they come."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from app.cli.terminal import say, say_json, warn
from blipdiff.devices import placement
from blipdiff.errors import OutputError
from blipdiff.images import open_picture
from blipdiff.language.answers import Turn
from blipdiff.language.engines import load_engine
from blipdiff.outputs import written_file
from pipelines.ask.request import AskRequest
from pipelines.ask.run import Asked, answers
from pipelines.ask.run import heat_map as heat_map_of

PARTS = ("weights", "matcher", "captioner", "reader")
_SHOWN = 3  # other answers


def ask_photo(
    photo: Path,
    questions: Sequence[str] | None,
    engine: str,
    heat_map: Path | None,
    device: str,
    dtype: str,
    download: bool,
    as_json: bool,
    **asked: Any,
) -> None:
    """Runs the command."""
    if heat_map is not None and heat_map.suffix.lower() != ".png":
        raise OutputError(f"A heat map is written as .png; {heat_map.name} has another ending.")
    parts = take_parts(asked)
    request = AskRequest(**asked)
    picture = open_picture(photo)
    loaded = load_engine(engine, weights=parts, place=placement(device, dtype), download=download)
    told: list[dict[str, Any]] = []
    turns: list[Turn] = []
    noted: list[str] = []
    last: Asked | None = None
    for question in questions or _typed():
        for last in answers(loaded, picture, [question], request, turns=turns, look=heat_map is not None):
            turns.append(Turn(last.question, last.answer.text))
            told.append(last.as_mapping())
            if not as_json:
                _say(last, noted)
    if last is not None and heat_map is not None:
        _write_heat(picture, last, heat_map)
    if as_json:
        say_json({"engine": loaded.name, "about": loaded.about, "answers": told})


def take_parts(asked: dict[str, Any]) -> dict[str, str]:
    """Takes the engine's networks out of a command's options: those that were given."""
    given = {name: asked.pop(name, None) for name in PARTS}
    return {name: source for name, source in given.items() if source}


def _typed() -> Iterator[str]:
    """Questions from the standard input, until an empty line or its end."""
    for line in sys.stdin:
        if not line.strip():
            return
        yield line


def _say(asked: Asked, noted: list[str]) -> None:
    say(asked.answer.text)
    for text, share in asked.answer.chances[:_SHOWN]:
        say(f"{100 * share:5.1f} %  {text}")
    for note in asked.answer.notes:
        if note not in noted:  # once for a photo, not for every question
            noted.append(note)
            warn(note)


def _write_heat(picture: Image.Image, asked: Asked, path: Path) -> None:
    with written_file(path) as part:
        heat_map_of(picture, asked).save(part, format="PNG")
    if asked.looked is not None:
        warn(asked.looked.about)
