"""The tab of the subject library: cards with their pictures; added, renamed, deleted and taken back, sent, used."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from app.ui import markup
from app.ui.components import Listed
from app.ui.events import AT_ONCE, ON_MODEL, on_change, on_click
from app.ui.files import served, without_folder
from app.ui.notices import guarded, notice
from app.ui.parts import Changes
from app.ui.room import Room, TabPart
from app.ui.subject_picker.cards import card_of
from app.ui.subject_picker.picker import SubjectPicker
from app.ui.subject_picker.picks import is_card
from app.ui.subject_picker.shelf import cards_gallery, found_cards
from app.ui.texts import retold, said
from blipdiff.errors import BlipdiffError, SubjectError
from pipelines.task import SUBJECTS

NAME = "library"


@dataclass(frozen=True, slots=True)
class Parts:
    """What the tab's events change and read."""

    status: Any
    search: Any
    cards: Any
    names: Any  # of the cards, in their order
    note: Any
    chosen: Any
    download: Any
    delete: Any
    asked: Any  # the subject that Delete was clicked for once


def library_tab(room: Room) -> Any:
    """Builds the tab in the current Blocks, after the others; gives the search, whose change shows the library afresh.

    The shelves of the library on other tabs change with it, in the same answer.
    """
    with gr.Row(elem_classes="workbench"):
        with gr.Column(scale=5, min_width=300, elem_classes="asking"):
            gr.Markdown("**Add a subject**", elem_classes="group")
            picker = SubjectPicker(
                room,
                partial("{}-{}".format, NAME),
                replace(SUBJECTS, least=0),
                label="Photos of one subject, or cards",
                examples=room.examples,
                has_library=False,
            )
            category = gr.Textbox(
                label="Category", info="What it is, in a word or two.", max_lines=1, elem_id="library-category"
            )
            name = gr.Textbox(
                label="Name", info="What it is called in the library; its category if empty.", max_lines=1,
                elem_id="library-name",
            )  # fmt: skip
            bare = gr.Checkbox(
                False,
                label="Without its photo",
                info="The card then shows nobody the photo, and Detail has nothing to read from it.",
                elem_id="library-bare",
            )
            with gr.Row():
                save = gr.Button("Save to the library", variant="primary", scale=2, elem_id="library-save")
                bring = gr.Button("Import each card", scale=1, min_width=120, elem_id="library-import")
        with gr.Column(scale=8, min_width=300, elem_classes="seeing"):
            on = _place_cards(room)
            with gr.Row():
                new_name = gr.Textbox(label="New name", max_lines=1, scale=3, elem_id="library-new-name")
                rename = gr.Button("Rename", scale=1, min_width=100, elem_id="library-rename")
            with gr.Row():
                restore = gr.Button("Undo delete", min_width=100, elem_id="library-restore")
                export = gr.Button("Export", min_width=100, elem_id="library-export")
                on.delete.render()
            on.download.render()
            on.status.render()
    picker.connect(category)
    events = LibraryEvents(room, on)
    shown = [on.cards, on.note, on.names, on.chosen, *[part for shelf in room.lists for part in shelf.parts]]
    given = [category, name, bare, on.search, *picker.inputs]
    save_subject = partial(events.save, picker)
    on_click(save, save_subject, [room.model_choice, *given], [on.status, *shown], ON_MODEL)
    on_click(bring, events.bring_in, [picker.files, on.search], [on.status, *shown])
    on_click(rename, events.rename, [on.chosen, new_name, on.search], [on.status, *shown])
    on_click(on.delete, events.delete, [on.chosen, on.search, on.asked], [on.status, *shown, on.delete, on.asked])
    on_change(on.chosen.change, events.forget, on.chosen, [on.delete, on.asked])
    on_click(restore, events.restore, on.search, [on.status, *shown])
    on_click(export, events.export, on.chosen, [on.status, on.download])
    on_change(on.search.change, events.show, on.search, shown)
    on.cards.select(guarded(events.choose), on.names, on.chosen, trigger_mode="multiple", **AT_ONCE)
    room.register(TabPart(NAME, "Subjects", "library-tab", takes=picker.takes))
    return events.show, on.search, shown


def _place_cards(room: Room) -> Parts:
    """The cards with their search, and the buttons that use the chosen one on another tab."""
    search = gr.Textbox(
        label="Search", show_label=False, placeholder="Search by name or kind", max_lines=1, elem_id="library-search"
    )
    cards = cards_gallery("library-cards", 5)
    note = gr.HTML("", elem_id="library-note")
    chosen = Listed([], label="Subject", info="The one that was clicked.", elem_id="library-chosen")
    gr.Markdown("Use it in", elem_classes="hint")
    with gr.Row(elem_id="library-uses"):
        for part in [one for one in room.tabs.values() if "subject" in one.takes]:
            use = gr.Button(part.title, size="sm", min_width=80, elem_id=f"library-use-{part.name}")
            room.later(partial(_connect_use, room, use, chosen, part.name))
    return Parts(
        gr.HTML(
            markup.message(said("The library is the folder {folder}.", folder=room.settings.library)),
            elem_id="library-status",
            elem_classes="status",
            render=False,
        ),
        search,
        cards,
        gr.State([]),
        note,
        chosen,
        gr.DownloadButton("Download", visible=False, size="sm", elem_id="library-download", render=False),
        gr.Button("Delete", variant="stop", min_width=100, elem_id="library-delete", render=False),
        gr.State(""),
    )


