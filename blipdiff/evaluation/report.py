"""The report of an evaluation: figures as JSON, and one HTML page with everything in it."""

import html
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blipdiff.evaluation.page import Shown, escaped, page, picture_cell
from blipdiff.evaluation.statistics import Figure
from blipdiff.outputs import written_file

VERSION = 1


@dataclass(frozen=True, slots=True)
class Line:
    """One figure: what was measured, by which metric, on which pictures (`column`), which trials (`cases`)."""

    measure: str
    metric: str
    column: str
    cases: str
    figure: Figure
    in_percent: bool = True

    def as_json(self) -> dict[str, Any]:
        """Plain values; None where there were no cases."""
        figure = self.figure
        numbers = {name: getattr(figure, name) for name in ("value", "low", "high")}
        return {
            **{name: getattr(self, name) for name in ("measure", "metric", "column", "cases")},
            **{name: None if math.isnan(number) else round(number, 5) for name, number in numbers.items()},
            "count": figure.count,
        }

    def text(self) -> str:
        """The figure as people read it."""
        return self.figure.as_percent() if self.in_percent else self.figure.as_number()


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """What an evaluation found. `about` is plain values: model, settings, numbers of subjects, seconds."""

    about: Mapping[str, Any]
    lines: tuple[Line, ...]
    notes: tuple[str, ...]
    headings: tuple[str, ...]
    rows: tuple[tuple[Shown, ...], ...]

    def figure(self, measure: str, column: str, *, metric: str | None = None, cases: str = "all") -> Figure:
        """The first figure of that name.

        Raises: KeyError when the report has none.
        """
        for line in self.lines:
            if (line.measure, line.column, line.cases) == (measure, column, cases) and metric in (None, line.metric):
                return line.figure
        raise KeyError(f"The report has no figure '{measure}' of '{column}', {cases}.")

    def as_json(self) -> dict[str, Any]:
        """Everything but the pictures."""
        return {
            "version": VERSION,
            "about": dict(self.about),
            "notes": list(self.notes),
            "figures": [line.as_json() for line in self.lines],
        }

    def write(self, folder: Path) -> tuple[Path, Path]:
        """`report.json` and `report.html` in `folder`, each whole or not at all. Raises: OutputError."""
        paths = folder / "report.json", folder / "report.html"
        texts = json.dumps(self.as_json(), indent=1, ensure_ascii=False), self.as_html()
        for path, text in zip(paths, texts, strict=True):
            with written_file(path) as part:
                part.write_text(text, "utf-8")
        return paths

    def as_table(self) -> str:
        """The figures as a table in Markdown."""
        rows = [("measure", "metric", "pictures", "cases", "figure"), ("---",) * 5]
        rows += [(line.measure, line.metric, line.column, line.cases, line.text()) for line in self.lines]
        return "\n".join(f"| {' | '.join(row)} |" for row in rows)

    def as_html(self) -> str:
        """One page that needs no other file."""
        measures = list(dict.fromkeys(line.measure for line in self.lines))
        tables = "".join(
            _table(measure, [line for line in self.lines if line.measure == measure]) for measure in measures
        )
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        about = "".join(
            f"<tr><th>{escaped(key)}</th><td>{escaped(value)}</td></tr>" for key, value in self.about.items()
        )
        head = "".join(f"<th>{escaped(heading)}</th>" for heading in self.headings)
        rows = "".join(f"<tr>{''.join(picture_cell(shown) for shown in row)}</tr>" for row in self.rows)
        title = f"Evaluation of {self.about.get('model', 'a model')}"
        pictures = f"<h2>Pictures</h2><table><tr>{head}</tr>{rows}</table>"
        return page(title, f"{notes}{tables}{pictures}<h2>Settings</h2><table>{about}</table>")


def _table(measure: str, lines: Sequence[Line]) -> str:
    """Columns of pictures across, metrics and cases down."""
    columns = list(dict.fromkeys(line.column for line in lines))
    cells = {(line.metric, line.cases, line.column): line.text() for line in lines}
    head = "".join(f"<th>{escaped(column)}</th>" for column in columns)
    body = "".join(
        f"<tr><th>{escaped(metric)}</th><td>{escaped(cases)}</td>"
        + "".join(f"<td>{escaped(cells.get((metric, cases, column), '-'))}</td>" for column in columns)
        + "</tr>"
        for metric, cases in dict.fromkeys((line.metric, line.cases) for line in lines)
    )
    return f"<table><caption>{escaped(measure)}</caption><tr><th>metric</th><th>cases</th>{head}</tr>{body}</table>"
