"""What an open page is told by itself: how its browser's jobs stand, their previews and pictures, and the model."""

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import gradio as gr

from app.jobs.events import JobEvent
from app.jobs.tickets import Sender, Ticket
from app.ui import line
from app.ui.notices import notice
from app.ui.parts import Changes, Seen
from app.ui.room import Room, TabPart
from app.ui.runs import MOST_PICTURES
from app.ui.views import Shows, View, drawn, scored
from app.ui.visits import SOURCE, sender_of
from pipelines.job import Job

_SECONDS_UNTOLD = 0.5  # after which it is looked anew how things stand
_PAUSE = 0.2  # seconds: a fast model makes more steps than a browser can show beside its other work
_MOST_TICKETS, _MOST_SHOWN = 100, 16  # of earlier visits: jobs, and pictures of each tab


def outputs(room: Room) -> list[Any]:
    """All that following changes."""
    tabs = [part for part in room.tabs.values() if part.runs is not None]
    found = [one for part in tabs for one in (*_runs(part).on.shown, *part.more)]
    return list(dict.fromkeys([*found, room.line, room.heading, room.news]))


async def follow(room: Room, visit: gr.Request, browser: str) -> AsyncGenerator[Changes]:
    """Tells a page as long as it is open; nothing where it is told already."""
    session = str(visit.session_hash)
    if not room.visits.begins_to_follow(session):
        yield gr.skip()
        return
    listener = room.workshop.broadcast.listen(None)
    told = Follower(room, sender_of(browser, visit))
    try:
        yield await asyncio.to_thread(told.opened)
        room.workshop.wake()
        async with aclosing(listener.heard(_SECONDS_UNTOLD)) as heard:  # type: ignore[type-var]
            async for first in heard:
                events = [] if first is None else [first]
                while (event := listener.next(0)) is not None:
                    events.append(event)
                room.visits.follows(session)
                if changes := await asyncio.to_thread(told.heard, events):
                    yield changes
                await asyncio.sleep(_PAUSE)
    finally:
        listener.close()
        room.visits.ends_to_follow(session)


