"""The library as thumbnails to click, on every tab that takes subjects."""

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr
from PIL import Image

from app.ui import markup
from app.ui.events import AT_ONCE, on_change
from app.ui.files import served, without_folder
from app.ui.notices import guarded, notice
from app.ui.parts import Changes
from app.ui.texts import said
from blipdiff.errors import BlipdiffError
from pipelines.subject_library import Entry, SubjectLibrary

_MOST = 60  # cards at once; more of them are found by searching
BLANK = Image.new("RGB", (96, 96), "#cbd5e1")
_EMPTY = "The library is empty. On the tab Subjects a photo becomes a card that you can use again and again."


class Shelf:
    """Placed in the current Blocks."""

    def __init__(self, named: Callable[[str], str], library: SubjectLibrary) -> None:
        self._library = library
        self.search = gr.Textbox(
            label="Search the library", show_label=False, placeholder="Search by name or kind", max_lines=1,
            elem_id=named("shelf-search"),
        )  # fmt: skip
        self._cards = cards_gallery(named("shelf"))
        self._note = gr.HTML("", elem_id=named("shelf-note"))
        self._names = gr.State([])

    @property
    def parts(self) -> list[Any]:
        """What `show` changes."""
        return [self._cards, self._names, self._note]

    def connect(self, opened: Any, take: Callable[..., Changes], inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        """opened: the event at which it comes to sight; take: what a card's path and the inputs' values change"""
        on_change([opened, self.search.change], self.show, self.search, self.parts)

        def taken(event: gr.SelectData, names: list[str], *values: Any) -> Changes:
            changes: Changes = {self._cards: gr.Gallery(selected_index=None)}
            try:
                path = served(self._library.path(names[event.index]))
            except (BlipdiffError, IndexError) as error:
                notice(without_folder(str(error)))
                return changes
            return changes | take(path, *values)

        told = [self._names, *inputs]
        self._cards.select(guarded(taken), told, [self._cards, *outputs], trigger_mode="multiple", **AT_ONCE)

    def show(self, search: str = "") -> Changes:
        """The cards that a search finds."""
        cards, names, note = found_cards(self._library, search)
        return {self._cards: gr.Gallery(cards, selected_index=None), self._names: names, self._note: note}


def cards_gallery(name: str, columns: int = 3) -> Any:
    """A gallery of cards, hidden where it has none."""
    return gr.Gallery(
        label="Subjects of the library", show_label=False, columns=columns, allow_preview=False, interactive=False,
        buttons=[], object_fit="contain", elem_id=name, elem_classes="gallery cards",
    )  # fmt: skip


def found_cards(library: SubjectLibrary, search: str) -> tuple[list[tuple[Image.Image, str]], list[str], str]:
    """The cards that a search finds, with what stands under them; their names; and a sentence where it needs one."""
    words = (search or "").strip()  # Gradio gives None for a box that nobody has touched
    try:
        entries = [one for one in library.entries(words) if one.trouble is None]
    except BlipdiffError as error:
        return [], [], markup.message(str(error), "bad")
    shown = entries[:_MOST]
    note = "" if entries else markup.message(said("No subject is called so.") if words else said(_EMPTY))
    if len(entries) > _MOST:
        note = markup.message(
            said("The first {most} of {count}; search for the others.", most=_MOST, count=len(entries))
        )
    return [(one.thumbnail or BLANK, caption(one)) for one in shown], [one.name for one in shown], note


def caption(entry: Entry) -> str:
    """What stands under a card: its name, and what it is where that is another word."""
    same = entry.category.casefold() in entry.name.casefold()
    return entry.name if same else f"{entry.name}, {entry.category}"
