"""What is looked for in the history, as conditions on its index."""

from dataclasses import dataclass
from typing import Any

_SAID = "words || char(10) || lower(task) || char(10) || lower(model)"


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for: every word of `words`, in the request, its subjects, task and model; None stands for all."""

    words: str = ""
    subject: str | None = None  # a subject's key, or its word
    task: str | None = None
    model: str | None = None
    day: str | None = None
    job: str | None = None
    owner: str | None = None
    favourites: bool = False
    binned: bool = False


@dataclass(frozen=True, slots=True)
class Board:
    """Pictures that belong together: of a day, or of a subject."""

    key: str
    name: str
    count: int
    cover: str  # the latest one's id


def conditions(asked: Search) -> tuple[list[str], list[Any]]:
    """What rows of the index must fulfil, and the values in that."""
    wanted, values = ["is_binned = ?"], list[Any]((asked.binned,))
    for word in asked.words.casefold().split():
        wanted.append(f"instr({_SAID}, ?) > 0")
        values.append(word)
    for name in ("task", "model", "day", "job", "owner"):
        if (value := getattr(asked, name)) is not None:
            wanted.append(f"{name} = ?")
            values.append(value)
    if asked.subject is not None:
        wanted.append("(subject_key = ? OR subject = ?)")
        values += [asked.subject, asked.subject]
    if asked.favourites:
        wanted.append("is_favourite = 1")
    return wanted, values
