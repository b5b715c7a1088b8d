"""Grid, from a job to what can be drawn: every cell as its own job, and the sheet that shows them together."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

from torch import Tensor

from pipelines.batches import Prepared, Round
from pipelines.grid.request import Axis, GridRequest
from pipelines.job import Job
from pipelines.sheets import labelled_grid
from pipelines.studio import Studio
from pipelines.task import Notice, Result, Sheet


@dataclass(slots=True, eq=False)
class _Cell:
    """One picture of the grid: where it stands first, how it is drawn, and what came of it."""

    place: tuple[int, int]  # row and column, from 0
    label: str
    prepared: Prepared
    results: list[Result] = field(default_factory=list)

    def rounds(self) -> Iterator[Round]:
        """The cell's own, whose results are kept for the sheet."""
        for one in self.prepared.rounds():

            def finish(latents: Tensor, one: Round = one) -> Iterator[Notice | Result | Sheet]:
                for event in one.finish(latents):
                    yield self.taken(event) if isinstance(event, Result) else event

            yield replace(one, finish=finish)

    def last(self) -> Iterator[Result]:
        """What comes once everything is drawn; a task's own sheets are left out."""
        found = list(self.prepared.last(self.results))
        yield from (self.taken(event) for event in found if isinstance(event, Result))

    def taken(self, result: Result) -> Result:
        """A result under the cell's name."""
        row, column = self.place
        named = replace(result, name=f"{row + 1}-{column + 1}-{result.name}", label=self.label)
        self.results.append(named)
        return named


def prepare(studio: Studio, job: Job) -> Prepared:
    """The cells' pictures in reading order, equal cells once, then the sheet.

    Raises: BlipdiffError for what the model cannot draw in any of the cells.
    """
    request: GridRequest = job.request
    inner = Job.from_mapping(request.job).opened()
    across, down = request.axes()
    requests, cells = request.requests(), dict[int, _Cell]()
    for row, line in enumerate(requests):
        for column, asked in enumerate(line):
            if id(asked) not in cells:
                one = replace(inner, request=studio.resolved(asked))
                label = _label(across, column, down, row)
                cells[id(asked)] = _Cell((row, column), label, request.task.prepare(studio, one.opened()))
    drawn = list(cells.values())

    def last(_results: Sequence[Result]) -> Iterable[Result | Sheet]:
        for cell in drawn:
            yield from cell.last()
        yield _sheet(request, [[cells[id(asked)] for asked in line] for line in requests])

    return Prepared(
        drawn[0].prepared.size,
        chain.from_iterable(cell.prepared.costs for cell in drawn),
        lambda: chain.from_iterable(cell.rounds() for cell in drawn),
        sum(cell.prepared.count for cell in drawn),
        [text for cell in drawn for text in cell.prepared.notices],
        drawn[0].prepared.side_by_side,
        last,
    )


def _label(across: Axis, column: int, down: Axis | None, row: int) -> str:
    parts = [(across, column), *([] if down is None else [(down, row)])]
    return ", ".join(f"{axis.label.lower()} {axis.values[place]}" for axis, place in parts)


def _sheet(request: GridRequest, rows: Sequence[Sequence[_Cell]]) -> Sheet:
    across, down = request.axes()
    shown = [
        [(cell.results[0].picture.image, _label(across, column, down, row)) for column, cell in enumerate(line)]
        for row, line in enumerate(rows)
    ]
    name = "-by-".join(axis.name.replace("_", "-") for axis in (across, down) if axis is not None)
    grid = labelled_grid(shown)
    return Sheet("grid", f"{request.task.name}-{name}", ".png", lambda part: grid.save(part, format="PNG"))
