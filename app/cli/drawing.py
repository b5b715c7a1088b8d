"""A run's events on the terminal: how far it is while it draws, notices as they come."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

from pipelines.sizes import purpose

from app.cli.progress import told, waiting
from app.cli.terminal import warn
from pipelines.studio import Notice, Progress, Studio

if TYPE_CHECKING:
    from pipelines.evaluate.requests import EvaluationProgress

Event = TypeVar("Event")


def opened(model: str, *, device: str, dtype: str, download: bool = False, quiet: bool = False) -> Studio:
    """A studio with the model that a command was given; says what it is for, and where loading takes a while."""
    with waiting(f"Loading {model}", quiet=quiet or download):  # what is fetched tells of itself
        studio = Studio.open(model, device=device, dtype=dtype, download=download)
    sentence = purpose(studio.model)
    if sentence is not None and not quiet:
        warn(sentence)
    return studio


def followed(events: Iterable[Event | Progress | Notice], notices: list[str], *, quiet: bool) -> Iterator[Event]:
    """The events that are results; progress is shown, and notices go to `notices` and to the standard error."""
    with told("steps", quiet=quiet) as shown:
        for event in events:
            if isinstance(event, Progress):
                shown.show(event.step, event.steps)
            elif isinstance(event, Notice):
                notices.append(event.text)
                shown.say(event.text)
            else:
                yield event


def staged(events: "Iterable[Event | EvaluationProgress]") -> Iterator[Event]:
    """The events of an evaluation that are results; progress is shown with the name of its stage."""
    from pipelines.evaluate.requests import EvaluationProgress

    with told() as shown:
        for event in events:
            if isinstance(event, EvaluationProgress):
                shown.show(event.done, event.total, event.stage)
            else:
                shown.clear()
                yield event
