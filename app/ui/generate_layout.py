"""Where everything stands on the tab that generates: the subject and the words left, the pictures right."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from app.ui import form, markup, parts
from app.ui.components import OneOf
from app.ui.files import served
from app.ui.photos import FILE_TYPES
from app.ui.subjects import CARD_SUFFIX, category_of
from pipelines.describe import KNOWS
from pipelines.requests import GenerateRequest, parameters

_SETTING_ROWS = (
    ("seed",),
    ("steps", "scheduler"),
    ("guidance",),
    ("guidance_start",),
    ("guidance_stop",),
    ("width", "height"),
    ("fit",),
    ("repeats",),
    ("batch",),
)
_KEPT_FORM = "blipdiff-generate"  # the browser's name for what was typed; it hides nothing


@dataclass(frozen=True, slots=True)
class SubjectPart:
    """What the subject is given by."""

    files: Any
    strip: Any
    examples: list[Any]  # a button for each bundled photo
    suggestions: Any  # categories that a photo may have, where none was typed


@dataclass(frozen=True, slots=True)
class ActionPart:
    """Start, stop, and how it goes: always in sight."""

    generate: Any
    cancel: Any
    status: Any


@dataclass(frozen=True, slots=True)
class KeepingPart:
    """A picture's settings come back here, and the subject goes out as a card."""

    made_here: Any
    save_card: Any
    card: Any


@dataclass(frozen=True, slots=True)
class ResultPart:
    """The pictures being drawn, those that are done, and the selected one's details."""

    stage: Any
    gallery: Any
    details: Any
    metadata: Any
    download: Any
    reuse_seed: Any


@dataclass(frozen=True, slots=True)
class Memory:
    """What the page remembers: for one visit on the server, what was typed in the browser."""

    pictures: Any  # (copy for the browser, seed) of this visit's pictures, the newest first
    chosen: Any  # the one of them whose details are shown, or None
    typed: Any


@dataclass(frozen=True, slots=True)
class Layout:
    """Every component that an event reads or changes."""

    subject: SubjectPart
    fields: dict[str, Any]  # by the parameter's name, in the declared order
    random_seed: Any
    action: ActionPart
    keeping: KeepingPart
    result: ResultPart
    memory: Memory

    @property
    def form(self) -> list[Any]:
        """The fields, then the tick for a random seed."""
        return [*self.fields.values(), self.random_seed]


def lay_out(own_size: int, examples: Sequence[Path]) -> Layout:
    """The tab's components, placed in the current Blocks.

    own_size: the side in pixels of the pictures that the model was trained at
    """
    placed: dict[str, Any] = {}
    with gr.Row(elem_classes="workbench"):
        with gr.Column(scale=5, min_width=300, elem_classes="asking"):
            subject = _subject_part(examples)
            _place(placed, "category", max_lines=1, placeholder="teapot")
            _place(placed, "prompt", lines=2, placeholder="on a snowy mountain")
            with gr.Accordion("Negative prompt and target", open=False):
                _place(placed, "negative")
                _place(placed, "target", max_lines=1)
            _place(placed, "count")
            random_seed = _settings_part(placed, own_size)
            keeping = _keeping_part()
            action = _action_part()
        with gr.Column(scale=8, min_width=300, elem_classes="seeing"):
            result = _result_part()
    memory = Memory(
        pictures=gr.State([]),
        chosen=gr.State(None),
        typed=gr.BrowserState({}, storage_key=_KEPT_FORM, secret=_KEPT_FORM),
    )
    fields = {name: placed[name] for name in form.NAMES}
    return Layout(subject, fields, random_seed, action, keeping, result, memory)


def _place(placed: dict[str, Any], name: str, **looks: Any) -> None:
    declared = parameters(GenerateRequest)[name]
    placed[name] = parts.control(name, declared, form.starting_value(name), **looks)


def _subject_part(examples: Sequence[Path]) -> SubjectPart:
    files = gr.File(
        label="Subject",
        file_count="multiple",
        file_types=[*FILE_TYPES, CARD_SUFFIX],
        elem_id="subject",
        height=140,
    )
    strip = gr.HTML(markup.subjects(()), elem_id="subjects")
    buttons = _example_buttons(examples)
    told = KNOWS[:1].upper() + KNOWS[1:]
    suggestions = OneOf([], label="The photo may show", info=told, elem_id="suggestions")  # hidden when empty: page.css
    return SubjectPart(files, strip, buttons, suggestions)


def _example_buttons(examples: Sequence[Path]) -> list[Any]:
    if not examples:
        return []
    gr.Markdown("Or try one of these:", elem_classes="hint")
    with gr.Row(elem_id="examples"):
        return [gr.Button(category_of(path), icon=served(path), size="sm", min_width=0, scale=0) for path in examples]


def _action_part() -> ActionPart:
    with gr.Column(elem_id="actions"):
        with gr.Row():
            generate = gr.Button("Generate", variant="primary", elem_id="generate", scale=3, min_width=120)
            cancel = gr.Button("Cancel", elem_id="cancel", scale=1, min_width=90)
        status = gr.HTML(markup.message("Ready. Ctrl+Enter generates."), elem_id="status")
    return ActionPart(generate, cancel, status)


def _settings_part(placed: dict[str, Any], own_size: int) -> Any:
    looks = {side: {"placeholder": f"{own_size} if empty"} for side in ("width", "height")}
    with gr.Accordion("Settings", open=False, elem_id="settings"):
        gr.Markdown(form.differences(), elem_classes="hint")
        random_seed = gr.Checkbox(True, label="Random seed", info="A new seed for every run.", elem_id="random-seed")
        for names in _SETTING_ROWS:
            with gr.Row():
                for name in names:
                    _place(placed, name, min_width=140, **looks.get(name, {}))
    return random_seed


def _keeping_part() -> KeepingPart:
    with gr.Accordion("Start from a picture made here", open=False, elem_id="refill"):
        gr.Markdown("Fills the form as it was, and brings the subject back.", elem_classes="hint")
        made_here = gr.File(label="PNG with its settings", file_types=[".png"], elem_id="made-here", height=140)
    with gr.Accordion("Keep the subject as a card", open=False, elem_id="cards"):
        gr.Markdown("A small file that stands in for the photos from then on.", elem_classes="hint")
        save_card = gr.Button("Save subject card", size="sm", elem_id="save-card")
        card = gr.DownloadButton("Download", size="sm", visible=False, elem_id="card")
    return KeepingPart(made_here, save_card, card)


def _result_part() -> ResultPart:
    """Nothing here is switched visible: Gradio drops changes that follow fast. The style sheet hides what is empty."""
    stage = gr.HTML(markup.welcome(), elem_id="stage")
    gallery = gr.Gallery(
        label="Pictures of this visit, the newest first",
        show_label=False,
        columns=markup.columns(1),
        object_fit="contain",
        interactive=False,
        buttons=["download", "fullscreen"],
        elem_id="gallery",
    )
    with gr.Accordion("The selected picture", elem_id="details") as details:
        with gr.Row():
            download = gr.DownloadButton("Download PNG", size="sm", elem_id="download")
            reuse_seed = gr.Button("Reuse its seed", size="sm", elem_id="reuse-seed")
        metadata = gr.JSON(label="Settings in its file", elem_id="metadata", max_height=360)
    return ResultPart(stage, gallery, details, metadata, download, reuse_seed)
