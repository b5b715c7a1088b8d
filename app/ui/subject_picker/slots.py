"""The picker of several subjects, each with a place and a word of its own."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from app.ui.components import PREVIEW, OneOf
from app.ui.events import ON_PHOTOS, on_change
from app.ui.files import served
from app.ui.parts import Changes, Sent
from app.ui.photos import photo_field
from app.ui.room import Kind, Room
from app.ui.subject_picker.brush import CutOutBrush
from app.ui.subject_picker.picks import is_card, outlined, picked_of
from app.ui.subject_picker.shelf import BLANK, Shelf
from app.ui.subjects import category_of
from app.ui.suggestions import Suggestions
from app.ui.texts import said
from blipdiff.conditioning.subject import SubjectEmbedding
from blipdiff.errors import BlipdiffError, PromptError
from pipelines.inputs import Input

LETTERS = "ABCD"


class SubjectSlots:
    """A place for each letter in the current Blocks, two in a row; the first two hold bundled photos."""

    def __init__(self, room: Room, tab: str) -> None:
        self.photos: list[Any] = []
        self.words: list[Any] = []
        self._guesses: list[Any] = []
        self._examples = room.examples[:2]
        bundled = [*self._examples, *[None] * len(LETTERS)]
        for first in range(0, len(LETTERS), 2):
            with gr.Row():
                for letter, example in list(zip(LETTERS, bundled, strict=False))[first : first + 2]:
                    self._place(tab, letter, example)
        with gr.Accordion("From the library", open=False, elem_id=f"{tab}-from-library") as self._frame:
            self._place_of = gr.Radio(
                list(LETTERS), value=None, label="A click fills", info="The first free place, or the one chosen here.",
                elem_id=f"{tab}-shelf-to",
            )  # fmt: skip
            self.shelf = Shelf(partial("{}-{}".format, tab), room.library)
        room.lists.append(self.shelf)
        self.brush = CutOutBrush(partial("{}-{}".format, tab))

    @property
    def inputs(self) -> list[Any]:
        """What `given` reads."""
        return [*self.photos, *self.words, *self.brush.inputs]

    @property
    def outputs(self) -> list[Any]:
        """What `recalled` changes."""
        return [*self.photos, *self.words, *self.brush.outputs]

    def connect(self, suggestions: Suggestions | None = None) -> None:
        """Connects what the places do among themselves."""
        guesses = suggestions or Suggestions()
        for photo, word, offered in zip(self.photos, self.words, self._guesses, strict=True):
            on_change(photo.change, partial(self._guess, guesses, offered), [photo, word], [offered], ON_PHOTOS)
            on_change(offered.input, partial(_use, word, offered), offered, [word, offered])
        self.brush.connect(self.photos, _held, [photo.change for photo in self.photos])
        taken = [*self.photos, *self.words, self._place_of]
        self.shelf.connect(self._frame.expand, self.take, [self._place_of, *self.photos], taken)

    def given(self, values: Sequence[Any]) -> list[tuple[int, Input]]:
        """The subjects of the places that hold one, each with its place, from the inputs' values.

        Raises: PromptError for a photo without a word, SubjectError for a damaged card.
        """
        count = len(LETTERS)
        masks = self.brush.masks(*values[2 * count :])
        found = []
        for place, (path, word) in enumerate(zip(values[:count], values[count : 2 * count], strict=True)):
            typed = (word or "").strip()
            if not path:
                continue
            if is_card(path):
                subject = SubjectEmbedding.load(path)
                found.append((place, Input(subject, typed or subject.category)))
                continue
            if not typed:
                raise PromptError(said("Say in a word or two what subject {letter} is.", letter=LETTERS[place]))
            found.append((place, outlined(Input(Path(path), typed), masks.get(path))))
        return found

    def recalled(self, subjects: Sequence[Input]) -> Changes:
        """The places with a job's subjects. Raises: BlipdiffError for one that cannot be read."""
        kept = subjects[: len(LETTERS)]
        picked = picked_of(kept)
        empty = [None] * len(LETTERS)
        shown = [in_photo_field(path) for path in picked.paths]
        changes: Changes = dict(zip(self.photos, [*shown, *empty], strict=False))
        changes |= dict(zip(self.words, [*(one.word for one in kept), *("" for _ in LETTERS)], strict=False))
        return changes | self.brush.filled(picked.masks)

    @property
    def takes(self) -> dict[Kind, Any]:
        """Where what is sent to the tab goes."""
        return dict.fromkeys(("subject", "photo"), Sent([self.photos[0], self.words[0]], self.sent))

    def sent(self, path: str) -> Changes:
        """The first place with a photo, or with a card and its word."""
        word = SubjectEmbedding.load(path).category if is_card(path) else ""
        return {self.photos[0]: in_photo_field(path), self.words[0]: word}

    def take(self, path: str, wanted: str | None, *photos: str | None) -> Changes:
        """A card goes to the chosen place, or to the first free one, with its word."""
        free = next((place for place, one in enumerate(photos) if not one), 0)
        place = LETTERS.index(wanted) if wanted and wanted in LETTERS else free
        word = SubjectEmbedding.load(path).category
        return {self.photos[place]: in_photo_field(path), self.words[place]: word, self._place_of: None}

    def example(self) -> Changes:
        """The bundled photos in the first places, as at the beginning."""
        photos = dict(zip(self.photos, map(served, self._examples), strict=False))
        return {**photos, **dict(zip(self.words, map(category_of, self._examples), strict=False))}

    def _place(self, tab: str, letter: str, example: Path | None) -> None:
        with gr.Column(min_width=130, elem_classes="slot"):
            label = said("Subject {letter}", letter=letter)
            photo = photo_field(
                label, f"{tab}-photo-{letter}", 150, example, buttons=[], placeholder="Drop a photo",
                sources=["upload", "webcam", "clipboard"],
            )  # fmt: skip
            word = gr.Textbox(
                label=said("What {letter} is", letter=letter),
                max_lines=1,
                value="" if example is None else category_of(example),
                elem_id=f"{tab}-word-{letter}",
            )
            offered = OneOf([], label="It may be", elem_id=f"{tab}-guess-{letter}", elem_classes="suggestions")
        self.photos.append(photo)
        self.words.append(word)
        self._guesses.append(offered)

    @staticmethod
    def _guess(guesses: Suggestions, offered: Any, path: str | None, word: str) -> Changes:
        """What a photo may show that nobody has named."""
        found = guesses.of(path) if path and not is_card(path) and not (word or "").strip() else []
        return {offered: gr.Radio(choices=[(f"{name}, {100 * chance:.0f} %", name) for name, chance in found])}


def in_photo_field(path: str) -> str:
    """What a photo field holds for a file: itself, or for a card its small picture, which stands for it."""
    if not is_card(path):
        return path
    shown = f"{path}{PREVIEW}"
    try:
        picture = SubjectEmbedding.load(path).thumbnail or BLANK
    except BlipdiffError:
        picture = BLANK
    picture.save(shown)
    return shown


def _use(word: Any, offered: Any, name: str | None) -> Changes:
    if not name:
        return gr.skip()  # type: ignore[no-any-return]
    return {word: name, offered: gr.Radio(choices=[], value=None)}


def _held(*paths: str | None) -> list[tuple[str, str]]:
    return [(letter, path) for letter, path in zip(LETTERS, paths, strict=True) if path]
