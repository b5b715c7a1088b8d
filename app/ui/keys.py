"""The keys of the page: one table, from which the list that `?` shows is made; what each does is app/assets/keys.js."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from app.ui.events import AT_ONCE, SILENT
from app.ui.markup import escaped
from app.ui.notices import guarded
from app.ui.parts import Changes
from app.ui.room import Room
from pipelines.requests import random_seed


@dataclass(frozen=True, slots=True)
class Key:
    """One thing that a key does.

    act: its name in keys.js; pressed: the keys as browsers name them; shown: as people do; told: what it does
    """

    act: str
    pressed: tuple[str, ...]
    shown: str
    told: str


KEYS = (
    Key("draw", ("Control+Enter", "Meta+Enter"), "Ctrl + Enter", "Draws what the open tab asks for."),
    Key("roll", ("r",), "R", "Rolls a new seed and draws again; all else stays as it is."),
    Key("close", ("Escape",), "Esc", "Closes what is open; else cancels what the open tab draws."),
    Key("before", ("ArrowLeft",), "←", "Shows the picture before."),
    Key("after", ("ArrowRight",), "→", "Shows the next picture, or opens the first."),
    Key("list", ("?",), "?", "Shows these keys."),
)  # fmt: skip
_TITLE, _CLOSE = "Keys", "Close"
_NOT_TYPING = "While you type in a field, only Ctrl + Enter and Cmd + Enter are taken from it."

# a seed is rolled where it is kept, which may be a part of the form that is folded away
_ON_LOAD = """element.addEventListener("roll", (event) => trigger("click", { draw: event.detail }));"""


def place_keys(room: Room) -> None:
    """The list in the current Blocks, unseen until it is asked for; connected when all tabs are there."""
    listed = gr.HTML(markup_of(room.seeds), elem_id="keys", js_on_load=_ON_LOAD)

    def rolled(event: gr.EventData) -> Changes:
        given = event._data if isinstance(event._data, dict) else {}
        seed = room.seeds.get(str(given.get("draw")))
        return {} if seed is None else {seed: str(random_seed())}

    click = listed.click(guarded(rolled), None, [*room.seeds.values()], trigger_mode="always_last", **AT_ONCE)
    click.success(None, None, None, js="() => blipdiff.drawRolled()", **SILENT)


def markup_of(seeds: dict[str, Any]) -> str:
    """The list as HTML; seeds: the seed's control by the name of the button that draws with it"""
    rows = "".join(
        f'<div data-act="{one.act}" data-pressed="{escaped("|".join(one.pressed))}">'
        f"<dt><kbd>{escaped(one.shown)}</kbd></dt><dd>{escaped(one.told)}</dd></div>"
        for one in KEYS
    )
    return (
        f'<dialog class="keys" aria-labelledby="keys-title" data-rolls="{escaped(" ".join(seeds))}">'
        f'<h2 id="keys-title">{escaped(_TITLE)}</h2><dl>{rows}</dl><p>{escaped(_NOT_TYPING)}</p>'
        f'<form method="dialog"><button type="submit">{escaped(_CLOSE)}</button></form></dialog>'
    )
