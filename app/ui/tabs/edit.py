"""The tab that edits: a source, the words to swap, the subject; before and after, and the mask."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gradio as gr

from app.ui import markup
from app.ui.bench import Bench
from app.ui.compared import place_compared
from app.ui.components import Marks
from app.ui.events import ON_PHOTOS, SILENT, on_change, on_click
from app.ui.examples import SCENE, connect_example, place_example
from app.ui.files import served
from app.ui.given import as_file
from app.ui.painting import Painting
from app.ui.parts import Changes
from app.ui.photos import photo_field
from app.ui.room import Kind, Room
from app.ui.subject_picker.picker import SubjectPicker, place_detail
from app.ui.subjects import category_of
from app.ui.tabs.edit_words import clicked_words, sentence_of, swapped_words
from app.ui.texts import said
from app.ui.views import View
from blipdiff.errors import ConfigError
from blipdiff.images import open_picture
from pipelines.job import Job
from pipelines.task import Task

PHOTO, GENERATED = "A photo", "The prompt's own picture"

_OWN = {"steps": 20, "keep_background": True}
_STEPS = (
    "Add a photo, and say what it shows.",
    "Click on the word that shall become something else, and say what.",
    "Press Edit.",
)
_SAID = ("source", "target", "category", "prompt", "focus", "from_prompt")  # by the sentence and the kind of source


class EditTab(Bench):
    """Built in the current Blocks."""

    def __init__(self, room: Room, task: Task) -> None:
        super().__init__(room, task, _OWN, without=_SAID)
        with self.workbench():
            with self.asking():
                self._place_source()
                label = "In the look of this subject"
                self.subject = SubjectPicker(room, self.id, task.inputs["subject"], label=label)
                place_detail(self.form)
                self.form.place("strength", "keep_background", "seed")
                self.place_settings()
                [edit] = self.place_actions("Give a source, click on a word, and say what it becomes.", draw="Edit")
            with self.seeing():
                welcome = markup.welcome(*_STEPS)
                self.place_stage(welcome)
                example = place_example(self.id("try"))
                self._place_compared()
                self.place_results(welcome, show=self._compared)
        self.subject.connect()
        fields = [self.kind, self.sentence, self.words, self.instead, self.subject.files]
        connect_example(example, self._example, fields, edit)
        self.sentence.change(None, [self.sentence, self.words], self.words, js="blipdiff.words", **SILENT)
        on_change(self.kind.input, lambda kind: kind == PHOTO, self.kind, self.form.controls["keep_background"])
        self.painting.connect(self.photo)
        on_click(self.take_over, self.painting.shown, self.source, self.painting.canvas, ON_PHOTOS)
        read = [self.kind, self.photo, *self.painting.inputs, self.sentence, self.words, self.instead]
        self.connect(edit, self.asked, [room.model_choice, *read, *self.subject.inputs])
        takes: dict[Kind, Any] = {"photo": self.photo, "picture": self.photo}
        takes |= {"subject": self.subject.takes["subject"]}
        self.connect_rest(
            self.recalled,
            [*read, self.fold, *self.subject.outputs],
            takes,
            [self.slider, self.mask, self.maps, self.source],
        )

    def asked(
        self,
        model: str,
        kind: str,
        photo: str | None,
        canvas: Mapping[str, Any] | None,
        kept: Any,
        sentence: str,
        clicked: list[int],
        instead: str,
        *values: Any,
    ) -> Job:
        """The edit of a photo, or of the picture that the sentence makes."""
        *given, typed = values
        if kind == PHOTO and photo is None:
            raise ConfigError(said("There is no photo yet; add one, or choose the prompt's own picture."))
        swap = swapped_words(sentence, clicked, instead)
        words = {"source": swap.source, "target": swap.target, "prompt": swap.prompt, "focus": swap.focus}
        category = instead.strip() or swap.named
        request = self.form.request(typed, **words, category=category, from_prompt=kind == GENERATED)
        subject = self.subject.subjects(*given)
        if photo is None or request.from_prompt:
            mask = self.painting.mask(self._drawn_size(model, request), canvas, kept)
            return Job.of(request, mask=mask, subject=subject)
        mask = self.painting.mask(open_picture(photo).size, canvas, kept)
        return Job.of(request, source=Path(photo), mask=mask, subject=subject)

    def recalled(self, job: Job) -> Changes:
        """The sentence with its words clicked on, the photo, what was painted, and the subject.

        Raises: BlipdiffError for a photo that is kept nowhere.
        """
        changes: Changes = {
            **self.words_recalled(job),
            self.kind: GENERATED if job.request.from_prompt else PHOTO,
            self.photo: None,
        }
        changes |= self.subject.recalled(job.given("subject"))
        source = [as_file(one) for one in job.given("source")]
        if None in source:
            raise ConfigError(said("Give the photo again: it is not kept."))
        if source:
            changes[self.photo] = source[0]
        masks = [one.image for one in job.opened().given("mask")]
        if masks:
            changes[self.fold] = gr.Accordion(open=True)
        return changes | self.painting.recalled(source[0] if source else None, masks)

    def words_recalled(self, job: Job) -> Changes:
        """The sentence with its words clicked on, what they become, and what else the form says in words."""
        sentence, instead = sentence_of(job.request)
        choices = [(word, place) for place, word in enumerate(sentence.split())]
        clicked = gr.CheckboxGroup(choices=choices, value=clicked_words(job.request))
        return {**super().words_recalled(job), self.sentence: sentence, self.instead: instead, self.words: clicked}

    def _example(self) -> Changes:
        """One bundled thing for another, in a picture that is drawn first."""
        new, old = self.room.examples[:2]
        sentence = f"a {category_of(old)} {SCENE}"
        clicked = gr.CheckboxGroup(choices=[(word, place) for place, word in enumerate(sentence.split())], value=[1])
        filled = {self.kind: GENERATED, self.sentence: sentence, self.words: clicked, self.instead: category_of(new)}
        return {**filled, self.subject.files: [served(new)]}

    def _drawn_size(self, model: str, request: Any) -> tuple[int, int]:
        """Of the picture that the sentence makes."""
        facts = self.room.known(model)
        return request.width or facts.width, request.height or facts.height

    def _place_source(self) -> None:
        self.kind = gr.Radio([PHOTO, GENERATED], value=PHOTO, label="Source", elem_id="edit-kind")
        self.photo = photo_field("Photo", "edit-photo", 240)
        self.fold = gr.Accordion("Paint where the edit may happen", open=False, elem_id="edit-painting")
        with self.fold:
            self.painting = Painting("edit-canvas", "The source")
        self.sentence = gr.Textbox(
            label="What the picture shows", placeholder="a cat sits on a sofa", max_lines=2, elem_id="edit-sentence"
        )
        self.words = Marks([], label="Swap", info="Click on the words for what is swapped.", elem_id="edit-words")
        self.instead = gr.Textbox(label="For", placeholder="dog", max_lines=1, elem_id="edit-instead")

    def _place_compared(self) -> None:
        self.slider = place_compared("Before and after", "edit-slider")
        with gr.Row():
            looks: dict[str, Any] = {"interactive": False, "format": "png", "elem_classes": "when-there"}
            looks |= {"buttons": ["download", "fullscreen"], "height": 240}
            self.mask = gr.Image(label="Mask: white was edited", elem_id="edit-mask", **looks)
            self.maps = gr.Image(label="Where each word was seen", elem_id="edit-maps", **looks)
        self.take_over = gr.Button("Paint on this source", size="sm", elem_id="edit-take-over")
        self.source = gr.State(None)  # the last source's file, to paint on

    def _compared(self, _job: Job, view: View) -> Changes:
        """The newest edit beside its source, its mask, and where its words were seen."""
        if not view.drawn:
            return {}
        one = view.drawn[-1]
        paths = {part: served(path) for part, path in one.beside.items()}
        return {
            self.slider: (paths["before"], served(one.path)),
            self.mask: paths.get("mask"),
            self.maps: paths["maps"],
            self.source: paths["before"],
        }
