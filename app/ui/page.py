"""The page: its title and its tabs, on one workshop."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial

import gradio as gr

from app.jobs.workshop import Workshop
from app.settings import Settings
from app.ui import follower, line
from app.ui.events import AT_ONCE, SILENT, on_change
from app.ui.files import forget_old, own_cache
from app.ui.history.tab import dropped_anywhere, history_tab
from app.ui.keys import place_keys
from app.ui.models import SETTINGS_TAB, ModelChoice
from app.ui.notices import guarded
from app.ui.own_files import OwnFilesPart
from app.ui.parts import Changes
from app.ui.room import Room, title_of
from app.ui.spoken import Page
from app.ui.tabs.any_task import task_tab
from app.ui.tabs.ask import ask_tab
from app.ui.tabs.attend import attend_tab
from app.ui.tabs.blend import BlendTab
from app.ui.tabs.edit import EditTab
from app.ui.tabs.generate import generate_tab
from app.ui.tabs.grid import GridTab
from app.ui.tabs.library import library_tab
from app.ui.tabs.personalize import personalize_tab
from app.ui.tabs.scene import scene_tab
from app.ui.tabs.settings import settings_tab
from app.ui.tabs.stylize import StylizeTab
from pipelines.task import Task, tasks

# the tabs of tasks that have a layout of their own; other tasks follow, as they are declared
_TABS: dict[str, Callable[[Room, Task], object]] = {
    "generate": generate_tab,
    "stylize": StylizeTab,
    "edit": EditTab,
    "attend": attend_tab,
    "blend": BlendTab,
    "scene": scene_tab,
    "grid": GridTab,
    "personalize": personalize_tab,
}


def build_page(workshop: Workshop, settings: Settings) -> gr.Blocks:
    """The page with a tab for every task, which asks the workshop for its pictures; not yet served.

    It is there before the model: what it shows of that comes when it is open.
    """
    own_cache()
    known = {name: task for name, task in tasks().items() if task.is_offered or name in _TABS}
    with Page(title="blipdiff", analytics_enabled=False) as page:
        page.usual = settings.language
        room = Room(page, workshop, settings)
        with gr.Row(elem_id="head"):
            room.heading = gr.HTML(room.headed(room.facts()))
            choice = ModelChoice(room)
        OwnFilesPart(room)
        with gr.Tabs(elem_id="tabs") as room.switch:
            for name in [*_TABS, *(name for name in known if name not in _TABS)]:
                with gr.Tab(title_of(name), id=f"{name}-tab"):
                    _TABS.get(name, task_tab)(room, known[name])
            with gr.Tab("Subjects", id="library-tab"):
                show, search, shown = library_tab(room)
            with gr.Tab("History", id="history-tab"):
                history_tab(room)
            with gr.Tab("Ask", id="ask-tab"):
                ask_tab(room)
            with gr.Tab("Settings", id=SETTINGS_TAB) as tab:
                settings_tab(room, choice, tab)
        dropped_anywhere(room)
        room.line = gr.HTML(elem_id="line", js_on_load=line.PRESSED)
        place_keys(room)
        page.load(show, search, shown, **AT_ONCE)
        page.load(partial(forget_old, page), None, None, **AT_ONCE)
        room.finish()
        _follow(room)
    page.queue(max_size=32, default_concurrency_limit=1)
    return page


def _follow(room: Room) -> None:
    """What the page is told by itself, from when it is opened on."""

    async def told(visit: gr.Request, browser: str) -> AsyncGenerator[Changes]:
        async with aclosing(follower.follow(room, visit, browser)) as changes:
            async for one in changes:
                yield one

    def acted(visit: gr.Request, browser: str, event: gr.EventData) -> None:
        line.acted(room, visit, browser, event)

    def left(visit: gr.Request) -> None:
        room.visits.leave(str(visit.session_hash))

    def known() -> Changes:
        facts = room.facts()
        told = {} if facts is None else {component: shown(facts) for component, shown in room.of_model}
        return told or gr.skip()

    outputs = follower.outputs(room)
    on_change(room.heading.change, known, None, [component for component, _ in room.of_model])
    begun = room.page.load(None, room.browser, room.browser, js="blipdiff.browserName", **SILENT)
    for event in (begun.then, *(click.success for click in room.clicks)):
        event(guarded(told), room.browser, outputs, trigger_mode="multiple", **AT_ONCE)
    room.line.click(guarded(acted), room.browser, None, trigger_mode="multiple", **AT_ONCE)
    room.page.unload(left)
