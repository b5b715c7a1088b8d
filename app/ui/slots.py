"""Places for subjects on tabs that take several: a photo and its word each, or one of the library."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from app.ui.components import Listed
from app.ui.events import on_change
from app.ui.given import as_file
from app.ui.parts import Changes
from app.ui.photos import photo_field
from app.ui.room import Room
from app.ui.subjects import category_of
from blipdiff.errors import BlipdiffError, PromptError, SubjectError
from pipelines.inputs import Input
from pipelines.subject_library import SubjectLibrary

LETTERS = "ABCD"
_NONE = ""  # no subject of the library


class Slots:
    """One for each letter in the current Blocks, two in a row; the first two hold bundled photos."""

    def __init__(self, tab: str, room: Room) -> None:
        self._library = room.library
        self.inputs: list[Any] = []  # of each slot: photo, word, subject of the library
        examples = [*room.examples[:2], *[None] * len(LETTERS)]
        for first in range(0, len(LETTERS), 2):
            with gr.Row():
                for letter, example in list(zip(LETTERS, examples, strict=False))[first : first + 2]:
                    self._place(tab, letter, example)
        room.lists.extend(self.inputs[2::3])

    def given(self, values: Sequence[Any]) -> list[tuple[int, Input]]:
        """The subjects of the slots that hold one, each with its slot's place, from the inputs' values.

        Raises: PromptError for a photo without a word, SubjectError for a subject that the library has not.
        """
        found = []
        for place in range(len(values) // 3):
            photo, word, kept = values[3 * place : 3 * place + 3]
            said = (word or "").strip()
            if kept:
                subject = self._library.load(kept)
                found.append((place, Input(subject, said or subject.category)))
            elif photo:
                if not said:
                    raise PromptError(f"Say in a word or two what subject {LETTERS[place]} is.")
                found.append((place, Input(Path(photo), said)))
        return found

    def recalled(self, given: Sequence[Input]) -> Changes:
        """A job's subjects in their slots. Raises: SubjectError for one that is kept nowhere."""
        files = [as_file(one) for one in given]
        if None in files:
            raise SubjectError("Give the subjects again: their photos are not kept.")
        changes: Changes = {}
        for place in range(len(LETTERS)):
            photo, word, kept = self.inputs[3 * place : 3 * place + 3]
            is_there = place < len(given)
            changes |= {
                photo: files[place] if is_there else None,
                word: given[place].word if is_there else "",
                kept: _NONE,
            }
        return changes

    def _place(self, tab: str, letter: str, example: Path | None) -> None:
        with gr.Column(min_width=130, elem_classes="slot"):
            photo = photo_field(
                f"Subject {letter}", f"{tab}-photo-{letter}", 130, example, buttons=[], placeholder="Drop a photo"
            )
            word = gr.Textbox(
                label=f"What {letter} is",
                max_lines=1,
                value="" if example is None else category_of(example),
                elem_id=f"{tab}-word-{letter}",
            )
            kept = Listed([_NONE], value=_NONE, label="Or from the library", elem_id=f"{tab}-kept-{letter}")
        on_change(kept.input, self._word_of, kept, word)
        self.inputs += [photo, word, kept]

    def _word_of(self, kept: str | None) -> Any:
        """A subject of the library brings its word along."""
        try:
            return self._library.load(kept).category if kept else gr.skip()
        except BlipdiffError:
            return gr.skip()


def library_names(library: SubjectLibrary) -> list[str]:
    """What a slot's list offers: nothing, then every card that can be read; nothing alone where there is none."""
    try:
        return [_NONE, *(entry.name for entry in library.entries() if entry.trouble is None)]
    except BlipdiffError:
        return [_NONE]
