"""Which model draws: chosen above all tabs; told, got and stopped in Settings; a hint where mini is given a photo."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import gradio as gr

from app.jobs.fetching import Fetched, Fetching
from app.libraries import load_libraries
from app.ui import markup
from app.ui.components import Listed
from app.ui.events import AT_ONCE, ON_PHOTOS, on_change, on_click
from app.ui.notices import guarded, notice
from app.ui.parts import Changes, Sent
from app.ui.photographs import any_photograph
from app.ui.room import Room
from app.ui.texts import retold, said
from app.ui.visits import is_at_the_machine
from blipdiff.errors import BlipdiffError

SETTINGS_TAB = "settings-tab"
BUNDLED, PUBLISHED = "mini", "Salesforce/blipdiffusion"
_SECONDS = 0.5  # between two looks at what is being fetched
ELSEWHERE = "That is done at the machine itself: open the page there, or use the command line."
_OF_PUBLISHED = (
    "The published model, {name}, draws photographs too. It comes from huggingface.co: nothing is asked there before "
    "you press a button here. What has come is kept when you stop, and goes on from there."
)
_PHOTO = (
    "This looks like a photograph. mini is a small model for trying things and draws drawn things; photographs take "
    "the published model."
)


class ModelChoice:
    """The row above the tabs: which model draws, and the hint with its button."""

    def __init__(self, room: Room) -> None:
        self._room = room
        names = room.workshop.models.names
        self.chosen = Listed(
            [(shown_name(name), name) for name in names], value=names[0], label="Model that draws",
            elem_id="model-choice", min_width=240,
        )  # fmt: skip
        room.model_choice = self.chosen
        with gr.Row(visible=False, elem_id="photo-hint", elem_classes="photo-hint") as self._hint:
            gr.HTML(markup.message(_PHOTO), elem_id="photo-hint-text")
            self._way = gr.Button("Get the published model", size="sm", elem_id="photo-hint-button")
        room.later(self._connect)

    def offered(self) -> Any:
        """The list as it is now."""
        return gr.Dropdown(choices=[(shown_name(name), name) for name in self._room.workshop.models.names])

    def _connect(self) -> None:
        room = self._room
        components = [component for component, _ in room.of_model]
        on_change(self.chosen.change, self._changed, self.chosen, [room.heading, self._hint, *components])
        for part in room.tabs.values():
            field = part.takes.get("photo") or part.takes.get("subject")
            field = field.outputs[0] if isinstance(field, Sent) else field
            if field is not None and hasattr(field, "upload"):
                on_change(field.upload, self._looked, [self.chosen, field], self._hint, ON_PHOTOS)
        on_click(self._way, self._go, None, [self.chosen, self._hint, room.switch])

    def _changed(self, name: str) -> Changes:
        """What the page tells of the model that is chosen, and whether it will fit."""
        room = self._room
        hidden: Changes = {} if name == BUNDLED else {self._hint: gr.Row(visible=False)}
        facts = room.facts(name)
        if facts is None:
            if (warning := room.workshop.models.warning(name)) is not None:
                notice(warning)
            told = markup.heading({said("Model"): shown_name(name)}, said("It is opened for its first picture."))
            return {room.heading: told, **hidden}
        known = {component: shown(facts) for component, shown in room.of_model}
        return {**known, room.heading: room.headed(facts), **hidden}

    def _looked(self, name: str, given: Any) -> Changes:
        """The hint, where mini is given what looks like a photograph."""
        paths = [given] if isinstance(given, str) else [str(one) for one in given or []]
        is_seen = self._room.workshop.models.named(name) == BUNDLED and any_photograph(paths)
        return {self._hint: gr.Row(visible=is_seen)}

    def _go(self) -> Changes:
        """The published model is chosen where it is here; else where it is got."""
        if PUBLISHED in self._room.workshop.models.names:
            return {self.chosen: gr.Dropdown(value=PUBLISHED), self._hint: gr.Row(visible=False)}
        return {self._room.switch: gr.Tabs(selected=SETTINGS_TAB)}


class ModelsPart:
    """The part of Settings on models: those that are here, what they need, and the published one from the hub."""

    def __init__(self, room: Room, choice: ModelChoice) -> None:
        self._room, self._choice = room, choice
        self._fetching = Fetching(room.workshop.offer)
        gr.Markdown("### Models")
        self._list = gr.HTML(markup.message("Looking at what is here."), elem_id="models-list")
        gr.Markdown(
            said(_OF_PUBLISHED, name=PUBLISHED),
            elem_classes="hint",
        )
        with gr.Row():
            self._ask = gr.Button("How large is it?", elem_id="model-ask", min_width=90)
            self._get = gr.Button("Get the published model", variant="primary", elem_id="model-get", min_width=90)
            self._stop = gr.Button("Stop", elem_id="model-stop", min_width=80)
        self._status = gr.HTML(elem_id="model-status", elem_classes="status")

    def connect(self, tab: Any) -> None:
        """tab: Settings, whose opening looks at what is here."""
        going = [self._status, self._list, self._choice.chosen]
        on_click(self._ask, self._asked, None, self._status)
        on_click(self._get, self._got, None, going)
        on_click(self._stop, self._stopped, None, self._status)
        on_change(tab.select, self._looked, None, going)
        self._room.page.load(guarded(self._opened), None, going, **AT_ONCE)

    async def _opened(self) -> AsyncGenerator[Changes]:
        """The models that may be chosen; what they need is told where Settings is opened."""
        await asyncio.to_thread(self._offer)
        yield {self._choice.chosen: self._choice.offered()}
        if self._fetching.seen.is_going:
            async for changes in self._followed():
                yield changes

    async def _looked(self) -> AsyncGenerator[Changes]:
        """The models that are here now, each of which may be asked for from now on; and what is being fetched."""
        yield await asyncio.to_thread(self._listed)
        if self._fetching.seen.is_going:
            async for changes in self._followed():
                yield changes

    async def _followed(self) -> AsyncGenerator[Changes]:
        """How far a fetching is, until it is over; and what is here then."""
        while (seen := self._fetching.seen).is_going:
            yield {self._status: told(seen)}
            await asyncio.sleep(_SECONDS)
        yield {**await asyncio.to_thread(self._listed), self._status: told(seen)}

    def _offer(self) -> list[Any]:
        """What is here; what can draw may be asked for from now on."""
        load_libraries()
        from blipdiff.checkpoints.inventory import models_here  # which loads torch

        held = models_here(self._room.settings.models)
        for one in held:
            if one.draws:
                self._room.workshop.offer(one.name)
        return held

    def _listed(self) -> Changes:
        held = self._offer()
        rows = [(shown_name(one.name), one.kind, one.can, one.size, one.licence, _need(one)) for one in held if one.can]
        return {self._list: _table(rows), self._choice.chosen: self._choice.offered()}

    def _asked(self, visit: gr.Request) -> Changes:
        """Size, licence and room on the disk, before anything is fetched."""
        if not is_at_the_machine(visit):
            return {self._status: markup.message(said(ELSEWHERE), "bad")}
        load_libraries()
        from blipdiff.checkpoints.inventory import offered  # which loads torch
        from blipdiff.checkpoints.memory import gigabytes

        try:
            listing = offered(PUBLISHED)
        except BlipdiffError as error:
            return {self._status: markup.message(str(error), "bad")}
        told = {
            "name": PUBLISHED,
            "size": gigabytes(listing.size),
            "rest": gigabytes(listing.missing),
            "licence": listing.licence or said("not told"),
            "free": gigabytes(listing.free),
        }
        if listing.missing != listing.size:
            told["size"] = said("{size}, {rest} still to come", **told)
        text = said("{name}: {size}; licence: {licence}; {free} are free on the disk.", **told)
        return {self._status: markup.message(text)}

    async def _got(self, visit: gr.Request) -> AsyncGenerator[Changes]:
        """It begins, or goes on."""
        if not is_at_the_machine(visit):
            yield {self._status: markup.message(said(ELSEWHERE), "bad")}
            return
        self._fetching.begin(PUBLISHED)
        async for changes in self._followed():
            yield changes

    def _stopped(self, visit: gr.Request) -> Changes:
        if is_at_the_machine(visit):
            self._fetching.stop()
        return {self._status: told(self._fetching.seen)}


def shown_name(name: str) -> str:
    """A model's name as people read it: of a folder only the last part."""
    return Path(name).name if Path(name).is_absolute() else name


