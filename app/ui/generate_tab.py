"""The tab that generates: its layout, connected to what happens on it."""

import json
from collections.abc import Sequence
from functools import partial
from importlib.resources import files
from pathlib import Path

import gradio as gr

from app.settings import Settings
from app.ui import form
from app.ui.events import AT_ONCE, ON_MODEL, ON_PHOTOS, SILENT, STOPPING, on_change, on_click
from app.ui.generate_events import GenerateEvents
from app.ui.generate_layout import Layout, lay_out
from app.ui.notices import guarded
from app.ui.orders import Orders
from blipdiff.latents import size_factor
from pipelines.studio import Studio


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
    asked = on_click(
        action.generate,
        events.ask,
        [on.subject.files, memory.pictures, *on.form],
        [*shown, on.fields["seed"]],
        ON_PHOTOS,
        last_alone=True,
    )
    asked.success(guarded(events.generate), memory.pictures, [*shown, *pictures], trigger_mode="multiple", **ON_MODEL)
    action.cancel.click(None, None, action.status, js=STOPPING, **SILENT)
    action.cancel.click(events.cancel, memory.pictures, shown, trigger_mode="multiple", **AT_ONCE)
    page.unload(events.leave)


def _connect_subject(on: Layout, events: GenerateEvents, examples: Sequence[Path]) -> None:
    category, given = on.fields["category"], on.subject.files
    suggestions = on.subject.suggestions
    looked = [on.subject.strip, given, category, suggestions]
    on_change(given.change, events.look_at_subject, [given, category], looked, ON_PHOTOS)
    on_change(suggestions.input, events.use_suggestion, suggestions, [category, suggestions])
    for button, path in zip(on.subject.examples, examples, strict=True):
        on_click(button, partial(events.use_example, path), None, [given, category])
    kept = [on.keeping.card, on.action.status]
    on_click(on.keeping.save_card, events.save_card, [given, category, on.fields["fit"]], kept, ON_MODEL)


def _connect_results(on: Layout, events: GenerateEvents) -> None:
    on.result.gallery.select(
        guarded(events.choose), on.memory.pictures, _details(on), trigger_mode="multiple", **AT_ONCE
    )  # not the last alone: Gradio would answer it with the first one's place
    on_click(on.result.reuse_seed, events.reuse_seed, on.memory.chosen, [on.fields["seed"], on.random_seed])
    filled = [*on.form, on.keeping.made_here, on.subject.files, on.action.status]
    on_change(on.keeping.made_here.upload, events.fill_from_picture, on.keeping.made_here, filled)


def _connect_memory(page: gr.Blocks, on: Layout) -> None:
    """The form outlives a reload: the browser keeps what is typed, and nothing of it is sent."""
    names = json.dumps([*form.NAMES, "random_seed"])
    choices = json.dumps(form.CHOICES)
    keep = f"(...values) => blipdiff.named({names}, values)"
    restore = f"(kept, ...current) => blipdiff.restored({names}, {choices}, kept, current)"
    gr.on(
        [control.input for control in on.form],
        None,
        on.form,
        on.memory.typed,
        js=keep,
        trigger_mode="multiple",
        **SILENT,
    )
    page.load(None, [on.memory.typed, *on.form], on.form, js=restore, **SILENT)


def _details(on: Layout) -> list[object]:
    return [on.result.details, on.result.metadata, on.result.download, on.memory.chosen]
