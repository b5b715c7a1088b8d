"""A run on a tab, told step by step, stopped when it is called off."""

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, TypeAlias

from app.ui import markup
from app.ui.notices import notice
from app.ui.orders import Order
from blipdiff.errors import BlipdiffError
from pipelines.studio import Notice, Progress

Changes: TypeAlias = dict[Any, Any]


def followed(
    order: Order,
    status: Any,
    begin: Callable[[], Callable[[], Any]],
    shown: Callable[[Any], Changes],
    ended: Callable[[], Changes],
) -> Iterator[Changes]:
    """Changes of the page while an order is drawn; errors a person can mend become the status.

    begin: checks what was asked for, and gives what starts its events; shown: what a result changes; ended: what its
    end does
    """
    try:
        start = begin()
        with closing(start()) as events:
            yield {status: markup.progress("Reading the subjects and the words", None, 1)}
            for event in events:
                if order.called_off.is_set():
                    yield {status: markup.message("Cancelled.")}
                    return
                if isinstance(event, Progress):
                    text = f"Step {event.step} of {event.steps}"
                    yield {status: markup.progress(text, event.step, event.steps)}
                elif isinstance(event, Notice):
                    notice(event.text)
                else:
                    yield shown(event)
        yield ended()
    except BlipdiffError as error:
        yield {status: markup.message(str(error), "bad")}
