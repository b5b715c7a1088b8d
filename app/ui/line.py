"""The browser's jobs in the line: each with its place, and what can be done with it."""

from collections.abc import Collection, Sequence

import gradio as gr

from app.jobs.tickets import Sender, Ticket
from app.ui.markup import escaped
from app.ui.notices import notice
from app.ui.room import Room, title_of
from app.ui.texts import retold, said
from app.ui.views import View, duration
from app.ui.visits import sender_of
from blipdiff.errors import BlipdiffError

MOST_FAILED = 5
PRESSED = """element.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-act]");
  if (button) trigger("click", { act: button.dataset.act, job: button.dataset.job });
});"""


def markup_of(views: Collection[View], failed: Sequence[Ticket]) -> str:
    """What is drawn, what waits in its order, and what has failed; empty for nothing."""
    drawing = [one for one in views if one.ticket.state == "drawing"]
    waiting = sorted((one for one in views if one.ticket.state != "drawing"), key=_place)
    rows = [_drawing(view) for view in drawing]
    rows += [_waiting(view, is_first=view is waiting[0]) for view in waiting]
    rows += [_failed(ticket) for ticket in failed]
    if not rows:
        return ""
    title = escaped(said("Your jobs"))
    return f'<section class="line" aria-label="{title}"><h2>{title}</h2><ul>{"".join(rows)}</ul></section>'


def acted(room: Room, visit: gr.Request, browser: str, event: gr.EventData) -> None:
    """A press on one of the line's buttons; the line itself is told afresh by whoever follows it."""
    given = event._data if isinstance(event._data, dict) else {}
    sender, name = sender_of(browser, visit), given.get("job")
    ticket = room.workshop.queue.find(name) if isinstance(name, str) else None
    if ticket is None or (ticket.owner, ticket.client) != (sender.owner, sender.client):
        return
    try:
        _act(room, str(given.get("act")), ticket, sender)
    except BlipdiffError as error:  # it has begun, or is over, in the meantime
        notice(str(error))


def _act(room: Room, act: str, ticket: Ticket, sender: Sender) -> None:
    workshop = room.workshop
    if act == "cancel":
        workshop.cancel(ticket.id)
    elif act == "retry":
        workshop.retry(ticket.id)
    elif act == "forget":
        room.visits.dismiss(ticket.id)
    elif act == "up":
        whose = (sender.owner, sender.client)
        mine = [one.id for one, _ in workshop.queue.waiting() if (one.owner, one.client) == whose]
        place = mine.index(ticket.id) if ticket.id in mine else 0
        if place > 0:
            workshop.move(ticket.id, mine[place - 1])


def _place(view: View) -> tuple[int, str]:
    return (10**6 if view.standing is None else view.standing.place, view.ticket.id)


def _drawing(view: View) -> str:
    at = {"step": view.step, "steps": view.steps}
    where = said("step {step} of {steps}", **at) if view.steps else said("begins")
    buttons = [] if view.ticket.is_stopping else [_button("cancel", view.ticket, said("Cancel"))]
    return _item("drawing", view.ticket, where, buttons)


def _waiting(view: View, *, is_first: bool) -> str:
    at = view.standing
    if at is None:
        where = said("waits")
    elif at.seconds is None:
        where = said("place {place}", place=at.place)
    else:
        time = duration(max(1, round(at.seconds)))
        where = said("place {place}, done in about {time}", place=at.place, time=time)
    up = [] if is_first else [_button("up", view.ticket, said("Move up"))]
    return _item("waiting", view.ticket, where, [*up, _button("cancel", view.ticket, said("Cancel"))])


def _failed(ticket: Ticket) -> str:
    buttons = [_button("retry", ticket, said("Try again")), _button("forget", ticket, said("Remove"))]
    return _item("failed", ticket, retold(ticket.error) if ticket.error else said("failed"), buttons)


def _item(state: str, ticket: Ticket, where: str, buttons: Sequence[str]) -> str:
    task = retold(title_of(ticket.task))
    what = said("{task}: {name}", task=task, name=ticket.name) if ticket.name else task
    told = f'<span class="what">{escaped(what)}</span><span class="where">{escaped(where)}</span>'
    acts = f'<span class="acts">{"".join(buttons)}</span>'
    return f'<li class="{state}" data-job="{escaped(ticket.id)}">{told}{acts}</li>'


def _button(act: str, ticket: Ticket, label: str) -> str:
    about = said("{label}: {what}", label=label, what=ticket.name or retold(title_of(ticket.task)))
    data = f'data-act="{act}" data-job="{escaped(ticket.id)}"'
    return f'<button type="button" {data} aria-label="{escaped(about)}">{escaped(label)}</button>'
