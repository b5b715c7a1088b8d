"""A run on a tab: one at a time for each visit, told step by step, stopped when it is called off."""

from collections.abc import Callable, Iterator
from contextlib import closing
from html import escape
from typing import Any, TypeAlias

import gradio as gr

from app.ui import markup
from app.ui.orders import Order, Orders
from blipdiff.errors import BlipdiffError
from pipelines.studio import Notice, Progress

Changes: TypeAlias = dict[Any, Any]

BUSY = "Your last request is still being drawn; cancel it first, or wait."


def followed(
    visit: gr.Request,
    orders: Orders,
    status: Any,
    begin: Callable[[], tuple[Any, Callable[[], Any]]],
    shown: Callable[[Any], Changes],
    ended: Callable[[], Changes],
) -> Iterator[Changes]:
    """Changes of the page while a run goes on; errors a person can mend become the status.

    begin: checks what was asked for, and gives (request, what starts its events); shown: what a result changes;
    ended: what its end does
    """
    name = str(visit.session_hash)
    try:
        request, start = begin()
    except BlipdiffError as error:
        yield {status: markup.message(str(error), "bad")}
        return
    order = Order(request, ())
    if not orders.place(name, order):
        gr.Warning(escape(BUSY))
        yield gr.skip()
        return
    orders.begin(name)
    try:
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
                    gr.Warning(escape(event.text))
                else:
                    yield shown(event)
        yield ended()
    except BlipdiffError as error:
        yield {status: markup.message(str(error), "bad")}
    finally:
        orders.end(name)


def call_off(orders: Orders, status: Any) -> Callable[[gr.Request], Changes]:
    """What a Cancel button does: the run itself tells its end."""

    def cancel(visit: gr.Request) -> Changes:
        if orders.call_off(str(visit.session_hash)) == "drawing":
            return {status: markup.progress("Stopping after this step", None, 1)}
        return {status: markup.message("Nothing is being drawn.")}

    return cancel