def told(seen: Fetched) -> str:
    """How far a fetching is, as HTML."""
    at = {"name": seen.name, "there": f"{seen.there / 1e6:,.0f}", "size": f"{seen.size / 1e6:,.0f}"}
    if seen.state == "going":
        text = said("Fetching {name}: {there} of {size} MB", **at)
        text = text if seen.size else said("Asking the hub for {name}", **at)
        return markup.progress(text, seen.there if seen.size else None, seen.size or 1)
    texts = {
        "none": (said("Nothing is being fetched."), "plain"),
        "stopping": (said("Stopping; {there} of {size} MB are here.", **at), "plain"),
        "stopped": (said("Stopped at {there} of {size} MB. Press Get to go on from there.", **at), "plain"),
        "done": (said("{name} is here. Choose it above, where it says which model draws.", **at), "good"),
        "failed": (seen.trouble, "bad"),
    }
    return markup.message(*texts[seen.state])


def _need(one: Any) -> str:
    """What a model needs of memory to draw here, in words."""
    load_libraries()
    from blipdiff.checkpoints.memory import free_memory, gigabytes, needed_memory
    from blipdiff.devices import placement

    if not one.draws or one.kind == "LAVIS folder":
        return retold(one.trouble) if one.trouble else said("not known")
    place = placement()
    try:
        need, free = needed_memory(one.place, place.dtype), free_memory(place.device)
    except BlipdiffError as error:
        return str(error)
    told = {"need": gigabytes(need.total), "free": gigabytes(free)}
    if need.total <= free:
        return said("{need} of memory: fits, {free} are free", **told)
    return said("{need} of memory: does not fit, {free} are free", **told)


def _table(rows: list[tuple[str, str, str, int, str | None, str]]) -> str:
    names = (said("Model"), said("Kind"), said("Draws"), said("On the disk"), said("Licence"), said("Needs here"))
    heads = "".join(f"<th>{markup.escaped(name)}</th>" for name in names)
    cells = (
        (name, retold(kind), retold(can), f"{size / 1e6:,.0f} MB", licence or said("not told"), need)
        for name, kind, can, size, licence, need in rows
    )
    body = "".join("<tr>" + "".join(f"<td>{markup.escaped(cell)}</td>" for cell in row) + "</tr>" for row in cells)
    frame = f'<div class="models" tabindex="0" role="region" aria-label="{markup.escaped(said("Models"))}">'
    return f"{frame}<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
