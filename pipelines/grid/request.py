"""What a grid can be asked for: a job of another task, and the values that go across and down."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from types import UnionType
from typing import Any, get_args, get_type_hints

from blipdiff.errors import ConfigError
from pipelines.parameters import Parameter, check, checked_values, parameter, parameters, plain, request_from
from pipelines.requests import likely_steps
from pipelines.task import Task, task_named

MOST_CELLS = 100
GRID = "grid"

_SWITCH = {"yes": True, "on": True, "true": True, "no": False, "off": False, "false": False}


@dataclass(frozen=True, slots=True)
class Axis:
    """A parameter, and the values that it takes one after the other."""

    name: str
    label: str
    values: tuple[Any, ...]

    @classmethod
    def of(cls, kind: type, text: str) -> "Axis":
        """The axis that "steps=8,12,20" says; texts are divided by "|": "prompt=on a beach|in the snow".

        Raises: ConfigError for a parameter that the request has not, and for values that it cannot take.
        """
        name, sign, listed = text.partition("=")
        key, declared = _found(kind, name.strip())
        hint = get_type_hints(kind)[key]
        kinds = get_args(hint) if isinstance(hint, UnionType) else (hint,)
        is_free = str in kinds and not declared.choices
        parts = [part.strip() for part in listed.split("|" if "|" in listed or is_free else ",")]
        if not sign or not all(parts):
            raise ConfigError(f"An axis is '{text}'; write it as steps=8,12,20 or prompt=on a beach|in the snow.")
        values = tuple(_value(declared, kinds, part) for part in parts)
        for value in values:
            checked_values(kind, {key: value})
        return cls(key, declared.label, values)


@dataclass(frozen=True, slots=True, kw_only=True)
class GridRequest:
    """A job drawn under every pair of two parameters' values, one picture each.

    job: as `Job.as_mapping` gives it

    Raises: ConfigError for a job that is none, for parameters or values that its task has not, and for too many.
    """

    job: Mapping[str, Any]
    x: str = parameter("", "Across", "A parameter and its values: steps=8,12,20; texts are divided by |.")
    y: str = parameter("", "Down", "The same for the rows; one row if absent.")

    def __post_init__(self) -> None:
        check(self)
        kind = self.task.request
        if self.task.name == GRID:
            raise ConfigError("A grid is made of another task's job, not of a grid.")
        across, down = self.axes()
        if down is not None and across.name == down.name:
            raise ConfigError(f"{across.label} goes across and down; choose two parameters.")
        if self.count > MOST_CELLS:
            raise ConfigError(f"The grid would have {self.count} pictures; at most {MOST_CELLS} are drawn.")
        request_from(kind, dict(self._inner))

    @property
    def task(self) -> Task:
        """The task whose job is drawn. Raises: ConfigError for one that is not known."""
        told = self.job.get("task") if isinstance(self.job, Mapping) else None
        return task_named(str(told))

    @property
    def count(self) -> int:
        """How many pictures there are."""
        across, down = self.axes()
        return len(across.values) * (1 if down is None else len(down.values))

    @property
    def steps(self) -> int:
        """Of one picture, as its job says, or likely."""
        return likely_steps(request_from(self.task.request, dict(self._inner)))

    def axes(self) -> tuple[Axis, Axis | None]:
        """Across and down."""
        kind = self.task.request
        return Axis.of(kind, self.x), Axis.of(kind, self.y) if self.y.strip() else None

    def requests(self) -> list[list[Any]]:
        """Rows of requests, one picture each, equal ones the same object.

        Raises: BlipdiffError for a pair of values that does not go together.
        """
        across, down = self.axes()
        kind, seen = self.task.request, dict[str, Any]()
        alone = {name: 1 for name in ("count", "batch") if any(i.name == name and i.init for i in fields(kind))}
        rows = []
        for low in (None,) if down is None else down.values:
            row = []
            for value in across.values:
                moved = {across.name: value} | ({} if down is None else {down.name: low})
                made: Any = request_from(kind, {**self._inner, **alone, **moved})
                row.append(seen.setdefault(repr(plain(made)), made))
            rows.append(row)
        return rows

    @property
    def _inner(self) -> Mapping[str, Any]:
        told = self.job.get("request")
        if not isinstance(told, Mapping):
            raise ConfigError("The grid's job is damaged: its request is missing.")
        return told


def _found(kind: type, name: str) -> tuple[str, Parameter]:
    declared = parameters(kind)
    key = name.lstrip("-").replace("-", "_")
    for own, one in declared.items():
        if key in (own, one.flag.replace("-", "_"), *one.aliases):
            return own, one
    raise ConfigError(f"There is no parameter {name!r}; choose one of: {', '.join(declared)}.")


def _value(declared: Parameter, kinds: Sequence[Any], text: str) -> Any:
    if bool in kinds:
        return _SWITCH.get(text.lower(), text)
    for number in (int, float):
        if number in kinds:
            try:
                return number(text)
            except ValueError:
                continue
    if {int, float} & set(kinds):
        raise ConfigError(f"{declared.label} is '{text}'; give numbers.")
    return dict(declared.old_choices).get(text, text)


def _check(request: GridRequest, _inputs: Mapping[str, Sequence[Any]]) -> None:
    request.requests()


TASKS = (
    Task(
        GRID,
        "Draw one job under all values of one or two of its parameters, and one sheet of all.",
        "blipdiff grid generate --subject dog.png --category dog --x steps=8,12,20 --y guidance=2,3,5",
        GridRequest,
        {},
        "pipelines.grid.run",
        _check,
        is_offered=False,
    ),
)


def grid_of(job: Any, x: str, y: str = "") -> GridRequest:
    """The grid of a job, whose pictures all begin with its own seed; job: `pipelines.job.Job`

    Raises: ConfigError for an axis that its task has not.
    """
    return GridRequest(job=replace(job, index=None).as_mapping(), x=x, y=y)
