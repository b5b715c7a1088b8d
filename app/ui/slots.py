"""Places for subjects on tabs that take several: a photo and its word each, or one of the library."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from app.ui.components import Listed
from app.ui.events import on_change
from app.ui.photos import photo_field
from app.ui.subjects import category_of
from blipdiff.errors import BlipdiffError, PromptError
from pipelines.inputs import Input
from pipelines.subject_library import SubjectLibrary

LETTERS = "ABCD"
_NONE = ""  # no subject of the library


@dataclass(frozen=True, slots=True)
class Slot:
    """The controls of one subject."""

    photo: Any
    word: Any
    kept: Any

    @property
    def inputs(self) -> list[Any]:
        """In the order in which `filled` reads them."""
        return [self.photo, self.word, self.kept]


def place_slots(tab: str, count: int, examples: Sequence[Path]) -> list[Slot]:
    """`count` slots in the current Blocks, two in a row; the first two hold bundled photos."""
    slots = []
    for first in range(0, count, 2):
        with gr.Row():
            for place in range(first, min(first + 2, count)):
                slots.append(_slot(tab, place, examples[place] if place < min(2, len(examples)) else None))
    return slots


def connect_slots(slots: Sequence[Slot], library: SubjectLibrary) -> None:
    """A subject of the library brings its word along."""

    def word_of(kept: str | None) -> Any:
        try:
            return library.load(kept).category if kept else gr.skip()
        except BlipdiffError:
            return gr.skip()

    for slot in slots:
        on_change(slot.kept.input, word_of, slot.kept, slot.word)


def library_names(library: SubjectLibrary) -> list[str]:
    """What a slot's list offers: nothing, then every card that can be read; nothing alone where there is none."""
    try:
        return [_NONE, *(entry.name for entry in library.entries() if entry.trouble is None)]
    except BlipdiffError:
        return [_NONE]


def refreshed(library: SubjectLibrary, count: int) -> list[Any]:
    """The lists of library subjects as they are now."""
    names = library_names(library)
    return [gr.Dropdown(choices=names) for _ in range(count)]


def filled(values: Sequence[Any], library: SubjectLibrary) -> list[tuple[int, Input]]:
    """The subjects of the slots that hold one, each with its slot's place, from the values of all slots' inputs.

    Raises: PromptError for a photo without a word, SubjectError for a subject that the library has not.
    """
    found = []
    for place in range(len(values) // 3):
        photo, word, kept = values[3 * place : 3 * place + 3]
        said = (word or "").strip()
        if kept:
            subject = library.load(kept)
            found.append((place, Input(subject, said or subject.category)))
        elif photo:
            if not said:
                raise PromptError(f"Say in a word or two what subject {LETTERS[place]} is.")
            found.append((place, Input(Path(photo), said)))
    return found


def _slot(tab: str, place: int, example: Path | None) -> Slot:
    letter = LETTERS[place]
    with gr.Column(min_width=130, elem_classes="slot"):
        photo = photo_field(
            f"Subject {letter}", f"{tab}-photo-{letter}", 130, example, buttons=[], placeholder="Drop a photo"
        ).photo
        word = gr.Textbox(
            label=f"What {letter} is",
            max_lines=1,
            value="" if example is None else category_of(example),
            elem_id=f"{tab}-word-{letter}",
        )
        kept = Listed([_NONE], value=_NONE, label="Or from the library", elem_id=f"{tab}-kept-{letter}")
    return Slot(photo, word, kept)
