"""The bench: what every tab that draws is made of - a form on the left, pictures on the right, and their events."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import gradio as gr

from app.settings import Settings
from app.ui import markup
from app.ui.events import AT_ONCE, SILENT, on_cancel, on_change, on_click, on_draw
from app.ui.files import without_folder
from app.ui.form import Form
from app.ui.notices import guarded, notice
from app.ui.orders import Orders
from app.ui.runs import Changes, Parts, Runs, Seen
from blipdiff.errors import BlipdiffError, ConfigError
from blipdiff.latents import size_factor
from blipdiff.models.blip_diffusion import BlipDiffusion
from pipelines.job import Job
from pipelines.metadata import job_of, read_metadata
from pipelines.studio import Studio
from pipelines.subject_library import SubjectLibrary
from pipelines.task import Task

FIRST = "generate"  # the tab whose elements have no tab's name before theirs


@dataclass(frozen=True, slots=True)
class Room:
    """What all tabs share: the page, the model, where pictures go, and the queue."""

    page: gr.Blocks
    studio: Studio
    settings: Settings
    orders: Orders
    lists: list[Any] = field(default_factory=list)  # of the library's subjects, on any tab

    @property
    def library(self) -> SubjectLibrary:
        """The subjects that are kept."""
        return SubjectLibrary(self.settings.library)

    @property
    def own_size(self) -> int:
        """The side in pixels of the pictures that the model was trained at."""
        model = self.studio.model
        return int(model.unet.config.sample_size) * size_factor(model.vae)

    @property
    def examples(self) -> list[Path]:
        """The bundled photos."""
        return sorted((Path(str(files("blipdiff"))) / "assets" / "subjects").glob("*.png"))


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
        own = {"guidance": room.studio.model.guidance, **(own or {})}
        tick = self.id("random-seed")
        self.form = Form(task.request, prefix, own, without=without, random_seed=random_seed, tick=tick)
        self.on: Parts
        self.runs: Runs
        self._status: Any = None
        self._cancel: Any = None
        self._stage: Any = None
        self._made_here: Any = None

    def id(self, part: str) -> str:
        """The name of an element of this tab."""
        return part if self.task.name == FIRST else f"{self.task.name}-{part}"

    @property
    def model(self) -> BlipDiffusion:
        """What draws."""
        return self.room.studio.model

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
        sides = {side: {"placeholder": f"{self.room.own_size} if empty"} for side in ("width", "height")}
        self.form.place_settings(self.id("settings"), note, **{**sides, **looks})
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
        room = self.room
        self.runs = Runs(
            self.task.name, room.studio, room.settings.output, room.orders, self.on, welcome=welcome, **hooks
        )
        if "seed" in self.form:
            on_click(reuse, self.reuse_seed, self.on.chosen, [self.form.controls["seed"], self.form.random])

    def connect(self, button: Any, asked: Callable[..., Job], inputs: Sequence[Any], more: Sequence[Any] = ()) -> None:
        """A click on `button` draws the job that `asked` makes of what stands in `inputs` and then in the form.

        more: what the tab's own `show` changes, beside the parts that all tabs have
        """
        on, runs, seed = self.on, self.runs, self.form.controls.get("seed")

        def ask(visit: gr.Request, pictures: list[Seen], *values: Any) -> Changes:
            given, typed = values[: len(inputs)], values[len(inputs) :]
            changes, job = runs.ask(visit, pictures, lambda: asked(*given, typed))
            return changes if job is None or seed is None else changes | {seed: str(job.request.seed)}

        answered = [on.status, on.cancel, on.stage, *([] if seed is None else [seed])]
        read = [on.pictures, *inputs, *self.form.inputs]
        on_draw(button, ask, read, answered, runs.draw, on.pictures, [*on.shown, *more])

    def connect_rest(self, recalled: Callable[[Job], Changes], filled: Sequence[Any]) -> None:
        """The events that belong to no button of the tab's own.

        recalled: what brings back of a picture's job what the form does not hold; filled: the fields that it changes
        """
        on, page = self.on, self.room.page
        on_cancel(on.cancel, self.runs.cancel, on.pictures, on.status, [on.status, on.cancel, on.stage])
        chosen = [on.details, on.metadata, on.download, on.chosen]
        on.gallery.select(guarded(self.runs.choose), on.pictures, chosen, trigger_mode="multiple", **AT_ONCE)
        # not the last alone: Gradio would answer it with the first one's place
        page.unload(self.runs.leave)

        def fill(path: str | None) -> Changes:
            return self.fill_from_picture(path, recalled)

        changed = [*self.form.inputs, self._made_here, on.status, *filled]
        on_change(self._made_here.upload, fill, self._made_here, changed)
        self._remember()

    def reuse_seed(self, chosen: Sequence[Any] | None) -> Changes:
        """The selected picture's seed for the next run."""
        if chosen is None:
            return gr.skip()  # type: ignore[no-any-return]
        return {self.form.controls["seed"]: str(Seen(*chosen).seed), self.form.random: False}

    def fill_from_picture(self, path: str | None, recalled: Callable[[Job], Changes]) -> Changes:
        """The form as it was when the picture was made, with what its file keeps of the rest."""
        if path is None:
            return gr.skip()  # type: ignore[no-any-return]
        try:
            metadata = read_metadata(path)
            job = job_of(metadata)
            if job.task != self.task.name:
                raise ConfigError(f"{Path(path).name} was made by the task {job.task}; give it to that one's tab.")
            request = replace(job.request, seed=metadata["seed"]) if "seed" in self.form else job.request
        except BlipdiffError as error:
            notice(without_folder(str(error)))
            return {self._made_here: None}
        text = f"The form is as it was for seed {metadata['seed']}."
        changes = {**self.form.filled(request), self._made_here: None, self.on.status: markup.message(text, "good")}
        try:
            return changes | recalled(job)
        except BlipdiffError as error:
            notice(f"The settings are filled in, without the rest. {without_folder(str(error))}")
            return changes

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
