"""The tab of the history, and the file field that takes what is dropped anywhere on the page."""

from typing import Any

import gradio as gr

from app.ui.events import AT_ONCE, on_change
from app.ui.history.acts import Acts
from app.ui.history.dropped import Dropped
from app.ui.history.files import routes
from app.ui.history.onward import Onward
from app.ui.notices import guarded
from app.ui.room import Room

_MANY: dict[str, Any] = {"trigger_mode": "multiple", **AT_ONCE}
_RUNS = 'blipdiff.history(element, trigger, watch, ["compare", "go", "draw"])'
_BARE: dict[str, Any] = {"apply_default_css": False, "padding": False}


def history_tab(room: Room) -> None:
    """Builds the tab in the current Blocks.

    Its events, by what they change: click the view and the picture, compare the comparison, go other tabs; draw puts a
    job into the line.
    """
    acts = Acts(room)
    onward = Onward(room, acts)
    with gr.Column(elem_id="history"):
        compared = gr.ImageSlider(
            label="Two pictures", interactive=False, format="png", height=520, elem_id="history-compared",
            elem_classes="compared",
        )  # fmt: skip
        view = gr.HTML("", elem_id="history-view", js_on_load=_RUNS, **_BARE)
        picture = gr.HTML("", elem_id="history-picture", js_on_load="blipdiff.viewed(element, watch)", **_BARE)
    view.click(guarded(acts.act), None, [view, picture], **_MANY)
    view.compare(guarded(acts.compared), None, compared, **_MANY)
    room.asked(view.draw(guarded(onward.draw), room.browser, picture, **_MANY))

    def connect() -> None:
        view.go(guarded(onward.go), None, room.changed, **_MANY)

    room.later(connect)


def dropped_anywhere(room: Room) -> None:
    """Builds, beside the tabs, what takes a dropped file, and what tells of new pictures."""
    room.news = gr.HTML("", elem_id="history-news", js_on_load="blipdiff.news(element, watch)", **_BARE)
    dropped = Dropped(room)
    on_change(dropped.field.upload, dropped.come, dropped.field, dropped.outputs)
    dropped.panel.click(guarded(dropped.send), dropped.kept, dropped.outputs, **_MANY)
    room.page.own_routes = routes(room.workshop.history)
