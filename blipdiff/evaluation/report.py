"""The report of an evaluation: figures as JSON, and one HTML page with everything in it."""

import base64
import html
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from blipdiff.data.records import Pixels
from blipdiff.evaluation.statistics import Figure
from blipdiff.outputs import written_file

VERSION = 1
_JPEG_QUALITY = 88
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem; color: #1d1d1f }
table { border-collapse: collapse; margin: .6rem 0 1.6rem } caption { text-align: left; font-weight: 600 }
th, td { padding: .25rem .7rem; border-bottom: 1px solid #ddd; text-align: left; vertical-align: top }
img { width: 128px; height: 128px; display: block } figure { margin: 0 }
figcaption { max-width: 128px; font-size: 12px }
.hit { outline: 3px solid #2a9d4a } .miss { outline: 3px solid #c9503c } p { max-width: 60rem }
"""


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
class Shown:
    """One picture of the page; `hit` outlines it: a metric traced it to the right subject or not."""

    picture: Pixels
    caption: str = ""
    hit: bool | None = None


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
        about = "".join(f"<tr><th>{_text(key)}</th><td>{_text(value)}</td></tr>" for key, value in self.about.items())
        head = "".join(f"<th>{_text(heading)}</th>" for heading in self.headings)
        rows = "".join(f"<tr>{''.join(_cell(shown) for shown in row)}</tr>" for row in self.rows)
        title = f"Evaluation of {_text(self.about.get('model', 'a model'))}"
        return (
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
            f"<h1>{title}</h1>{notes}{tables}<h2>Pictures</h2><table><tr>{head}</tr>{rows}</table>"
            f"<h2>Settings</h2><table>{about}</table></html>\n"
        )


def _table(measure: str, lines: Sequence[Line]) -> str:
    """Columns of pictures across, metrics and cases down."""
    columns = list(dict.fromkeys(line.column for line in lines))
    cells = {(line.metric, line.cases, line.column): line.text() for line in lines}
    head = "".join(f"<th>{_text(column)}</th>" for column in columns)
    body = "".join(
        f"<tr><th>{_text(metric)}</th><td>{_text(cases)}</td>"
        + "".join(f"<td>{_text(cells.get((metric, cases, column), '-'))}</td>" for column in columns)
        + "</tr>"
        for metric, cases in dict.fromkeys((line.metric, line.cases) for line in lines)
    )
    return f"<table><caption>{_text(measure)}</caption><tr><th>metric</th><th>cases</th>{head}</tr>{body}</table>"


def _cell(shown: Shown) -> str:
    mark = "" if shown.hit is None else f' class="{"hit" if shown.hit else "miss"}"'
    caption = f"<figcaption>{_text(shown.caption)}</figcaption>" if shown.caption else ""
    return f'<td><figure><img{mark} alt="{_text(shown.caption)}" src="{_data(shown.picture)}">{caption}</figure></td>'


def _data(picture: Pixels) -> str:
    small = picture if picture.shape[0] <= 256 else cv2.resize(picture, (256, 256), interpolation=cv2.INTER_AREA)
    _, coded = cv2.imencode(".jpg", np.ascontiguousarray(small[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return "data:image/jpeg;base64," + base64.b64encode(coded.tobytes()).decode()


def _text(value: Any) -> str:
    return html.escape(str(value))
