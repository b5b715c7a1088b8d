"""The tab of any task: its inputs by their kinds, its own parameters, all others in their groups, and its pictures."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from app.ui import markup
from app.ui.bench import Bench
from app.ui.compared import compared, place_compared
from app.ui.examples import GROUND, SCENE, connect_inputs_example, half_of, place_example
from app.ui.files import served
from app.ui.given import as_file, as_files
from app.ui.painting import Painting
from app.ui.parts import Changes
from app.ui.photos import FILE_TYPES, photo_field
from app.ui.room import Kind, Room
from app.ui.subject_picker.picker import SubjectPicker, place_detail
from app.ui.subject_picker.slots import SubjectSlots
from app.ui.texts import retold, said
from app.ui.views import View
from blipdiff.errors import ConfigError, SubjectError
from blipdiff.images import open_picture
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
    recalled: Callable[[Job], Changes]
    outputs: list[Any]  # what `recalled` changes
    example: tuple[Sequence[Any], Callable[[Path], Changes]]  # what an example changes, and how for a photo
    takes: Mapping[Kind, Any] = field(default_factory=dict)


def task_tab(
    room: Room,
    task: Task,
    own: dict[str, Any] | None = None,
    *,
    button: str = "Draw",
    hint: str = "",
    more: Sequence[Any] = (),
    below: Sequence[Any] = (),
    **hooks: Any,
) -> None:
    """Builds the tab in the current Blocks; own: defaults of the page; hooks: as `Bench.place_results` takes them.

    below: what stands under the pictures, not yet rendered, and also among `more`
    """
    bench = Bench(room, task, own)
    subject: SubjectPicker | None = None
    fields: dict[str, _Field] = {}
    pictures = [name for name, kind in task.inputs.items() if kind.kind == "picture" and kind.most == 1 and kind.least]
    with bench.workbench():
        with bench.asking():
            for name, kind in task.inputs.items():
                if kind.kind == "subject" and not kind.is_bound and subject is None:
                    subject = SubjectPicker(room, bench.id, kind, examples=room.examples)
                    fields[name] = _Field(
                        subject.inputs, subject.subjects, _of(name, subject.recalled), subject.outputs, subject.example
                    )
                elif kind.kind == "mask" and pictures and kind.is_asked:
                    fields[name] = _painted(fields[pictures[0]], pictures[0], bench.id(name), kind)
                elif kind.is_asked:
                    fields[name] = _field(room, name, bench.id(name), kind)
            bench.form.place(*_MAIN)
            place_detail(bench.form)
            bench.form.place(*(name for name, one in parameters(task.request).items() if not one.group))
            bench.place_settings()
            [draw] = bench.place_actions(hint or task.summary, draw=button)
        with bench.seeing():
            welcome = markup.welcome("Give what the form asks for.", said("Press {button}.", button=button))
            bench.place_stage(welcome)
            example = place_example(bench.id("try"))
            slider = place_compared("Before and after", bench.id("slider")) if pictures else None
            if slider is not None:
                more, hooks = [*more, slider], {"show": partial(_compared, slider, pictures[0]), **hooks}
            bench.place_results(welcome, **hooks)
            for component in below:
                component.render()
    if subject is not None:
        subject.connect(bench.form.controls.get("category"))

    needed = [one.example for name, one in fields.items() if task.inputs[name].least or name == "subject"]
    connect_inputs_example(example, room, bench.form, needed, GROUND if pictures else SCENE, draw)

    def asked(*values: Any) -> Job:
        *given, typed = values
        found, first = {}, 0
        for name, one_field in fields.items():
            after = first + len(one_field.components)
            found[name] = one_field.given(*given[first:after])
            first = after
        return Job.of(bench.form.request(typed), **found)

    def recalled(job: Job) -> Changes:
        found = [one_field.recalled(job) for one_field in fields.values()]
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
            _of(name, slots.recalled),
            slots.outputs,
            ([*slots.photos, *slots.words], lambda _photo: slots.example()),
            slots.takes,
        )
    sent: tuple[Kind, ...] = ("structure",) if name == "structure" else ("picture", "photo")
    sent = () if kind.kind == "mask" else sent
    if kind.most == 1:
        photo = photo_field(kind.label, place, 240)
        return _Field(
            [photo],
            lambda path: _enough(kind, _paths([path] if path else [])),
            _of(name, lambda given: {photo: as_file(given[0]) if given else None}),
            [photo],
            ([photo], lambda path: {photo: served(path)}),
            dict.fromkeys(sent, photo),
        )
    several = gr.File(label=kind.label, file_count="multiple", file_types=FILE_TYPES, elem_id=place, height=140)
    return _Field(
        [several],
        lambda paths: _enough(kind, _paths(paths)),
        _of(name, lambda given: {several: as_files(given) or None}),
        [several],
        ([several], lambda path: {several: [served(path)]}),
        dict.fromkeys(sent, several),
    )


def _painted(picture: _Field, named: str, place: str, kind: InputKind) -> _Field:
    """A mask, which is painted on the picture of another field; `named` is the input of that."""
    painting = Painting(place, kind.label)
    [photo] = picture.components
    painting.connect(photo)

    def given(path: str | None, canvas: Any, kept: Any) -> list[Any]:
        mask = painting.mask(open_picture(path).size, canvas, kept) if path else None
        return _enough(kind, [] if mask is None else [mask])

    def recalled(job: Job) -> Changes:
        paths = [as_file(one) for one in job.given(named)[:1]]
        return painting.recalled(paths[0] if paths else None, [one.image for one in job.opened().given("mask")])

    def example(path: Path) -> Changes:
        return painting.recalled(served(path), [half_of(path)])

    return _Field([photo, *painting.inputs], given, recalled, painting.outputs, (painting.outputs, example))


def _of(name: str, recalled: Callable[[Sequence[Input]], Changes]) -> Callable[[Job], Changes]:
    """What brings back the inputs of this name."""
    return lambda job: recalled(job.given(name))


def _compared(slider: Any, given: str, job: Job, view: View) -> Changes:
    """What was given beside the newest picture."""
    found = compared(job, view, given)
    return {} if found is None else {slider: found}


def _paths(paths: Sequence[str] | None) -> list[Path]:
    return [Path(path) for path in paths or ()]


def _enough(kind: InputKind, given: list[Any]) -> list[Any]:
    if len(given) < kind.least:
        wrong = SubjectError if kind.kind == "subject" else ConfigError
        what = retold(kind.label).lower()
        raise wrong(said("There is no {what} yet. {help}", what=what, help=retold(kind.help)))
    return given