def _connect_use(room: Room, button: Any, chosen: Any, to: str) -> None:
    def use(name: str | None) -> Changes:
        try:
            return room.send_changes("subject", room.library.path(name or ""), to)
        except BlipdiffError as error:
            notice(without_folder(str(error)))
            return gr.skip()  # type: ignore[no-any-return]

    on_click(button, use, chosen, room.changed)


class LibraryEvents:
    """The tab's handlers."""

    def __init__(self, room: Room, on: Parts) -> None:
        self._room, self._library, self._on = room, room.library, on

    def show(self, search: str = "") -> Changes:
        """The cards that the search finds, here and on the shelves of other tabs."""
        on = self._on
        cards, names, note = found_cards(self._library, search)
        changes: Changes = {
            on.cards: gr.Gallery(cards, selected_index=None),
            on.names: names,
            on.note: note,
            on.chosen: gr.Dropdown(names, value=names[0] if names else None),
        }
        for shelf in self._room.lists:
            changes |= shelf.show()
        return changes

    def choose(self, event: gr.SelectData, names: list[str]) -> Any:
        """The card that was clicked."""
        return names[event.index] if event.index < len(names) else gr.skip()

    def save(
        self, picker: SubjectPicker, model: str, category: str, name: str, is_bare: bool, search: str, *given: Any
    ) -> Changes:
        """What the picker holds becomes one card, under the name that was typed."""

        def change() -> str:
            subjects = picker.subjects(*given)
            if not subjects:
                raise SubjectError(said("There is nothing to save yet; add photos of a subject, or a card."))
            card, notes = card_of(self._room.studio(model), subjects, category, with_photo=not is_bare)
            saved = self._library.save(card, name.strip() or None)
            return " ".join((said("Saved as {name}.", name=repr(saved.name)), *map(retold, notes)))

        return self._changed(change, search)

    def bring_in(self, paths: list[str] | None, search: str) -> Changes:
        """Cards are copied as they are, each under its own name."""

        def change() -> str:
            cards = [path for path in paths or [] if is_card(path)]
            if not cards:
                raise SubjectError(said("There is no card to import; add files that end in .safetensors."))
            names = [self._library.bring_in(Path(path)).name for path in cards]
            return said("Imported {names}.", names=", ".join(map(repr, names)))

        return self._changed(change, search)

    def rename(self, chosen: str | None, name: str, search: str) -> Changes:
        """The chosen subject gets the name that was typed."""

        def change() -> str:
            return said("Renamed to {name}.", name=repr(self._library.rename(chosen or "", name).name))

        return self._changed(change, search)

    def delete(self, chosen: str | None, search: str, asked: str) -> Changes:
        """The first click asks; the second puts the chosen subject into the bin."""
        on = self._on
        if chosen and chosen != asked:
            question = said("Delete {name}? Click Delete once more.", name=repr(chosen))
            button = gr.Button(said("Delete {name}: sure?", name=chosen))
            return {on.status: markup.message(question), on.delete: button, on.asked: chosen}

        def change() -> str:
            self._library.delete(chosen or "")
            return said("Deleted {name}; it can be taken back.", name=repr(chosen))

        return {**self._changed(change, search), **self.forget(chosen)}

    def forget(self, _chosen: str | None) -> Changes:
        """Delete asks anew."""
        return {self._on.delete: gr.Button(said("Delete")), self._on.asked: ""}

    def restore(self, search: str) -> Changes:
        """The subject that was deleted last comes back."""

        def change() -> str:
            deleted = self._library.deleted()
            if not deleted:
                raise SubjectError(said("Nothing was deleted, or the bin was emptied."))
            return said("{name} is back.", name=repr(self._library.restore(deleted[0].name).name))

        return self._changed(change, search)

    def export(self, chosen: str | None) -> Changes:
        """The chosen subject's card, to download."""
        on = self._on
        try:
            self._library.load(chosen or "")
            path = self._library.path(chosen or "")
        except BlipdiffError as error:
            return {on.status: markup.message(str(error), "bad")}
        button = gr.DownloadButton(said("Download {name}", name=path.name), value=served(path), visible=True)
        return {on.status: markup.message(said("{name} is ready.", name=path.name), "good"), on.download: button}

    def _changed(self, change: Callable[[], str], search: str) -> Changes:
        try:
            text = change()
        except BlipdiffError as error:
            return {self._on.status: markup.message(without_folder(str(error)), "bad")}
        return {self._on.status: markup.message(text, "good"), **self.show(search)}
