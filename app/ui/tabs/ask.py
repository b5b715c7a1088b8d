"""The tab that answers questions about a photo: a conversation, and where was looked for the last answer."""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import gradio as gr

from app.libraries import load_libraries
from app.ui import markup
from app.ui.components import OneOf
from app.ui.events import ON_MODEL, ON_PHOTOS, on_change, on_click
from app.ui.parts import Changes
from app.ui.photos import photo_field
from app.ui.room import Room, TabPart
from app.ui.subjects import by_name
from app.ui.texts import retold, said
from blipdiff.errors import BlipdiffError
from blipdiff.images import open_picture

if TYPE_CHECKING:  # which loads torch
    from PIL import Image

    from blipdiff.language.answers import Turn
    from pipelines.ask.run import Asked

NAME = "ask"
_SHOWN = 3  # possible answers
_HEAT_SIDE = 640  # pixels
_HINT = "Add a photo and ask: what is it? what colour is it? is it a cup? is it a cup or a bowl?"


@dataclass(frozen=True, slots=True)
class Said:
    """A question of this visit with its answer, as the page shows it."""

    question: str
    answer: str
    chances: tuple[tuple[str, float], ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Parts:
    """What the tab's events change."""

    status: Any
    question: Any
    told: Any  # the conversation
    heat: Any  # where was looked
    turns: Any  # what was said during this visit

    @property
    def all(self) -> list[Any]:
        """All of them."""
        return [self.status, self.question, self.told, self.heat, self.turns]


def ask_tab(room: Room) -> None:
    """Builds the tab in the current Blocks."""
    names = list(room.workshop.engines.names)
    with gr.Row(elem_classes="workbench"):
        with gr.Column(scale=5, min_width=300, elem_classes="asking"):
            photo = photo_field("Photo", "ask-photo", 260)
            engine = OneOf(
                names, value=names[0], label="Engine", elem_id="ask-engine", visible=len(names) > 1,
                info="The bundled one knows drawn things on plain ground; others read any question.",
            )  # fmt: skip
            question = gr.Textbox(
                label="Question", max_lines=3, elem_id="ask-question",
                info="What is it? What colour is it? Is it a cup? Is it a cup or a bowl?",
            )  # fmt: skip
            with gr.Row():
                ask = gr.Button("Ask", variant="primary", scale=2, elem_id="ask-go")
                anew = gr.Button("Begin anew", scale=1, min_width=120, elem_id="ask-anew")
        with gr.Column(scale=8, min_width=300, elem_classes="seeing"):
            status = gr.HTML("", elem_id="ask-status", elem_classes="status")
            told = gr.HTML(_conversation([]), elem_id="ask-told")
            heat = gr.HTML("", elem_id="ask-heat")
    on = Parts(status, question, told, heat, gr.State([]))
    answered, given = partial(answer, room, on), [photo, engine, question, on.turns]
    on_click(ask, answered, given, on.all, ON_MODEL)
    on_change(question.submit, answered, given, on.all, ON_MODEL)
    on_click(anew, partial(begun, on), None, on.all)
    on_change([photo.upload, photo.clear], partial(begun, on), None, on.all, ON_PHOTOS)
    room.register(TabPart(NAME, "Ask", f"{NAME}-tab", takes={"photo": photo, "picture": photo}))


def begun(on: Parts) -> Changes:
    """A conversation that has not begun."""
    return {on.status: "", on.told: _conversation([]), on.heat: "", on.turns: []}


def answer(room: Room, on: Parts, path: str | None, engine: str, question: str, before: list[Said]) -> Changes:
    """One more question and its answer, or a sentence on why there is none."""
    if path is None:
        return {on.status: markup.message(said("Add a photo first."), "bad")}
    load_libraries()
    try:
        photo = open_picture(path)
        _, (asked,) = room.workshop.engines.answers(engine, photo, [question], turns=_turns(before), look=True)
    except BlipdiffError as error:
        return {on.status: markup.message(by_name(error, [path]), "bad")}
    given = asked.answer
    turns = [*before, Said(asked.question, given.text, given.chances[:_SHOWN], given.notes)]
    return {
        on.status: "",
        on.question: "",
        on.told: _conversation(turns),
        on.heat: _heat(photo, asked),
        on.turns: turns,
    }


def _turns(before: list[Said]) -> "tuple[Turn, ...]":
    load_libraries()
    from blipdiff.language.answers import Turn

    return tuple(Turn(one.question, one.answer) for one in before)


def _heat(photo: "Image.Image", asked: "Asked") -> str:
    """Where was looked, as HTML."""
    load_libraries()
    from pipelines.ask.run import heat_map

    picture = heat_map(photo, asked)
    picture.thumbnail((_HEAT_SIDE, _HEAT_SIDE))
    about = retold(asked.looked.about) if asked.looked is not None else ""
    seen = f'<img src="{markup.data(picture)}" alt="{markup.escaped(said("Where it looked"))}">'
    return f'<figure class="looked">{seen}<figcaption>{markup.escaped(about)}</figcaption></figure>'


def _conversation(turns: list[Said]) -> str:
    """Questions and answers as HTML, the last one at the end; what to do where there are none."""
    if not turns:
        return f'<p class="hint">{markup.escaped(said(_HINT))}</p>'
    return f'<dl class="conversation">{"".join(map(_turn, turns))}</dl>'


def _turn(one: Said) -> str:
    shares = "".join(f"<li>{markup.escaped(text)}: {share:.0%}</li>" for text, share in one.chances)
    notes = "".join(f'<p class="hint">{markup.escaped(retold(note))}</p>' for note in one.notes)
    listed = f"<ul>{shares}</ul>" if shares else ""
    return (
        f"<dt>{markup.escaped(one.question)}</dt><dd><strong>{markup.escaped(one.answer)}</strong>{listed}{notes}</dd>"
    )
