"""The tab of the subject library: cards with their pictures; save, rename, delete and undo, search, import, export."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from app.ui import markup
from app.ui.components import Listed
from app.ui.events import ON_MODEL, on_change, on_click
from app.ui.files import served
from app.ui.photos import FILE_TYPES
from app.ui.room import Room, TabPart
from app.ui.slots import library_names
from app.ui.subjects import by_name
from blipdiff.errors import BlipdiffError, SubjectError
from pipelines.inputs import CARD_SUFFIX, Input
from pipelines.subject_library import Entry


def library_tab(room: Room) -> Any:
    """Builds the tab in the current Blocks; gives the search, whose change shows the library afresh.

    The lists of subjects on other tabs change with it, in the same answer.
    """
    lists = room.lists
    with gr.Row(elem_classes="workbench"):
        with gr.Column(scale=5, min_width=300):
            photos = gr.File(
                label="Photos of one subject, or a card", file_count="multiple",
                file_types=[*FILE_TYPES, CARD_SUFFIX], height=140, elem_id="library-photos",
            )  # fmt: skip
            category = gr.Textbox(
                label="Category", info="What it is, in a word or two.", max_lines=1, elem_id="library-category"
            )
            name = gr.Textbox(
                label="Name", info="What it is called here, after Save or Rename.", max_lines=1, elem_id="library-name"
            )
            save = gr.Button("Save to the library", variant="primary", elem_id="library-save")
        with gr.Column(scale=8, min_width=300):
            search = gr.Textbox(label="Search", max_lines=1, elem_id="library-search")
            cards = gr.HTML(elem_id="library-cards")
            chosen = Listed([], label="Subject", elem_id="library-chosen")
            with gr.Row():
                rename = gr.Button("Rename", elem_id="library-rename")
                delete = gr.Button("Delete", variant="stop", elem_id="library-delete")
                restore = gr.Button("Undo delete", elem_id="library-restore")
                export = gr.Button("Export", elem_id="library-export")
            download = gr.DownloadButton("Download", visible=False, size="sm", elem_id="library-download")
            status = gr.HTML(
                markup.message(f"The library is the folder {room.settings.library}."), elem_id="library-status"
            )
    asked = gr.State("")  # the subject that Delete was clicked for once
    events = _Events(room, status, search, cards, chosen, download, delete, asked)
    shown = [cards, chosen, *lists]
    on_click(save, events.save, [room.model_choice, photos, category, name, search], [status, *shown], ON_MODEL)
    on_click(rename, events.rename, [chosen, name, search], [status, *shown])
    on_click(delete, events.delete, [chosen, search, asked], [status, *shown, delete, asked])
    on_change(chosen.change, events.forget, chosen, [delete, asked])
    on_click(restore, events.restore, search, [status, *shown])
    on_click(export, events.export, chosen, [status, download])
    on_change(search.change, events.show, search, shown)
    room.register(TabPart("library", "Subjects", "library-tab", takes={"subject": photos, "photo": photos}))
    return events.show, search, shown


class _Events:
    """The tab's handlers."""

    def __init__(self, room: Room, *on: Any) -> None:
        self._room, self._lists, self._library = room, room.lists, room.library
        self._status, self._search, self._cards, self._chosen, self._download, self._delete, self._asked = on

    def show(self, search: str) -> dict[Any, Any]:
        """The cards that the search finds."""
        try:
            entries = self._library.entries(search or "")
        except BlipdiffError as error:
            return {self._cards: markup.message(str(error), "bad"), self._chosen: gr.Dropdown([])}
        names = [entry.name for entry in entries if entry.trouble is None]
        offered = library_names(self._library)
        return {
            self._cards: _cards(entries),
            self._chosen: gr.Dropdown(names, value=names[0] if names else None),
            **{one: gr.Dropdown(choices=offered) for one in self._lists},
        }

    def save(self, model: str, paths: list[str] | None, category: str, name: str, search: str) -> dict[Any, Any]:
        """Photos are encoded, a card is copied; both under the name that was typed."""

        def change() -> str:
            if not paths:
                raise SubjectError("There is nothing to save yet; add photos of a subject, or a card.")
            given = [Input(Path(path), category).opened("subject") for path in paths]
            subject = self._room.studio(model).subject_of(given)
            return f"Saved as {self._library.save(subject, name.strip() or None).name!r}."

        return self._changed(change, search, paths or [])

    def rename(self, chosen: str | None, name: str, search: str) -> dict[Any, Any]:
        """The chosen subject gets the name that was typed."""
        return self._changed(lambda: f"Renamed to {self._library.rename(chosen or '', name).name!r}.", search)

    def delete(self, chosen: str | None, search: str, asked: str) -> dict[Any, Any]:
        """The first click asks; the second puts the chosen subject into the bin."""
        if chosen and chosen != asked:
            question = f"Delete {chosen!r}? Click Delete once more."
            return {
                self._status: markup.message(question),
                self._delete: gr.Button(f"Delete {chosen}: sure?"),
                self._asked: chosen,
            }

        def change() -> str:
            self._library.delete(chosen or "")
            return f"Deleted {chosen!r}; it can be taken back."

        return {**self._changed(change, search), **self.forget(chosen)}

    def forget(self, _chosen: str | None) -> dict[Any, Any]:
        """Delete asks anew."""
        return {self._delete: gr.Button("Delete"), self._asked: ""}

    def restore(self, search: str) -> dict[Any, Any]:
        """The subject that was deleted last comes back."""

        def change() -> str:
            deleted = self._library.deleted()
            if not deleted:
                raise SubjectError("Nothing was deleted, or the bin was emptied.")
            return f"{self._library.restore(deleted[0].name).name!r} is back."

        return self._changed(change, search)

    def export(self, chosen: str | None) -> dict[Any, Any]:
        """The chosen subject's card, to download."""
        try:
            self._library.load(chosen or "")
        except BlipdiffError as error:
            return {self._status: markup.message(str(error), "bad")}
        path = self._library.folder / f"{chosen}.safetensors"
        button = gr.DownloadButton(f"Download {path.name}", value=served(path), visible=True)
        return {self._status: markup.message(f"{path.name} is ready.", "good"), self._download: button}

    def _changed(self, change: Callable[[], str], search: str, paths: list[str] | None = None) -> dict[Any, Any]:
        try:
            text = change()
        except BlipdiffError as error:
            return {self._status: markup.message(by_name(error, paths or []), "bad")}
        return {self._status: markup.message(text, "good"), **self.show(search)}


def _cards(entries: list[Entry]) -> str:
    if not entries:
        return '<p class="hint">No subject here yet.</p>'
    return f'<ul class="subjects">{"".join(_card(entry) for entry in entries)}</ul>'


def _card(entry: Entry) -> str:
    told = f"{entry.name}: {entry.trouble or entry.category}"
    seen = '<span class="blank" aria-hidden="true">card</span>'
    if entry.thumbnail is not None:
        seen = f'<img src="{markup.data(entry.thumbnail)}" alt="{markup.escaped(told)}">'
    words = entry.category if entry.trouble is None else "damaged"
    caption = f"<figcaption>{markup.escaped(entry.name)}<br>{markup.escaped(words)}</figcaption>"
    return f'<li><figure title="{markup.escaped(told)}">{seen}{caption}</figure></li>'
