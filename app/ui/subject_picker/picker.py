"""The picker of one subject, which several photos and cards may show together."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from app.ui import markup
from app.ui.components import OneOf, Photo
from app.ui.events import ON_PHOTOS, on_change, on_click
from app.ui.files import served
from app.ui.form import Form
from app.ui.notices import notice
from app.ui.parts import Changes, Sent
from app.ui.photos import FILE_TYPES
from app.ui.room import Kind, Room
from app.ui.subject_picker.brush import CutOutBrush
from app.ui.subject_picker.picks import Picked, is_card, picked_of, subjects_of
from app.ui.subject_picker.shelf import Shelf
from app.ui.subjects import MOST_SUBJECTS, category_of, looked_through
from app.ui.suggestions import Suggestions
from app.ui.texts import said
from blipdiff.conditioning.subject import SubjectEmbedding
from blipdiff.errors import SubjectError
from blipdiff.ranges import KNOWN_THINGS
from pipelines.inputs import CARD_SUFFIX, Input
from pipelines.task import InputKind

DETAIL = (
    "0 draws the subject as it is remembered; up to 1 more of its markings, print and shape is read from its photo. "
    "A model that did not learn to read photos counts both the same around 0.5."
)
_NO_PHOTO = "{names} keeps no photo, so Detail has nothing to read from it."


class SubjectPicker:
    """Placed in the current Blocks: upload, drop, paste, camera, library, weights, and the cut-out.

    named: what names the elements of a tab; examples: photos to try; has_library: whether the library is offered
    """

    def __init__(
        self,
        room: Room,
        named: Callable[[str], str],
        kind: InputKind,
        *,
        label: str = "",
        examples: Sequence[Path] = (),
        has_library: bool = True,
    ) -> None:
        self._kind, self._examples = kind, list(examples)
        self._category: Any = None
        self.shelf: Shelf | None = None
        with gr.Tabs(elem_id=named("picker"), elem_classes="picker"):
            with gr.Tab("Photo or card"):
                self.files = gr.File(
                    label=label or kind.label,
                    file_count="multiple",
                    file_types=[*FILE_TYPES, CARD_SUFFIX],
                    elem_id=named("subject"),
                    elem_classes="subject takes-paste",
                    height=96,
                )
            if has_library:
                with gr.Tab("Library", elem_id=named("from-library")) as self._library_tab:
                    self.shelf = Shelf(named, room.library)
                room.lists.append(self.shelf)
            with gr.Tab("Camera"):
                self._camera = Photo(
                    label="Camera", show_label=False, type="filepath", sources=["webcam"], buttons=[], height=240,
                    webcam_options=gr.WebcamOptions(mirror=False), elem_id=named("camera"),
                )  # fmt: skip
        self.strip = gr.HTML(markup.subjects(()), elem_id=named("subjects"), elem_classes="picked")
        self.weights = self._weight_sliders(named)
        self._buttons = self._example_buttons(named("examples"))
        told = KNOWN_THINGS[:1].upper() + KNOWN_THINGS[1:]
        self.suggestions = OneOf(  # hidden when empty: page.css
            [], label="The photo may show", info=told, elem_id=named("suggestions"), elem_classes="suggestions"
        )
        self.brush = CutOutBrush(named)

    @property
    def inputs(self) -> list[Any]:
        """What `subjects` reads."""
        return [self.files, *self.weights, *self.brush.inputs]

    @property
    def outputs(self) -> list[Any]:
        """What `recalled` changes."""
        return [self.files, *self.weights, *self.brush.outputs]

    def connect(self, category: Any = None, suggestions: Suggestions | None = None) -> None:
        """category: the control that says what the subject is, where there is one"""
        self._category = category
        guesses, held = suggestions or Suggestions(), [self.files, *self.weights]
        looked = [self.strip, self.files, *self.weights]
        if category is None:
            on_change(self.files.change, partial(self.look, guesses, None), held, looked, ON_PHOTOS)
        else:
            look = partial(self.look, guesses, category)
            on_change(self.files.change, look, [*held, category], [*looked, category, self.suggestions], ON_PHOTOS)
            chosen = [category, self.suggestions]
            on_change(self.suggestions.input, partial(self.use_suggestion, category), self.suggestions, chosen)
            for button, path in zip(self._buttons, self._examples, strict=True):
                on_click(button, partial(self.use_example, category, path), None, [self.files, category])
        self.brush.connect([self.files], _held, [self.files.change])
        if self.shelf is not None:
            self.shelf.connect(self._library_tab.select, self.take, [self.files], [self.files])
        on_change(self._camera.input, self.take_picture, [self._camera, self.files], [self.files, self._camera])

    def subjects(self, paths: list[str] | None, *values: Any) -> list[Input]:
        """The subjects of a job, from what stands in `inputs`. Raises: SubjectError for none where one is needed."""
        if self._kind.least and not paths:
            raise SubjectError(said("There is no subject yet; add a photo or a subject card."))
        count = len(self.weights)
        weights, (canvas, known) = values[:count], values[count:]
        return subjects_of(Picked(tuple(paths or ()), tuple(weights), self.brush.masks(canvas, known)))

    def recalled(self, subjects: Sequence[Input]) -> Changes:
        """The picker with a job's subjects. Raises: BlipdiffError for one that cannot be read."""
        picked = picked_of(subjects)
        weights = [1.0 if one is None else one for one in picked.weights] + [1.0] * MOST_SUBJECTS
        changes: Changes = {self.files: list(picked.paths) or None} | self.brush.filled(picked.masks)
        return changes | dict(zip(self.weights, weights, strict=False))

    @property
    def example(self) -> tuple[list[Any], Callable[[Path], Changes]]:
        """What an example changes, and how."""
        return [self.files], lambda photo: {self.files: [served(photo)]}

    @property
    def takes(self) -> dict[Kind, Any]:
        """Where what is sent to the tab goes."""
        outputs = [self.files, *([] if self._category is None else [self._category])]
        return dict.fromkeys(("subject", "photo"), Sent(outputs, self.sent))

    def sent(self, path: str) -> Changes:
        """A photo or a card alone, with what a card says that it is."""
        if self._category is None:
            return {self.files: [path]}
        return {self.files: [path], self._category: SubjectEmbedding.load(path).category if is_card(path) else ""}

    def take(self, path: str, paths: list[str] | None) -> Changes:
        """A photo or a card comes to those that are there."""
        return {self.files: [*(paths or []), path]}

    def take_picture(self, photo: str | None, paths: list[str] | None) -> Changes:
        """The camera's picture; the camera is free for the next."""
        if photo is None:
            return gr.skip()  # type: ignore[no-any-return]
        return self.take(photo, paths) | {self._camera: None}

    def look(self, guesses: Suggestions, category: Any, paths: list[str] | None, *values: Any) -> Changes:
        """Shows what was dropped; what cannot be used is said and left out."""
        weights, typed = values[: len(self.weights)], values[len(self.weights) :]
        found = looked_through(paths or [])
        without = [tile.name for tile in found.tiles if not tile.keeps_photo]
        told = [markup.message(said(_NO_PHOTO, names=", ".join(without)))] if without else []
        changes: Changes = {self.strip: "".join((markup.subjects(found.tiles), *told))}
        if found.complaints:
            notice(" ".join(found.complaints))
            changes[self.files] = list(found.paths) or None
        if not found.paths:
            changes |= dict.fromkeys([one for one, at in zip(self.weights, weights, strict=True) if at != 1], 1.0)
        if category is None:
            return changes
        known = next((tile.category for tile in found.tiles if tile.category), None)
        is_unnamed = not typed[0].strip()
        if known and is_unnamed:
            changes[category] = known
        offered = guesses.of(found.paths[0]) if found.paths and not known and is_unnamed else []
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

    def _weight_sliders(self, named: Callable[[str], str]) -> list[Any]:
        if not self._kind.is_weighted:
            return []
        with gr.Row(elem_classes="weights"):
            return [
                gr.Slider(
                    0, 1, 1.0, step=0.05, label=said("Weight of {what}", what=place), min_width=110,
                    elem_id=named(f"weight-{place}"), elem_classes=f"weight-{place}",
                )
                for place in range(1, MOST_SUBJECTS + 1)
            ]  # fmt: skip

    def _example_buttons(self, name: str) -> list[Any]:
        if not self._examples:
            return []
        gr.Markdown("Or try one of these:", elem_classes="hint")
        with gr.Row(elem_id=name, elem_classes="examples"):
            return [
                gr.Button(category_of(path), icon=served(path), size="sm", min_width=0, scale=0)
                for path in self._examples
            ]


def place_detail(form: Form) -> None:
    """How much is read from the subject's photo, where the task can."""
    form.place("detail", label="Detail from the photo", info=DETAIL, placeholder="the model's own if empty")


def _held(paths: list[str] | None) -> list[tuple[str, str]]:
    return [(str(place), path) for place, path in enumerate(paths or [], 1)]
