"""Tasks: what can be asked for, what each takes beside its request, and what comes of it. This loads no library.

The command line, the page and whatever else runs jobs are made from what is declared here; a task that a program
registers appears in all of them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from blipdiff.errors import ConfigError

if TYPE_CHECKING:
    from PIL.Image import Image

Kind: TypeAlias = Literal["subject", "picture", "layers", "mask"]  # layers: a picture with its transparency

# The modules whose TASKS are always there, in the order in which people see them.
_HOMES = (
    "pipelines.generate.request",
    "pipelines.stylize.request",
    "pipelines.edit.request",
    "pipelines.blend.request",
    "pipelines.scene.request",
    "pipelines.finish.request",
    "pipelines.grid.request",
    "pipelines.personalize.request",
)
_REGISTERED: dict[str, "Task"] = {}


@dataclass(frozen=True, slots=True)
class InputKind:
    """Things of one kind that a task takes: subjects (photos or cards), pictures, or masks."""

    kind: Kind
    label: str
    help: str
    least: int = 0
    most: int | None = 1  # None: as many as one likes
    is_bound: bool = False  # whether each has a word of its own
    is_weighted: bool = False
    is_placed: bool = False  # whether each may have a region: a box or a mask
    is_asked: bool = True  # whether people give it; else jobs alone hold it
    has_noise: bool = False  # whether drawing begins with it, so that no seed has to be drawn where it is given
    missing: str = ""  # what is said where there are fewer than `least`


SUBJECTS = InputKind(
    "subject",
    "Subject",
    "A photo of the subject, or its subject card; several are averaged.",
    least=1,
    most=None,
    is_weighted=True,
    missing="No subject was given; give a photo or a subject card.",
)


@dataclass(frozen=True, slots=True)
class Task:
    """Something that can be asked for.

    home: the module of `prepare(studio, job)`, which checks and plans, and of `earlier(metadata)`, which reads the
    metadata of version 1 where there are such pictures; imported when the task is first run.
    """

    name: str
    summary: str
    example: str
    request: type
    inputs: Mapping[str, InputKind]
    home: str
    check: Callable[[Any, Mapping[str, Sequence[Any]]], None] | None = (
        None  # request and inputs, before a model is open
    )
    about: str = ""  # what else is worth knowing of it, in a few sentences
    fills: bool = False  # whether its home has `filled(job)`, which adds what an input's own file says

    is_offered: bool = True  # whether a command and a tab are made of it by themselves

    def filled(self, job: Any) -> Any:
        """The job with what the files of its inputs say, before they are read into pixels."""
        return import_module(self.home).filled(job) if self.fills else job

    def prepare(self, studio: Any, job: Any) -> Any:
        """What there is to draw, everything checked: `pipelines.batches.Prepared`.

        Raises: BlipdiffError for what the model cannot do.
        """
        return import_module(self.home).prepare(studio, job)

    def earlier(self, metadata: Mapping[str, Any]) -> Any:
        """The job of a picture whose metadata are of version 1.

        Raises: ConfigError for damaged metadata.
        """
        return import_module(self.home).earlier(metadata)


def register(task: Task) -> Task:
    """Adds a task to all faces; one of the same name takes the other's place."""
    _REGISTERED[task.name] = task
    return task


def tasks() -> dict[str, Task]:
    """All tasks by name."""
    own = [task for home in _HOMES for task in import_module(home).TASKS]
    return {task.name: task for task in own} | _REGISTERED


def task_named(name: str) -> Task:
    """Raises: ConfigError for a task that this version does not know."""
    found = tasks()
    if name not in found:
        raise ConfigError(f"There is no task {name!r}; choose one of: {', '.join(found)}.")
    return found[name]


def task_of(request: Any) -> Task:
    """The task that this kind of request is for. Raises: ConfigError where there is none."""
    for task in tasks().values():
        if task.request is type(request):
            return task
    raise ConfigError(f"No task takes a {type(request).__name__}.")


@dataclass(frozen=True, slots=True)
class Progress:
    """A U-Net call is done; `previews` are there when they were asked for."""

    step: int  # of the whole job, from 1
    steps: int
    seeds: tuple[int, ...]  # the pictures being drawn
    previews: "tuple[Image, ...]" = ()


@dataclass(frozen=True, slots=True)
class Notice:
    """A sentence for the user: something was left out or chosen."""

    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """A finished picture, and what belongs to it."""

    picture: Any  # pipelines.pictures.Picture
    name: str  # for its file, without ending
    label: str = ""  # what stands under it, where it stands among others
    beside: Mapping[str, Any] = field(default_factory=dict)  # further pictures by what they are: "before", "mask"
    detail: Any = None  # what a program may want to know of it; each task says what
    facts: Mapping[str, Any] = field(default_factory=dict)  # the same, as far as JSON can hold it


@dataclass(frozen=True, slots=True, eq=False)
class Sheet:
    """A file made of all the results, once they are there: a labelled grid, a film."""

    kind: str
    name: str
    suffix: str
    write: Callable[[Path], object]


Event: TypeAlias = Progress | Notice | Result | Sheet
Events: TypeAlias = Iterator[Event]
