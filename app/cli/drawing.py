"""A run's events on the terminal: a bar while it draws, notices as they come."""

import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

from app.cli.terminal import warn
from pipelines.studio import Notice, Progress

if TYPE_CHECKING:
    from pipelines.evaluate import EvaluationProgress

Event = TypeVar("Event")


def followed(events: Iterable[Event | Progress | Notice], notices: list[str], *, quiet: bool) -> Iterator[Event]:
    """The events that are results; progress moves a bar, and notices go to `notices` and to the standard error."""
    from tqdm import tqdm

    with tqdm(total=None, unit="step", disable=quiet or not sys.stderr.isatty(), leave=False) as bar:
        for event in events:
            if isinstance(event, Progress):
                bar.total = event.steps
                bar.update(event.step - bar.n)
            elif isinstance(event, Notice):
                notices.append(event.text)
                if not quiet:
                    warn(event.text)
            else:
                yield event


def staged(events: "Iterable[Event | EvaluationProgress]") -> Iterator[Event]:
    """The events of an evaluation that are results; progress moves a bar that names the stage."""
    from tqdm import tqdm

    from pipelines.evaluate import EvaluationProgress

    with tqdm(total=None, unit="", disable=not sys.stderr.isatty(), leave=False) as bar:
        for event in events:
            if isinstance(event, EvaluationProgress):
                bar.total, bar.n = event.total, event.done
                bar.set_description(event.stage)
            else:
                bar.clear()
                yield event
