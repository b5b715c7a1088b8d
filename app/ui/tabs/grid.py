"""The tab of grids: a picture made here, drawn again under the values of one or two of its settings."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from app.ui import markup
from app.ui.bench import Bench
from app.ui.components import Listed
from app.ui.events import ON_MODEL, on_change
from app.ui.examples import connect_example, drawn_example, place_example
from app.ui.files import served, without_folder
from app.ui.parts import Changes
from app.ui.photos import photo_field
from app.ui.room import Room
from app.ui.texts import retold, said
from app.ui.views import View
from blipdiff.errors import BlipdiffError, ConfigError
from pipelines.grid.request import grid_of
from pipelines.job import Job
from pipelines.metadata import repeat
from pipelines.parameters import Parameter, is_whole, parameters
from pipelines.task import Task, task_named

_NONE = ("none", "")
_FIRST = ("steps", "guidance")  # what is offered first, across and down
_USUAL = {"steps": "8, 12, 20", "guidance": "2, 3, 5", "seed": "1, 2, 3, 4", "strength": "0.25, 0.5, 0.75"}


class GridTab(Bench):
    """Built in the current Blocks."""

    def __init__(self, room: Room, task: Task) -> None:
        super().__init__(room, task, without=("x", "y"))
        offered = _offered(task_named("generate"))
        with self.workbench():
            with self.asking():
                self.picture = photo_field("A picture made here", "grid-picture", 240)
                self.axes = [self._axis(place, offered) for place in ("x", "y")]
                self.place_settings()
                [draw] = self.place_actions(
                    "Give a picture, and choose what changes across and down.", draw="Draw grid"
                )
            with self.seeing():
                welcome = markup.welcome("Add a picture that was made here.", "Choose one or two settings.")
                self.place_stage(welcome)
                example = place_example(self.id("try"))
                self.sheet = gr.Image(
                    label="The grid", interactive=False, format="png", buttons=["download", "fullscreen"],
                    elem_id="grid-sheet", elem_classes="compared when-there",
                )  # fmt: skip
                self.place_results(welcome, columns=4, show=self._shown)
        connect_example(example, self._example, [self.picture], draw, ON_MODEL)
        fields = [one for axis in self.axes for one in axis]
        self.connect(draw, self.asked, [self.picture, *fields])
        self.connect_rest(lambda _job: {}, [self.picture], {"picture": self.picture}, [self.sheet])
        names = [name for name, _ in self.axes]
        on_change(self.picture.change, self.offered, self.picture, [*names, self.on.status])
        for name, values in self.axes:
            on_change(name.input, lambda chosen: _USUAL.get(chosen, ""), name, values)

    def asked(self, picture: str | None, *values: Any) -> Job:
        """The picture's job under the values of its settings. Raises: ConfigError for what is missing."""
        x, x_values, y, y_values, *_ = values
        if picture is None:
            raise ConfigError(said("There is no picture yet; give one that was made here."))
        if not x or not str(x_values).strip():
            raise ConfigError(said("Choose what changes across, and write its values: 8, 12, 20."))
        if y and not str(y_values).strip():
            raise ConfigError(said("Write the values that go down, or choose none."))
        job = repeat(Path(picture))
        request: Any = job.request
        if hasattr(request, "seed") and job.index and request.count > 1:  # the very picture that was given
            counted = "variation_seed" if getattr(request, "variation", 0) else "seed"
            moved = {counted: getattr(request, counted) + job.index, "count": 1}
            job = replace(job, request=replace(request, **moved))
        return replace(Job.of(grid_of(job, f"{x}={x_values}", f"{y}={y_values}" if y else "")), added=job.added)

    def offered(self, picture: str | None) -> Changes:
        """The settings of a picture's task to choose from, and a word where it is none of ours."""
        if picture is None:
            return gr.skip()  # type: ignore[no-any-return]
        try:
            offered = _offered(task_named(repeat(Path(picture)).task))
        except BlipdiffError as error:
            return {self.on.status: markup.message(without_folder(str(error)), "bad")}
        (across, _), (down, _) = self.axes
        return {
            across: gr.Dropdown(choices=offered),
            down: gr.Dropdown(choices=[(said("none"), ""), *offered]),
            self.on.status: markup.message(
                said("The picture's own subject, words and settings are used for all others.")
            ),
        }

    def _example(self) -> Changes:
        return {self.picture: drawn_example(self.room)}

    def _axis(self, place: str, offered: list[tuple[str, str]]) -> tuple[Any, Any]:
        is_first = place == "x"
        usual = _FIRST[0 if is_first else 1]
        with gr.Row():
            name = Listed(
                offered if is_first else [_NONE, *offered],
                value=usual,
                label="Across" if is_first else "Down",
                elem_id=f"grid-{place}",
            )
            values = gr.Textbox(
                _USUAL[usual],
                label="Values",
                info="Texts are divided by |.",
                max_lines=1,
                elem_id=f"grid-{place}-values",
            )
        return name, values

    def _shown(self, _job: Job, view: View) -> Changes:
        """The sheet, once it is there."""
        sheet = next((path for name, path in view.sheets.items() if name.startswith("grid")), None)
        return {} if sheet is None else {self.sheet: served(sheet)}


def _offered(task: Task) -> list[tuple[str, str]]:
    return [(_named(one), name) for name, one in parameters(task.request).items() if name not in ("count", "batch")]


def _named(one: Parameter) -> str:
    name = retold(one.label)
    if one.choices:
        return said("{name} (one of {choices})", name=name, choices=" | ".join(one.choices))
    if one.low is None or one.high is None or one.high > 10_000:
        return name
    between = {"name": name, "low": f"{one.low:g}", "high": f"{one.high:g}"}
    if is_whole(one):
        return said("{name} (from {low} to {high}, whole)", **between)
    return said("{name} (from {low} to {high})", **between)
