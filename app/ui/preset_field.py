"""Presets on a tab: chosen from a list, which fills the settings; kept of what is set; brought and fetched as files."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr

from app.ui import markup
from app.ui.components import Listed
from app.ui.events import on_change, on_click
from app.ui.files import served, without_folder
from app.ui.form import Form
from app.ui.parts import Changes
from app.ui.room import title_of
from app.ui.texts import retold, said
from blipdiff.errors import BlipdiffError, ConfigError
from pipelines.presets.preset import SUFFIX, Preset
from pipelines.presets.store import Presets
from pipelines.task import Task


@dataclass(frozen=True, slots=True)
class Rest:
    """Settings of a tab that its form does not hold, such as how a structure is followed.

    inputs: their fields; values: what they say, as a request's values; filled: the fields that show a preset's values
    """

    inputs: Sequence[Any] = ()
    values: Callable[..., Mapping[str, Any]] = lambda *_typed: {}
    filled: Callable[[Mapping[str, Any]], Changes] = field(default=lambda _values: {})


class PresetField:
    """The list of a task's presets, and what is done with them.

    name: of the tab's elements; folder: of one's own presets
    """

    def __init__(self, name: Callable[[str], str], task: Task, form: Form, folder: Path) -> None:
        self._name, self._task, self._form = name, task, form
        self._presets = Presets(folder)
        self._rest = Rest()

    def place(self) -> None:
        """Puts the list in the current Blocks, and below it what keeps and brings presets."""
        name, names = self._name, list(self._presets.all(self._task.name))
        self.choice = Listed(
            names,
            value=None,
            label="Preset",
            info="Settings for a purpose. It fills the form; what you change afterwards counts.",
            elem_id=name("preset"),
        )
        self.about = gr.HTML("", elem_id=name("preset-about"), elem_classes="note")
        with gr.Accordion("Keep or share settings", open=False, elem_id=name("presets")):
            self.called = gr.Textbox(
                label="Name", info="What your settings shall be called.", max_lines=1, elem_id=name("preset-name")
            )
            self.keep = gr.Button("Save these settings as a preset", size="sm", elem_id=name("preset-save"))
            self.brought = gr.File(
                label="A preset's file", file_types=[SUFFIX], elem_id=name("preset-file"), height=140
            )
            self.fetch = gr.DownloadButton("Download the chosen preset", size="sm", elem_id=name("preset-fetch"))

    def connect(self, rest: Rest | None = None) -> None:
        """The events; rest: what the tab holds beside the form."""
        self._rest = rest or Rest()
        filled = [*self._form.inputs, *self._rest.inputs]
        shown = [self.about, self.fetch]
        on_change(self.choice.focus, self._offered, None, self.choice)
        on_change(self.choice.input, self.choose, self.choice, [*filled, *shown])
        typed = [self.called, *self._form.inputs, *self._rest.inputs]
        on_click(self.keep, self.save, typed, [self.choice, *shown])
        on_change(self.brought.upload, self.bring, self.brought, [self.brought, self.choice, *filled, *shown])

    def choose(self, name: str | None) -> Changes:
        """The form with a preset's values, what it is for, and its file."""
        if not name:
            return {self.about: ""}
        try:
            if name not in self._presets.all(self._task.name):  # what the browser sends may be the path of any file
                raise ConfigError(said("There is no preset {name}.", name=f"{name!r:.60}"))
            preset = self._presets.get(name, self._task.name)
        except BlipdiffError as error:
            return {self.about: markup.message(str(error), "bad")}
        return self._filled(preset)

    def save(self, called: str, *typed: Any) -> Changes:
        """What is set, under a name; prompts are kept, subjects and seeds are not."""
        count = len(self._form.inputs)
        try:
            values = {**self._form.values(typed[:count]), **self._rest.values(*typed[count:])}
            preset = Preset.of_values(self._task, values, called or "", words=True)
            self._presets.save(preset)
        except BlipdiffError as error:
            return {self.about: markup.message(str(error), "bad")}
        told = markup.message(said("Saved as {name}.", name=repr(preset.name)), "good")
        return {**self._listed(preset.name), self.about: told, self.fetch: self._file(preset)}

    def bring(self, path: str | None) -> Changes:
        """A preset that somebody gave: kept, and where it is for this tab shown."""
        if path is None:
            return gr.skip()  # type: ignore[no-any-return]
        try:
            preset = Preset.read(Path(path))
            self._presets.save(preset)
        except BlipdiffError as error:
            return {self.brought: None, self.about: markup.message(without_folder(str(error)), "bad")}
        if preset.task != self._task.name:
            place = retold(title_of(preset.task))
            told = said("{name} is for {place}; it is kept, and offered there.", name=repr(preset.name), place=place)
            return {self.brought: None, self.about: markup.message(told, "good")}
        return {**self._listed(preset.name), **self._filled(preset), self.brought: None}

    def _named(self) -> list[tuple[str, str]]:
        return [(retold(name), name) for name in self._presets.all(self._task.name)]

    def _offered(self) -> Any:
        return gr.Dropdown(choices=self._named())

    def _listed(self, name: str) -> Changes:
        return {self.choice: gr.Dropdown(choices=self._named(), value=name)}

    def _filled(self, preset: Preset) -> Changes:
        changes = {**self._form.shown(preset.values), **self._rest.filled(preset.values)}
        return {**changes, self.about: markup.message(preset.description), self.fetch: self._file(preset)}

    def _file(self, preset: Preset) -> Any:
        return gr.DownloadButton(value=served(self._presets.file(preset.name)))
