"""The tab of any task: its inputs by their kinds, its own parameters, all others in their groups, and its pictures."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr

from app.ui import markup
from app.ui.bench import Bench
from app.ui.examples import connect_subject_example, place_example
from app.ui.given import as_file, as_files
from app.ui.parts import Changes
from app.ui.photos import FILE_TYPES, photo_field
from app.ui.room import Kind, Room
from app.ui.subject_picker.picker import SubjectPicker, place_detail
from app.ui.subject_picker.slots import SubjectSlots
from app.ui.texts import retold, said
from blipdiff.errors import ConfigError, SubjectError
from pipelines.inputs import Input
from pipelines.job import Job
from pipelines.parameters import parameters
from pipelines.task import InputKind, Task

_MAIN = ("category", "prompt")


@dataclass(frozen=True, slots=True)
class _Field:
    """The field of one of a task's inputs: its components, and what their values give."""

    components: list[Any]
    given: Callable[..., Any]
    recalled: Callable[[Sequence[Input]], Changes]
    outputs: list[Any]  # what `recalled` changes
    takes: Mapping[Kind, Any] = field(default_factory=dict)


def task_tab(
    room: Room,
    task: Task,
    own: dict[str, Any] | None = None,
    *,
    button: str = "Draw",
    hint: str = "",
    more: Sequence[Any] = (),
    **hooks: Any,
) -> None:
    """Builds the tab in the current Blocks; own: defaults of the page; hooks: as `Bench.place_results` takes them."""
    bench = Bench(room, task, own)
    subject: SubjectPicker | None = None
    fields: dict[str, _Field] = {}
    with bench.workbench():
        with bench.asking():
            for name, kind in task.inputs.items():
                if kind.kind == "subject" and not kind.is_bound and subject is None:
                    subject = SubjectPicker(room, bench.id, kind, examples=room.examples)
                    fields[name] = _Field(subject.inputs, subject.subjects, subject.recalled, subject.outputs)
                elif kind.is_asked:
                    fields[name] = _field(room, name, bench.id(name), kind)
            bench.form.place(*_MAIN)
            place_detail(bench.form)
            bench.form.place(*(name for name, one in parameters(task.request).items() if not one.group))
            bench.place_settings()
            [draw] = bench.place_actions(hint or task.summary, draw=button)
        with bench.seeing():
            welcome = markup.welcome("Give what is asked for on the left.", said("Press {button}.", button=button))
            bench.place_stage(welcome)
            others = [kind for kind in task.inputs.values() if kind.kind != "subject" and kind.least]
            example = None if subject is None or others else place_example(bench.id("try"))
            bench.place_results(welcome, **hooks)
    if subject is not None:
        subject.connect(bench.form.controls.get("category"))
        connect_subject_example(example, room, subject.files, bench.form, draw)

    def asked(*values: Any) -> Job:
        *given, typed = values
        found, first = {}, 0
        for name, one_field in fields.items():
            after = first + len(one_field.components)
            found[name] = one_field.given(*given[first:after])
            first = after
        return Job.of(bench.form.request(typed), **found)

    def recalled(job: Job) -> Changes:
        found = [one_field.recalled(job.given(name)) for name, one_field in fields.items()]
        return {component: value for changes in found for component, value in changes.items()}

    components = [one for one_field in fields.values() for one in one_field.components]
    outputs = [one for one_field in fields.values() for one in one_field.outputs]
    takes = {kind: component for one_field in fields.values() for kind, component in one_field.takes.items()}
    bench.connect(draw, asked, components)
    takes |= {} if subject is None else subject.takes
    bench.connect_rest(recalled, outputs, takes, more)


def _field(room: Room, name: str, place: str, kind: InputKind) -> _Field:
    """What suits an input's kind; `place` is the name of its element."""
    if kind.kind == "subject":
        slots = SubjectSlots(room, place)
        slots.connect()
        return _Field(
            slots.inputs,
            lambda *values: _enough(kind, [one for _, one in slots.given(values)]),
            slots.recalled,
            slots.outputs,
            slots.takes,
        )
    sent: tuple[Kind, ...] = ("structure",) if name == "structure" else ("picture", "photo")
    sent = () if kind.kind == "mask" else sent
    if kind.most == 1:
        photo = photo_field(kind.label, place, 240)
        return _Field(
            [photo],
            lambda path: _enough(kind, _paths([path] if path else [])),
            lambda given: {photo: as_file(given[0]) if given else None},
            [photo],
            dict.fromkeys(sent, photo),
        )
    several = gr.File(label=kind.label, file_count="multiple", file_types=FILE_TYPES, elem_id=place, height=140)
    return _Field(
        [several],
        lambda paths: _enough(kind, _paths(paths)),
        lambda given: {several: as_files(given) or None},
        [several],
        dict.fromkeys(sent, several),
    )


def _paths(paths: Sequence[str] | None) -> list[Path]:
    return [Path(path) for path in paths or ()]


def _enough(kind: InputKind, given: list[Any]) -> list[Any]:
    if len(given) < kind.least:
        wrong = SubjectError if kind.kind == "subject" else ConfigError
        what = retold(kind.label).lower()
        raise wrong(said("There is no {what} yet. {help}", what=what, help=retold(kind.help)))
    return given
