"""The tab that stylizes: a look, a structure with its map at once, and the result beside the structure."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from app.libraries import load_libraries
from app.ui import markup
from app.ui.bench import Bench
from app.ui.compared import compared, place_compared
from app.ui.events import ON_PHOTOS, on_change
from app.ui.examples import connect_example, place_example
from app.ui.files import served, without_folder
from app.ui.form import Form
from app.ui.given import as_file
from app.ui.parts import Changes
from app.ui.photos import photo_field
from app.ui.preset_field import Rest
from app.ui.room import Kind, Room
from app.ui.subject_picker.picker import SubjectPicker, place_detail
from app.ui.subjects import category_of
from app.ui.texts import said
from app.ui.views import View
from blipdiff.control.choices import NONE, PREPROCESSORS
from blipdiff.control.needs import PACKAGE, lacking
from blipdiff.control.net_names import BUNDLED_CONTROLS, map_of_control
from blipdiff.errors import BlipdiffError, ConfigError, SubjectError
from blipdiff.images import open_picture
from pipelines.controls.settings import ControlSettings
from pipelines.job import Job
from pipelines.parameters import parameters, plain
from pipelines.stylize.request import StylizeRequest
from pipelines.task import Task


class _Control:
    """The controls of how the structure is followed."""

    def __init__(self) -> None:
        self.form = Form(ControlSettings, "stylize")
        self.sliders: dict[tuple[str, str], Any] = {}
        self.groups: dict[str, Any] = {}

    def place(self) -> None:
        declared = parameters(ControlSettings)["control"]
        self.form.use(
            "control",
            gr.Dropdown(
                list(BUNDLED_CONTROLS),
                value=BUNDLED_CONTROLS[0],
                allow_custom_value=True,
                label=declared.label,
                info=declared.help,
                elem_id="stylize-control",
            ),
        )
        self.form.place("preprocessor")
        self.form.controls["preprocessor"].choices = [(_named(name), name) for name in PREPROCESSORS]
        for one in PREPROCESSORS.values():
            if one.settings:
                with gr.Group(visible=one.name == "canny") as self.groups[one.name]:
                    self._place_sliders(one.name, one.settings)
        self.form.place("strength")
        with gr.Accordion("How the structure is followed", open=False):
            self.form.place(*parameters(ControlSettings))

    @property
    def inputs(self) -> list[Any]:
        return [*self.sliders.values(), *self.form.inputs]

    def settings(self, typed: Sequence[Any]) -> ControlSettings:
        """What was set. Raises: BlipdiffError for what is out of range."""
        values = dict(zip(self.sliders, typed, strict=False))
        fields = self.form.values(typed[len(self.sliders) :])
        chosen = fields["preprocessor"]
        asked = {setting: values[owner, setting] for owner, setting in self.sliders if owner == chosen}
        return ControlSettings(**fields, map_settings=asked)

    def filled(self, settings: ControlSettings) -> Changes:
        """The controls as they show settings."""
        asked = settings.map_choice()
        sliders = {
            slider: asked.settings[name]
            for (owner, name), slider in self.sliders.items()
            if owner == settings.preprocessor and name in asked.settings
        }
        return self.form.filled(settings) | sliders

    def connect(self) -> None:
        control, preprocessor = self.form.controls["control"], self.form.controls["preprocessor"]
        on_change(control.change, lambda name: map_of_control(name) or gr.skip(), control, preprocessor)
        on_change(
            preprocessor.change,
            lambda chosen: [gr.Group(visible=name == chosen) for name in self.groups],
            preprocessor,
            list(self.groups.values()),
        )

    def _place_sliders(self, owner: str, settings: Mapping[str, Any]) -> None:
        for name, it in settings.items():
            self.sliders[owner, name] = gr.Slider(
                it.low, it.high, value=it.default, step=it.step, label=it.label, info=it.help,
                elem_id=f"stylize-{owner}-{name}",
            )  # fmt: skip


_STEPS = ("Add a photo of the look.", "Add a picture whose structure shall be followed.", "Press Restyle.")


class StylizeTab(Bench):
    """Built in the current Blocks."""

    def __init__(self, room: Room, task: Task) -> None:
        super().__init__(room, task, {"count": 1})
        self.control = control = _Control()
        self._welcome = markup.welcome(*_STEPS)
        with self.workbench():
            with self.asking():
                label = "Look: photos of the subject, or its card"
                self.subject = SubjectPicker(room, self.id, task.inputs["subject"], label=label)
                self.form.place("category", "target", "prompt", max_lines=1)
                place_detail(self.form)
                structure = photo_field("Structure: a picture to follow", "stylize-structure", 200)
                control.place()
                self.place_settings()
                [draw] = self.place_actions("Add a look and a structure.", draw="Restyle")
            with self.seeing():
                self._place_compared()
                example = place_example(self.id("try"))
                self.place_results(self._welcome, show=self._compared)
        control.connect()
        room.control_choices.append(control.form.controls["control"])
        self.subject.connect(self.form.controls["category"])
        changed = [control.form.controls[name].change for name in ("preprocessor", "structure_fit")]
        released = [one.release for one in control.sliders.values()]
        shown, made_from = [self.map, self.on.status], [structure, *control.inputs]
        read = [room.model_choice, *made_from]
        on_change([structure.change, *changed, *released], self.preview, read, shown, ON_PHOTOS)
        self.structure = structure
        fields = [self.subject.files, self.form.controls["category"], structure]
        connect_example(example, partial(self._example, *fields), fields, draw)
        self.connect(draw, self.asked, [*made_from, *self.subject.inputs])
        takes: dict[Kind, Any] = {**self.subject.takes, "structure": structure, "picture": structure}
        rest = Rest(
            control.inputs,
            lambda *typed: {"controls": [plain(control.settings(typed))]},
            lambda values: control.filled(values["controls"][0]) if values.get("controls") else {},
        )
        self.connect_rest(self.recalled, [*made_from, *self.subject.outputs], takes, [self.slider], rest)

    def asked(self, structure: str | None, *values: Any) -> Job:
        """The look in the structure."""
        (*given, typed), count = values, len(self.control.inputs)
        look = self.subject.subjects(*given[count:])
        if structure is None:
            raise ConfigError(said("There is no structure yet; add a picture to follow."))
        request = self.form.request(typed, controls=[plain(self.control.settings(given[:count]))])
        return Job.of(request, subject=look, structure=Path(structure))

    def preview(self, model: str, structure: str | None, *settings: Any) -> Changes:
        """The map that would be followed, or why there is none."""
        load_libraries()
        from pipelines.controls.nets import map_of  # which load torch: the page is there before
        from pipelines.stylize.plan import structure_size

        chosen = dict(zip(self.control.inputs, settings, strict=False))[self.control.form.controls["preprocessor"]]
        told = _missing(chosen)
        if structure is None or told:
            return {self.map: None, **({self.on.status: told} if told else {})}
        try:
            picture, studio = open_picture(structure), self.room.studio(model)
            size = structure_size(studio.model, StylizeRequest(category="subject"), picture)
            drawn = map_of(studio.nets.preprocessors, self.control.settings(settings), picture, size)
        except BlipdiffError as error:
            return {self.map: None, self.on.status: markup.message(without_folder(str(error)), "bad")}
        return {self.map: drawn, self.on.status: markup.message(said("The map is ready."))}

    def recalled(self, job: Job) -> Changes:
        """The look, the structure and how it was followed; a map in its place, where that alone is kept.

        Raises: SubjectError for what is kept nowhere.
        """
        [structure] = [as_file(one) for one in job.given("structure")[:1]] or [None]
        settings = job.request.controls[0]
        if structure is None and job.given("map"):
            structure = as_file(job.given("map")[0])
            settings = replace(settings, preprocessor=NONE, map_settings={})
        changes = {**self.control.filled(settings), **self.subject.recalled(job.given("subject"))}
        if structure is None:
            raise SubjectError(said("Give the look and the structure again: they are not kept."))
        return {**changes, self.structure: structure}

    def _example(self, files: Any, category: Any, structure: Any) -> Changes:
        look, shape = self.room.examples[:2]
        return {files: [served(look)], category: category_of(look), structure: served(shape)}

    def _place_compared(self) -> None:
        self.place_stage(self._welcome)
        looks: dict[str, Any] = {"interactive": False, "format": "png", "height": 380, "min_width": 260}
        with gr.Row():
            self.map = gr.Image(
                label="Map", buttons=["download"], elem_id="stylize-map", elem_classes="when-there", **looks
            )
            self.slider = place_compared("Structure and result", "stylize-slider", 380)

    def _compared(self, job: Job, view: View) -> Changes:
        """The structure as it was followed, and the newest picture."""
        found = compared(job, view, "structure", "crop")
        return {} if found is None else {self.slider: found}


def _named(preprocessor: str) -> str:
    """A preprocessor in the list, with what it lacks here; the style sheet greys what lacks something."""
    lacks = lacking(preprocessor)
    return said("{name} — needs {what}", name=preprocessor, what=", ".join(lacks)) if lacks else preprocessor


def _missing(preprocessor: str) -> str:
    """Why a preprocessor cannot run here; weights alone may be lacking: they are fetched as it first runs."""
    lacks = lacking(preprocessor)
    if PACKAGE not in lacks:
        return ""
    told = said(
        "{name} cannot run here: it needs {what}. Choose another one, or pip install 'blipdiff[control]'.",
        name=preprocessor,
        what=", ".join(lacks),
    )
    return markup.message(told, "bad")
