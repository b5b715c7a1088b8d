"""The bench: what every tab that draws is made of - a form on the left, pictures on the right, and their events."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import fields, replace
from functools import partial
from typing import Any

import gradio as gr

from app.libraries import load_libraries
from app.ui import markup
from app.ui.events import AT_ONCE, SILENT, on_ask, on_cancel, on_change, on_click
from app.ui.files import without_folder
from app.ui.form import Form
from app.ui.model_hints import OF_MODEL, hinted, speeds
from app.ui.notices import guarded, notice
from app.ui.own_files import with_added
from app.ui.parts import Changes, Parts, Seen
from app.ui.preset_field import PresetField, Rest
from app.ui.room import Kind, Recalled, Room, TabPart, title_of
from app.ui.runs import Runs
from app.ui.texts import retold, said
from blipdiff.errors import BlipdiffError
from pipelines.job import Job
from pipelines.metadata import job_of, read_metadata
from pipelines.parameters import WORDS, parameters
from pipelines.requests import Sampling
from pipelines.task import Task

FIRST = "generate"  # the tab whose elements have no tab's name before theirs


class Bench:
    """One task's tab. It is laid out by its methods, in any order, and connected at the end.

    own: defaults that are the page's, not the request's; without: parameters that the tab gives in its own way
    """

    def __init__(
        self,
        room: Room,
        task: Task,
        own: Mapping[str, Any] | None = None,
        *,
        without: Sequence[str] = (),
        random_seed: bool = False,
    ) -> None:
        self.room, self.task = room, task
        prefix = "field" if task.name == FIRST else task.name
        tick = self.id("random-seed")
        self.form = Form(task.request, prefix, own, without=without, random_seed=random_seed, tick=tick)
        self.presets = PresetField(self.id, task, self.form, room.settings.presets)
        self.on: Parts
        self.runs: Runs
        self._status: Any = None
        self._cancel: Any = None
        self._stage: Any = None
        self._made_here: Any = None
        self._recalled: Callable[[Job], Changes] = lambda _job: {}

    def id(self, part: str) -> str:
        """The name of an element of this tab."""
        return part if self.task.name == FIRST else f"{self.task.name}-{part}"

    def workbench(self) -> AbstractContextManager[Any]:
        """The row that holds both sides."""
        row: AbstractContextManager[Any] = gr.Row(elem_classes="workbench")
        return row

    def asking(self) -> AbstractContextManager[Any]:
        """The side of the form."""
        column: AbstractContextManager[Any] = gr.Column(scale=5, min_width=300, elem_classes="asking")
        return column

    def seeing(self) -> AbstractContextManager[Any]:
        """The side of the pictures."""
        column: AbstractContextManager[Any] = gr.Column(scale=8, min_width=300, elem_classes="seeing")
        return column

    def place_settings(self, note: str = "", **looks: Mapping[str, Any]) -> None:
        """The parameters that the tab has not placed by itself, and a place for a picture that has them."""
        if "speed" in self.form:
            self.form.place("speed")
            shown = partial(speeds, self.room.workshop.queue.pace, self.task.name)
            self.room.when_known(self.form.controls["speed"], shown)
        self.presets.place()
        usual = {name: {"placeholder": "the model's own if empty"} for name in OF_MODEL}
        self.form.place_settings(self.id("settings"), note, **{**usual, **looks})
        for name, told in OF_MODEL.items():
            if name in self.form.controls and name not in looks:
                self.room.when_known(self.form.controls[name], partial(hinted, told))
        with gr.Accordion("Start from a picture made here", open=False, elem_id=self.id("refill")):
            gr.Markdown("Fills the form as it was, and brings the subject back.", elem_classes="hint")
            self._made_here = gr.File(
                label="PNG with its settings", file_types=[".png"], elem_id=self.id("made-here"), height=140
            )

    def place_actions(self, hint: str, **buttons: str) -> list[Any]:
        """Start, stop, and how it goes: always in sight. Gives a button for each of `buttons`, the main one first."""
        with gr.Column(elem_classes="actions"):
            with gr.Row():
                made = [
                    gr.Button(
                        label,
                        variant="secondary" if place else "primary",
                        elem_id=self.id(part),
                        elem_classes="" if place else "draws",
                        scale=3,
                        min_width=90,
                    )
                    for place, (part, label) in enumerate(buttons.items())
                ]
                self._cancel = gr.Button("Cancel", elem_id=self.id("cancel"), scale=1, min_width=80)
            self._status = gr.HTML(markup.message(hint), elem_id=self.id("status"), elem_classes="status")
        return made

    def place_stage(self, welcome: str = "") -> None:
        """Where pictures are seen while they are drawn."""
        self._stage = gr.HTML(welcome, elem_id=self.id("stage"), elem_classes="stage")

    def place_results(self, welcome: str = "", columns: int = 2, **hooks: Any) -> None:
        """The pictures being drawn, those that are done, and the selected one's details.

        Nothing here is switched visible: Gradio drops changes that follow fast. The style sheet hides what is empty.
        """
        if self._stage is None:
            self.place_stage(welcome)
        gallery = gr.Gallery(
            label="Pictures of this visit, the newest first",
            show_label=False,
            columns=columns,
            object_fit="contain",
            interactive=False,
            buttons=["download", "fullscreen"],
            elem_id=self.id("gallery"),
            elem_classes="gallery",
        )
        with gr.Accordion("The selected picture", elem_id=self.id("details"), elem_classes="details") as details:
            with gr.Row():
                download = gr.DownloadButton("Download PNG", size="sm", elem_id=self.id("download"))
                reuse = gr.Button("Reuse its seed", size="sm", elem_id=self.id("reuse-seed"))
            metadata = gr.JSON(
                label="Settings in its file", elem_id=self.id("metadata"), elem_classes="metadata", max_height=360
            )
        self.on = Parts(
            self._status, self._cancel, self._stage, gallery, details, metadata, download, gr.State([]), gr.State(None)
        )
        self.runs = Runs(self.task.name, self.room, self.on, welcome=welcome, **hooks)
        if "seed" in self.form:
            on_click(reuse, self.reuse_seed, self.on.chosen, [self.form.controls["seed"], self.form.random])

    def connect(self, button: Any, asked: Callable[..., Job], inputs: Sequence[Any]) -> None:
        """A click on `button` asks for the job that `asked` makes of what stands in `inputs` and then in the form."""
        on, runs, room, seed = self.on, self.runs, self.room, self.form.controls.get("seed")

        def ask(visit: gr.Request, browser: str, model: str, added: Any, pictures: list[Seen], *values: Any) -> Changes:
            given, typed = values[: len(inputs)], values[len(inputs) :]
            wanted = lambda: with_added(asked(*given, typed), added)  # noqa: E731
            changes, job = runs.ask(visit, browser, model, pictures, wanted)
            return changes if job is None or seed is None else changes | {seed: str(job.request.seed)}

        answered = [on.status, on.cancel, on.stage, *([] if seed is None else [seed])]
        if seed is not None:
            room.seeds[button.elem_id] = seed
        read = [room.browser, room.model_choice, room.added, on.pictures, *inputs, *self.form.inputs]
        room.asked(on_ask(button, ask, read, answered))

    def connect_rest(
        self,
        recalled: Callable[[Job], Changes],
        filled: Sequence[Any],
        takes: Mapping[Kind, Any],
        more: Sequence[Any] = (),
        rest: Rest | None = None,
    ) -> None:
        """The events that belong to no button of the tab's own, and what the room knows of the tab.

        recalled: what brings back of a job what the form does not hold; filled: the fields that it changes; takes:
        where what is sent to the tab goes; more: what the tab's own `show` changes; rest: what presets hold beside the
        form's values
        """
        on, room = self.on, self.room
        read = [room.browser, on.pictures]
        on_cancel(on.cancel, self.runs.cancel, read, on.status, [on.status, on.cancel, on.stage])
        chosen = [on.details, on.metadata, on.download, on.chosen]
        on.gallery.select(guarded(self.runs.choose), on.pictures, chosen, trigger_mode="multiple", **AT_ONCE)
        # not the last alone: Gradio would answer it with the first one's place
        self._recalled = recalled
        name, title = self.task.name, title_of(self.task.name)
        outputs = [*self.form.inputs, on.status, *filled]
        part = TabPart(name, title, f"{name}-tab", outputs, self.recall, takes, self.runs, list(more))
        room.register(part)
        room.later(self._connect_recall)
        self._remember()
        self.presets.connect(rest)

    def recall(self, job: Job, what: Recalled = "all") -> Changes:
        """The form, the subject and all else as a job has them; what cannot be brought back is said."""
        if what != "all":
            part = self.form.shown(_noise(job)) if what == "seed" else self.words_recalled(job)
            return {**part, self.on.status: markup.message(said("It is as it was; the rest is left."), "good")}
        told = said("The form is as it was.")
        changes: Changes = self.form.filled(job.request)
        try:
            self.room.check_cards(job)
            load_libraries()  # which opening a job's inputs may import
            changes |= self._recalled(job)
        except BlipdiffError as error:
            changes |= self.words_recalled(job)
            why = without_folder(str(error))
            told = said("The settings are filled in, without the rest. {why}", why=retold(why))
            notice(told)
        return {**changes, self.on.status: markup.message(told, "good")}

    def words_recalled(self, job: Job) -> Changes:
        """What the form says in words, as a job has it."""
        return self.form.shown({name: getattr(job.request, name) for name in prompts_of(type(job.request))})

    def _connect_recall(self) -> None:
        changed = [*self.room.changed, self._made_here]
        on_change(self._made_here.upload, self.fill_from_picture, self._made_here, changed)

    def reuse_seed(self, chosen: Sequence[Any] | None) -> Changes:
        """The selected picture's seed for the next run."""
        if chosen is None:
            return gr.skip()  # type: ignore[no-any-return]
        return {self.form.controls["seed"]: str(Seen(*chosen).seed), self.form.random: False}

    def fill_from_picture(self, path: str | None) -> Changes:
        """The form of the picture's task as it was when the picture was made, with what its file keeps of the rest."""
        if path is None:
            return gr.skip()  # type: ignore[no-any-return]
        try:
            changes = self.room.recall_changes(job_with_seed(path))
        except BlipdiffError as error:
            notice(without_folder(str(error)))
            return {self._made_here: None}
        return {**changes, self._made_here: None}

    def _remember(self) -> None:
        """The form outlives a reload: the browser keeps what is typed, and nothing of it is sent."""
        form, key = self.form, f"blipdiff-{self.task.name}"  # the browser's name for what was typed; it hides nothing
        typed = gr.BrowserState({}, storage_key=key, secret=key)
        names = json.dumps([*form.controls, *([] if form.random is None else ["random_seed"])])
        keep = f"(...values) => blipdiff.named({names}, values)"
        restore = f"(kept, ...current) => blipdiff.restored({names}, {json.dumps(form.choices)}, kept, current)"
        changed = [control.input for control in form.inputs]
        gr.on(changed, None, form.inputs, typed, js=keep, trigger_mode="multiple", **SILENT)
        self.room.page.load(None, [typed, *form.inputs], form.inputs, js=restore, **SILENT)


def job_with_seed(path: str) -> Job:
    """The job of a picture's file, asking for the one seed that drew it. Raises: ConfigError for damaged metadata."""
    metadata = read_metadata(path)
    return with_seed(job_of(metadata), metadata["seed"])


def with_seed(job: Job, seed: int) -> Job:
    """The job of one picture, which begins with that one: it drew it with this seed."""
    request = job.request
    if not isinstance(request, Sampling):
        return job
    turned = request.variation_seed + ((job.index or 0) if request.variation else 0)
    return replace(job, request=replace(request, seed=seed, variation_seed=turned))


def _noise(job: Job) -> dict[str, Any]:
    """What says from which noise a job begins."""
    names = ("seed", "variation", "variation_seed")
    return {name: getattr(job.request, name) for name in names if isinstance(job.request, Sampling)}


def prompts_of(request: type) -> list[str]:
    """The parameters of a request that are words about the picture."""
    texts = {item.name for item in fields(request) if isinstance(item.default, str) or item.default is None}
    found = parameters(request).items()
    return [name for name, one in found if name in texts and one.group == WORDS and not one.choices]
