"""A run's events on the terminal: a bar while it draws, notices as they come."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from pipelines.studio import Notice, Progress

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
                    bar.write(event.text, file=sys.stderr)
            else:
                yield event
