"""The tab that generates: its layout, connected to what happens on it."""

import json
from collections.abc import Sequence
from functools import partial
from importlib.resources import files
from pathlib import Path

import gradio as gr

from app.settings import Settings
from app.ui import form, markup
from app.ui.generate_events import GenerateEvents
from app.ui.generate_layout import Layout, lay_out
from app.ui.orders import Orders
from blipdiff.latents import size_factor
from pipelines.studio import Studio

_SILENT = {"show_progress": "hidden", "api_visibility": "private"}
_ON_MODEL = {**_SILENT, "concurrency_id": "model", "concurrency_limit": 1}  # one computes, the others wait
_AT_ONCE = {**_SILENT, "concurrency_limit": None}  # in the queue all the same: only there can it notify
_STOPPING = f"() => {json.dumps(markup.message('Stopping after this step.'))}"


def generate_tab(page: gr.Blocks, studio: Studio, settings: Settings, orders: Orders) -> Layout:
    """Builds the tab inside `page`, which is the current Blocks; gives its components."""
    examples = sorted((Path(str(files("blipdiff"))) / "assets" / "subjects").glob("*.png"))
    own_size = int(studio.model.unet.config.sample_size) * size_factor(studio.model.vae)
    layout = lay_out(own_size, examples)
    layout.fields["guidance"].value = studio.model.guidance
    events = GenerateEvents(studio, settings.output, orders, layout)
    _connect_run(page, layout, events)
    _connect_subject(layout, events, examples)
    _connect_results(layout, events)
    _connect_memory(page, layout)
    return layout


def _connect_run(page: gr.Blocks, on: Layout, events: GenerateEvents) -> None:
    """Gradio's own `cancels` is of no use here: its late messages overwrite the last word of what it stopped."""
    memory, result, action = on.memory, on.result, on.action
    shown = [action.status, action.cancel, result.stage]
    pictures = [result.gallery, memory.pictures, *_details(on)]
    asked = action.generate.click(
        events.ask, [on.subject.files, memory.pictures, *on.form], [*shown, on.fields["seed"]], **_AT_ONCE
    )
    asked.success(events.generate, memory.pictures, [*shown, *pictures], **_ON_MODEL)
    action.cancel.click(None, None, action.status, js=_STOPPING, **_SILENT)
    action.cancel.click(events.cancel, memory.pictures, shown, **_AT_ONCE)
    page.unload(events.leave)


def _connect_subject(on: Layout, events: GenerateEvents, examples: Sequence[Path]) -> None:
    category, given = on.fields["category"], on.subject.files
    suggestions = on.subject.suggestions
    looked = [on.subject.strip, given, category, suggestions]
    given.change(events.look_at_subject, [given, category], looked, **_AT_ONCE)
    suggestions.input(events.use_suggestion, suggestions, [category, suggestions], **_AT_ONCE)
    for button, path in zip(on.subject.examples, examples, strict=True):
        button.click(partial(events.use_example, path), None, [given, category], **_AT_ONCE)
    on.keeping.save_card.click(
        events.save_card,
        [given, category, on.fields["fit"]],
        [on.keeping.card, on.action.status],
        **_ON_MODEL,
    )


def _connect_results(on: Layout, events: GenerateEvents) -> None:
    on.result.gallery.select(events.choose, on.memory.pictures, _details(on), **_AT_ONCE)
    on.result.reuse_seed.click(events.reuse_seed, on.memory.chosen, [on.fields["seed"], on.random_seed], **_AT_ONCE)
    on.keeping.made_here.upload(
        events.fill_from_picture,
        on.keeping.made_here,
        [*on.form, on.keeping.made_here, on.subject.files, on.action.status],
        **_AT_ONCE,
    )


def _connect_memory(page: gr.Blocks, on: Layout) -> None:
    """The form outlives a reload: the browser keeps what is typed, and nothing of it is sent."""
    names = json.dumps([*form.NAMES, "random_seed"])
    choices = json.dumps(form.CHOICES)
    keep = f"(...values) => blipdiff.named({names}, values)"
    restore = f"(kept, ...current) => blipdiff.restored({names}, {choices}, kept, current)"
    gr.on([control.input for control in on.form], None, on.form, on.memory.typed, js=keep, **_SILENT)
    page.load(None, [on.memory.typed, *on.form], on.form, js=restore, **_SILENT)


def _details(on: Layout) -> list[object]:
    return [on.result.details, on.result.metadata, on.result.download, on.memory.chosen]
