"""The field for one subject: photos of it and cards, how they look, and what they may show."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from app.ui import markup
from app.ui.components import OneOf
from app.ui.events import ON_PHOTOS, on_change, on_click
from app.ui.files import served
from app.ui.given import as_files
from app.ui.notices import notice
from app.ui.parts import Changes
from app.ui.photos import FILE_TYPES
from app.ui.room import Kind
from app.ui.subjects import category_of, looked_through
from app.ui.suggestions import Suggestions
from blipdiff.errors import SubjectError
from blipdiff.ranges import KNOWN_THINGS
from pipelines.inputs import CARD_SUFFIX, Input


class SubjectField:
    """Placed in the current Blocks. named: what names the elements of a tab; examples: photos to try"""

    def __init__(self, named: Callable[[str], str], label: str, examples: Sequence[Path] = ()) -> None:
        self.files = gr.File(
            label=label,
            file_count="multiple",
            file_types=[*FILE_TYPES, CARD_SUFFIX],
            elem_id=named("subject"),
            elem_classes="subject",
            height=140,
        )
        self.strip = gr.HTML(markup.subjects(()), elem_id=named("subjects"))
        self._examples = list(examples)
        self._buttons = self._example_buttons(named("examples"))
        told = KNOWN_THINGS[:1].upper() + KNOWN_THINGS[1:]
        self.suggestions = OneOf(  # hidden when empty: page.css
            [], label="The photo may show", info=told, elem_id=named("suggestions"), elem_classes="suggestions"
        )

    def connect(self, category: Any = None, suggestions: Suggestions | None = None) -> None:
        """category: the control that says what the subject is, where there is one"""
        guesses = suggestions or Suggestions()
        if category is None:
            look = partial(self.look, guesses, None)
            on_change(self.files.change, look, self.files, [self.strip, self.files], ON_PHOTOS)
            return
        looked = [self.strip, self.files, category, self.suggestions]
        on_change(self.files.change, partial(self.look, guesses, category), [self.files, category], looked, ON_PHOTOS)
        chosen = [category, self.suggestions]
        on_change(self.suggestions.input, partial(self.use_suggestion, category), self.suggestions, chosen)
        for button, path in zip(self._buttons, self._examples, strict=True):
            on_click(button, partial(self.use_example, category, path), None, [self.files, category])

    def look(self, guesses: Suggestions, category: Any, paths: list[str] | None, typed: str = "") -> Changes:
        """Shows what was dropped; what cannot be used is said and left out."""
        found = looked_through(paths or [])
        changes: Changes = {self.strip: markup.subjects(found.tiles)}
        if found.complaints:
            notice(" ".join(found.complaints))
            changes[self.files] = list(found.paths) or None
        if category is None:
            return changes
        told = next((tile.category for tile in found.tiles if tile.category), None)
        is_unnamed = not typed.strip()
        if told and is_unnamed:
            changes[category] = told
        offered = guesses.of(found.paths[0]) if found.paths and not told and is_unnamed else []
        choices = [(f"{name}, {100 * chance:.0f} %", name) for name, chance in offered]
        return changes | {self.suggestions: gr.Radio(choices=choices, value=None)}

    def use_suggestion(self, category: Any, name: str | None) -> Changes:
        """The suggested category that was chosen; the suggestions have done their work."""
        if not name:
            return gr.skip()  # type: ignore[no-any-return]
        return {category: name, self.suggestions: gr.Radio(choices=[], value=None)}

    def use_example(self, category: Any, path: Path) -> Changes:
        """A bundled photo and what it shows."""
        return {self.files: [served(path)], category: category_of(path)}

    def recalled(self, given: Sequence[Input]) -> Changes:
        """A job's subject, as its photos and cards. Raises: SubjectError for photos that are kept nowhere."""
        found = as_files(given)
        if len(found) < len(given):
            raise SubjectError("Give the subject again: its photo is not kept.")
        return {self.files: found or None}

    @property
    def takes(self) -> dict[Kind, Any]:
        """Where what is sent to the tab goes."""
        return {"subject": self.files, "photo": self.files}

    def _example_buttons(self, name: str) -> list[Any]:
        if not self._examples:
            return []
        gr.Markdown("Or try one of these:", elem_classes="hint")
        with gr.Row(elem_id=name):
            return [
                gr.Button(category_of(path), icon=served(path), size="sm", min_width=0, scale=0)
                for path in self._examples
            ]


def given_subject(paths: list[str] | None) -> list[Path]:
    """The files of a subject that has to be there. Raises: SubjectError for none."""
    if not paths:
        raise SubjectError("There is no subject yet; add a photo or a subject card.")
    return [Path(path) for path in paths]
