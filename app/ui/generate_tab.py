"""The tab that generates: its controls on the left, its pictures on the right."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from app.settings import Settings
from app.ui import form, markup, parts
from app.ui.generate_events import GenerateEvents
from app.ui.subjects import CARD_SUFFIX, MOST_SUBJECTS
from blipdiff.latents import size_factor
from pipelines.requests import GenerateRequest, parameters
from pipelines.studio import Studio

_BESIDE_PROMPT = ("negative", "target")
_FOLDED_ROWS = (
    ("steps", "guidance"),
    ("guidance_start", "guidance_stop"),
    ("width", "height"),
    ("scheduler", "fit"),
    ("repeats", "batch"),
)
_KEPT_FORM = "blipdiff-generate"  # the browser's name for what was typed; it holds nothing secret
_AS_NAMED = "(...values) => Object.fromEntries({names}.map((name, place) => [name, values[place]]))"


@dataclass(frozen=True, slots=True)
class Controls:
    """Every component that an event reads or changes."""

    files: Any
    strip: Any
    fields: dict[str, Any]  # by the parameter's name
    random_seed: Any
    generate: Any
    cancel: Any
    status: Any
    made_here: Any  # where a picture is dropped to fill the form
    save_card: Any
    card: Any
    stage: Any
    gallery: Any
    details: Any
    metadata: Any
    download: Any
    reuse_seed: Any
    pictures: Any  # state: (file, seed) of this visit's pictures, the newest first
    position: Any  # state: (step, steps) of the run going on
    chosen: Any  # state: the picture whose details are shown
    kept: Any  # the browser's memory of the form

    @property
    def form(self) -> list[Any]:
        """The fields in their declared order, then the tick for a random seed."""
        return [*self.fields.values(), self.random_seed]


def generate_tab(studio: Studio, settings: Settings, examples: list[Path]) -> Controls:
    """Lays out the tab inside the current Blocks and connects its events; gives its components."""
    with gr.Row(elem_classes="workbench"):
        with gr.Column(scale=5, min_width=320, elem_classes="asking"):
            left = _subject_part(examples) | _asking_part() | _action_part() | _folded_part(studio)
        with gr.Column(scale=8, min_width=320, elem_classes="seeing"):
            right = _seeing_part()
    states = {"pictures": gr.State([]), "position": gr.State(None), "chosen": gr.State(None)}
    kept = gr.BrowserState({}, storage_key=_KEPT_FORM, secret=_KEPT_FORM)
    fields = {name: left.pop(f"field {name}") for name in form.NAMES}
    sample = left.pop("examples")
    controls = Controls(fields=fields, kept=kept, **left, **right, **states)
    _connect(controls, GenerateEvents(studio, settings.output, examples), sample)
    return controls


def _subject_part(examples: list[Path]) -> dict[str, Any]:
    files = gr.File(
        label=f"Subject: a photo, up to {MOST_SUBJECTS} photos of the same thing, or a subject card",
        file_count="multiple",
        file_types=["image", CARD_SUFFIX],
        elem_id="subject",
        height=150,
    )
    strip = gr.HTML("", elem_id="subjects")
    sample = None
    if examples:
        sample = gr.Dataset(
            label="Or try one of these",
            components=[gr.Image(visible=False, type="filepath")],
            samples=[[parts.served(path)] for path in examples],
            type="index",
            elem_id="examples",
        )
    return {"files": files, "strip": strip, "examples": sample}


def _asking_part() -> dict[str, Any]:
    made = {
        "field category": _field("category", max_lines=1),
        "field prompt": _field("prompt", lines=2),
    }
    with gr.Accordion("Negative prompt and target", open=False):
        made |= {f"field {name}": _field(name) for name in _BESIDE_PROMPT}
    return made | {"field count": _field("count")}


def _action_part() -> dict[str, Any]:
    with gr.Column(elem_id="actions"):
        with gr.Row():
            generate = gr.Button("Generate", variant="primary", elem_id="generate", scale=3, min_width=120)
            cancel = gr.Button("Cancel", variant="secondary", elem_id="cancel", scale=1, min_width=90)
        status = gr.HTML(markup.message("Ready. Ctrl+Enter generates."), elem_id="status")
    return {"generate": generate, "cancel": cancel, "status": status}


def _folded_part(studio: Studio) -> dict[str, Any]:
    own = int(studio.model.unet.config.sample_size) * size_factor(studio.model.vae)
    looks: dict[str, dict[str, Any]] = {side: {"placeholder": f"{own}, the model's own"} for side in ("width", "height")}
    made: dict[str, Any] = {}
    with gr.Accordion("Settings", open=False, elem_id="settings"):
        gr.Markdown(form.differences(), elem_classes="hint")
        random_seed = gr.Checkbox(True, label="Random seed", info="A new seed for every run.", elem_id="random-seed")
        made["field seed"] = _field("seed")
        for row in _FOLDED_ROWS:
            with gr.Row():
                made |= {f"field {name}": _field(name, min_width=150, **looks.get(name, {})) for name in row}
    with gr.Accordion("Start from a picture made here", open=False, elem_id="refill"):
        made_here = gr.File(
            label="A PNG with its settings: fills the form and brings its subject back",
            file_types=[".png"],
            elem_id="made-here",
            height=120,
        )
    with gr.Accordion("Keep the subject as a card", open=False, elem_id="cards"):
        gr.Markdown("A small file that stands in for the photos from then on.", elem_classes="hint")
        save_card = gr.Button("Save subject card", size="sm", elem_id="save-card")
        card = gr.DownloadButton("Download", size="sm", visible=False, elem_id="card")
    return made | {"random_seed": random_seed, "made_here": made_here, "save_card": save_card, "card": card}


def _seeing_part() -> dict[str, Any]:
    stage = gr.HTML(markup.welcome(), elem_id="stage")
    gallery = gr.Gallery(
        label="Pictures of this visit, the newest first",
        columns=4,
        object_fit="contain",
        height="auto",
        interactive=False,
        visible=False,
        buttons=["download", "fullscreen"],
        elem_id="gallery",
    )
    with gr.Accordion("The selected picture", open=True, visible=False, elem_id="details") as details:
        with gr.Row():
            download = gr.DownloadButton("Download PNG", size="sm", elem_id="download")
            reuse_seed = gr.Button("Reuse its seed", size="sm", elem_id="reuse-seed")
        metadata = gr.JSON(label="Settings in its file", elem_id="metadata", max_height=360)
    seen = {"stage": stage, "gallery": gallery, "details": details, "metadata": metadata}
    return seen | {"download": download, "reuse_seed": reuse_seed}


def _field(name: str, **looks: Any) -> Any:
    return parts.control(name, parameters(GenerateRequest)[name], form.starting_value(name), **looks)


def _connect(c: Controls, events: GenerateEvents, sample: Any) -> None:
    """What happens when; every long event is a generator, so that cancelling closes it."""
    ...
