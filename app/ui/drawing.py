"""A run on a tab, told step by step, stopped when it is called off."""

from collections.abc import Callable, Generator
from contextlib import closing
from typing import Any, TypeAlias

from app.ui import markup
from app.ui.files import without_folder
from app.ui.notices import notice
from app.ui.orders import Order
from blipdiff.errors import BlipdiffError
from blipdiff.sampling.stopping import until_stopped
from pipelines.studio import Notice, Progress

Changes: TypeAlias = dict[Any, Any]
Run: TypeAlias = Generator[Changes, None, Changes]  # its last change is told when another run may be asked for


def followed(
    order: Order,
    status: Any,
    begin: Callable[[], Callable[[], Any]],
    shown: Callable[[Any], Changes],
    ended: Callable[[], Changes],
) -> Run:
    """Changes of the page while an order is drawn, and the last of them; errors a person can mend become the status.

    begin: checks what was asked for, and gives what starts its events; shown: what a result changes; ended: what its
    end does
    """
    try:
        start = begin()
        with closing(start()) as events:
            yield {status: markup.progress("Reading the subjects and the words", None, 1)}
            for event in until_stopped(events, order.called_off.is_set):
                if order.called_off.is_set():
                    return {status: markup.message("Cancelled.")}
                if isinstance(event, Progress):
                    text = f"Step {event.step} of {event.steps}"
                    yield {status: markup.progress(text, event.step, event.steps)}
                elif isinstance(event, Notice):
                    notice(event.text)
                else:
                    yield shown(event)
        if order.called_off.is_set():  # within a step
            return {status: markup.message("Cancelled.")}
        return ended()
    except BlipdiffError as error:
        return {status: markup.message(without_folder(str(error)), "bad")}