class Follower:
    """One page's knowledge of its browser's jobs."""

    def __init__(self, room: Room, sender: Sender) -> None:
        self._room, self._sender = room, sender
        self._views: dict[str, View] = {}  # of jobs that are not over
        self._jobs: dict[str, Job] = {}
        self._pictures: dict[str, list[Seen]] = {}  # of each tab, the newest first
        self._staged: dict[str, tuple[str, tuple[int, ...], Mapping[int, bytes]]] = {}  # what each tab's stage shows
        self._others: set[str] = set()  # jobs that are not this browser's
        self._late: set[str] = set()  # jobs that are over, of which that was not heard yet
        self._looked = 0.0
        self._line = ""
        self._is_told_of_model = False
        self._news = -1

    def opened(self) -> Changes:
        """The page as it was left: pictures, what is drawn, what waits."""
        changes: Changes = {}
        tickets = self._room.workshop.queue.tickets(
            owner=self._sender.owner, client=self._sender.client, source=SOURCE, most=_MOST_TICKETS
        )
        for task, part in self._drawing_tabs():
            mine = [one for one in tickets if one.task == task]
            if mine:
                changes |= self._tab_opened(part, mine)
        for one in tickets:
            if not one.has_ended:
                self._views.setdefault(one.id, View(one))
        return changes | self._look()

    def heard(self, events: Sequence[JobEvent]) -> Changes:
        """What has changed by these events, and since it was looked last."""
        changes: Changes = {}
        is_due = time.monotonic() - self._looked > _SECONDS_UNTOLD
        for event in events:
            view = self._view(event)
            if view is not None:
                changes |= self._told(view, event)
            is_due = is_due or event.kind == "state"
        return changes | (self._look() if is_due else {})

    def _drawing_tabs(self) -> list[tuple[str, TabPart]]:
        return [(name, part) for name, part in self._room.tabs.items() if part.runs is not None]

    def _tab_opened(self, part: TabPart, tickets: Sequence[Ticket]) -> Changes:
        runs, found = _runs(part), list[Seen]()
        latest: View | None = None
        for ticket in tickets:
            if len(found) >= _MOST_SHOWN:
                break
            view = self._restored(ticket)
            found += [tile for one in view.drawn for tile in runs.tiles(one)]
            latest = latest or (view if view.drawn else None)
            if not ticket.has_ended:
                self._views[ticket.id] = view
        self._pictures[part.name] = found
        if latest is None:
            return {}
        return {runs.on.stage: ""} | runs.gallery(found) | runs.details(found[0]) | self._shown(part, latest)

    def _restored(self, ticket: Ticket) -> View:
        workshop = self._room.workshop
        there = [one for name in workshop.results(ticket) if (one := drawn(workshop, name)) is not None]
        results = sorted(map(scored, there), key=lambda one: -one.worth)  # those without scores stay as they come
        view = View(
            ticket,
            drawn=tuple(results),
            sheets=workshop.history.sheets(ticket.id, ticket.owner, fetched=True),
            notices=ticket.notices,
        )
        running = workshop.broadcast.running(ticket.id)
        return view if running is None else view.moved_on(running)

    def _view(self, event: JobEvent) -> View | None:
        """What is known of an event's job; None for other browsers' jobs."""
        known = self._views.get(event.job)
        if known is not None or event.job in self._others:
            return known
        ticket = self._room.workshop.queue.find(event.job)
        if ticket is None or (ticket.owner, ticket.client) != (self._sender.owner, self._sender.client):
            self._others.add(event.job)
            return None
        if ticket.has_ended and not event.ends:
            return None
        return self._restored(ticket)

    def _told(self, view: View, event: JobEvent) -> Changes:
        part, changes = self._part(view), Changes()
        if event.kind == "state":
            view = replace(view, ticket=self._room.workshop.queue.ticket(event.job))
            if view.ticket.has_ended:
                return self._ended(view, part)
        elif event.kind == "progress":
            view = view.moved_on(event)
        elif event.kind == "notice":
            view = replace(view, notices=tuple(dict.fromkeys((*view.notices, event.text))))
            notice(event.text)
        elif event.kind == "sheet":
            view = replace(view, sheets=self._room.workshop.history.sheets(event.job, view.ticket.owner, fetched=True))
            changes = self._shown(part, view)
        elif event.kind == "result" and event.name not in {one.entry.id for one in view.drawn}:
            view = self._with_result(view, event)
        self._views[event.job] = view
        changes |= self._pictured(part, view)
        return changes | self._at_work(part)

    def _part(self, view: View) -> TabPart | None:
        """The tab that shows a job, if there is one."""
        part = self._room.tabs.get(view.ticket.task)
        return part if part is not None and part.runs is not None else None

    def _with_result(self, view: View, event: JobEvent) -> View:
        one = drawn(self._room.workshop, event.name, event.text, event.worth)
        return view if one is None else replace(view, drawn=(*view.drawn, one))

    def _pictured(self, part: TabPart | None, view: View) -> Changes:
        """The gallery with a job's pictures before all earlier ones, and what the tab itself shows of them."""
        if part is None:
            return {}
        before, runs = self._pictures.setdefault(part.name, []), _runs(part)
        known = {seen.result for seen in before}
        if all(one.entry.id in known for one in view.drawn):
            return {}
        ours = {one.entry.id for one in view.drawn}
        there = [seen for seen in before if seen.result in ours]
        more = [tile for one in view.drawn if one.entry.id not in known for tile in runs.tiles(one)]
        worth = {one.entry.id: one.worth for one in view.drawn}
        own = sorted([*there, *more], key=lambda seen: -worth[seen.result])  # those without scores stay as they come
        before[:] = [*own, *(seen for seen in before if seen.result not in ours)][:MOST_PICTURES]
        return runs.gallery(before) | self._shown(part, view)

    def _ended(self, view: View, part: TabPart | None) -> Changes:
        for name in self._room.workshop.results(view.ticket):  # those that were not heard of, too
            if name not in {one.entry.id for one in view.drawn}:
                view = self._with_result(view, JobEvent(view.ticket.id, "result", name=name))
        changes = self._pictured(part, view)
        self._views.pop(view.ticket.id, None)
        self._late.discard(view.ticket.id)
        if part is None:
            return {}
        self._staged.pop(part.name, None)
        runs, pictures = _runs(part), self._pictures.get(part.name, [])
        changes |= runs.at_end(view, pictures)
        if view.drawn and pictures:
            changes |= runs.details(pictures[0]) | self._shown(part, view)  # which may stand where it was drawn
        self._jobs.pop(view.ticket.id, None)
        return changes | self._at_work(part)

    def _shown(self, part: TabPart | None, view: View) -> Changes:
        """What the tab itself shows of results."""
        if part is None or not part.more:
            return {}
        name = view.ticket.id
        if name not in self._jobs:
            self._jobs[name] = self._room.workshop.queue.job(name)
        return _runs(part).show(self._jobs[name], view)

    def _at_work(self, part: TabPart | None) -> Changes:
        """How the tab's job stands that is drawn, or is next."""
        if part is None:
            return {}
        mine = [view for view in self._views.values() if view.ticket.task == part.name]
        if not mine:
            return {}
        first = min(mine, key=_turn)
        is_open = self._room.workshop.is_open(first.ticket.model)
        staged = (first.ticket.id, first.seeds, first.previews)
        before, self._staged[part.name] = self._staged.get(part.name), staged
        is_new = before is None or before[:2] != staged[:2] or before[2] is not staged[2]
        return _runs(part).at_work(first, is_model_open=is_open, is_stage_new=is_new)

    def _look(self) -> Changes:
        """How things stand: places in the line, jobs whose end was not heard, the model."""
        self._looked = time.monotonic()
        workshop, changes = self._room.workshop, dict[Any, Any]()
        standings = workshop.standings() if self._views else {}
        for name, view in list(self._views.items()):
            ticket = workshop.queue.find(name)
            if ticket is None:
                self._views.pop(name)
            elif ticket.has_ended and name in self._late:  # nothing more was heard since
                changes |= self._ended(replace(view, ticket=ticket), self._part(view))
            elif ticket.has_ended:
                self._late.add(name)
            else:
                self._views[name] = replace(view, ticket=ticket, standing=standings.get(name))
        for _, part in self._drawing_tabs():
            changes |= self._at_work(part)
        return changes | self._line_changes() | self._model_changes() | self._news_changes()

    def _line_changes(self) -> Changes:
        failed = self._room.workshop.queue.tickets(
            owner=self._sender.owner,
            client=self._sender.client,
            source=SOURCE,
            states=("failed",),
            most=line.MOST_FAILED,
        )
        left = [one for one in failed if not self._room.visits.is_dismissed(one.id)]
        shown = line.markup_of(self._views.values(), left)
        if shown == self._line:
            return {}
        self._line = shown
        return {self._room.line: shown}

    def _news_changes(self) -> Changes:
        """How often the history has changed: a page that shows it looks at it anew."""
        count = self._room.workshop.history.changes
        if count == self._news:
            return {}
        self._news = count
        return {self._room.news: f'<span data-changes="{count}"></span>'}

    def _model_changes(self) -> Changes:
        if self._is_told_of_model:
            return {}
        facts, models = self._room.facts(), self._room.workshop.models
        if facts is None:
            trouble = models.troubles.get(models.names[0])
            self._is_told_of_model = trouble is not None
            return {} if trouble is None else {self._room.heading: self._room.headed(None, trouble)}
        self._is_told_of_model = True
        return {self._room.heading: self._room.headed(facts)}


def _turn(view: View) -> tuple[bool, int]:
    return (view.ticket.state != "drawing", 0 if view.standing is None else view.standing.place)


def _runs(part: TabPart) -> Shows:
    assert part.runs is not None
    return part.runs
