"""The report of a benchmark's run: figures beside the published ones, by subject, against another run, pictures."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from blipdiff.evaluation.dreambench.benchmark import DREAMBENCH
from blipdiff.evaluation.dreambench.published import (
    DREAMBENCH_TABLE,
    PLUS_FOLLOWING,
    PLUS_PRESERVATION,
    PLUS_SOURCE,
)
from blipdiff.evaluation.dreambench.references import RAW
from blipdiff.evaluation.dreambench.scores import (
    ALL,
    CLIP_I,
    CLIP_T,
    DINO_SCORE,
    FOLLOWING,
    JUDGED,
    LIKENESS,
    Compared,
)
from blipdiff.evaluation.page import Shown, escaped, page, picture_cell, plain_table
from blipdiff.evaluation.report import Line
from blipdiff.evaluation.statistics import Figure
from blipdiff.outputs import written_file

VERSION = 1
NOTES = (
    "Every figure is a mean over pictures, with the 95 % interval of a bootstrap that draws whole subjects again. "
    "A picture's likeness is the mean of its cosines with all photos of its subject; captions are those of the "
    "benchmark without the unique token.",
    "References: raw photos; with their ground white; masked, their ground in the encoder's mean colour, which it "
    "reads as nothing. Masks lie in the folder 'masks' of the run: look at them, and put better ones there. The photo "
    "that the model was given is one of the references, as in published figures; without it likeness falls.",
)


@dataclass(frozen=True, slots=True, eq=False)
class BenchReport:
    """What a run came to. planned: how many pictures the whole benchmark has; drawn: how many there are."""

    about: Mapping[str, Any]
    planned: int
    drawn: int
    lines: tuple[Line, ...]
    subjects: Mapping[str, Mapping[str, Figure]]
    rows: tuple[tuple[Shown, ...], ...]
    against: str = ""
    comparison: tuple[Compared, ...] = ()

    def figure(self, measure: str, metric: str, *, column: str | None = None, cases: str | None = None) -> Figure:
        """The first figure of that name. Raises: KeyError when the report has none."""
        for line in self.lines:
            own = (line.measure, line.metric) == (measure, metric)
            if own and column in (None, line.column) and cases in (None, line.cases):
                return line.figure
        raise KeyError(f"The report has no figure '{measure}' by {metric}.")

    def as_json(self) -> dict[str, Any]:
        """Everything but the pictures."""
        return {
            "version": VERSION,
            "about": dict(self.about),
            "planned": self.planned,
            "drawn": self.drawn,
            "figures": [line.as_json() for line in self.lines],
            "subjects": {
                name: {metric: asdict(figure) for metric, figure in row.items()} for name, row in self.subjects.items()
            },
            "against": self.against,
            "comparison": [asdict(one) for one in self.comparison],
        }

    def write(self, folder: Path) -> Path:
        """`report.json` and `report.html`, each whole or not at all; gives the page. Raises: OutputError."""
        with written_file(folder / "report.json") as part:
            part.write_text(json.dumps(self.as_json(), indent=1, ensure_ascii=False), "utf-8")
        with written_file(folder / "report.html") as part:
            part.write_text(self.as_html(), "utf-8")
        return folder / "report.html"

    def as_table(self) -> str:
        """The figures as a table in Markdown, ours after the published ones."""
        head, rows = self._beside_published()
        every = [("measure", "metric", "references", "which", "figure")]
        every += [(line.measure, line.metric, line.column, line.cases, line.text()) for line in self.lines]
        tables = [_markdown(every[0], every[1:]), _markdown(head, rows)] if rows else [_markdown(every[0], every[1:])]
        if self.comparison:
            tables.append(_markdown(*self._compared()))
        return "\n\n".join(tables)

    def as_html(self) -> str:
        """One page that needs no other file."""
        parts = [
            f"<p>{self.drawn} of {self.planned} pictures.</p>",
            *(f"<p>{escaped(note)}</p>" for note in NOTES),
            *self._figures(),
            *self._subjects(),
            *self._pictures(),
            plain_table("Settings", ("setting", "value"), [(key, value) for key, value in self.about.items()]),
        ]
        return page(f"{self.about.get('benchmark')}: {self.about.get('model')}", "".join(parts))

    def _figures(self) -> Iterator[str]:
        head, rows = self._beside_published()
        if rows:
            yield plain_table("Published figures and ours", head, rows)
        if self.comparison:
            yield plain_table(f"Against {self.against}", *self._compared())
        for measure in dict.fromkeys(line.measure for line in self.lines):
            own = [line for line in self.lines if line.measure == measure]
            columns = list(dict.fromkeys(line.column for line in own))
            cells = {(line.metric, line.cases, line.column): line.text() for line in own}
            found = [
                (metric, cases, *(cells.get((metric, cases, column), "-") for column in columns))
                for metric, cases in dict.fromkeys((line.metric, line.cases) for line in own)
            ]
            yield plain_table(measure, ("metric", "which", *columns), found)

    def _subjects(self) -> Iterator[str]:
        metrics = (DINO_SCORE, CLIP_I, CLIP_T)
        rows = [(name, *(row[metric].as_number() for metric in metrics)) for name, row in self.subjects.items()]
        yield plain_table("By subject, raw references; intervals over prompts", ("subject", *metrics), rows)

    def _pictures(self) -> Iterator[str]:
        rows = "".join(f"<tr>{''.join(picture_cell(one) for one in row)}</tr>" for row in self.rows)
        yield f"<h2>Pictures, each subject's first photo before them</h2><table>{rows}</table>"

    def _beside_published(self) -> tuple[Sequence[str], list[Sequence[str]]]:
        if self.about.get("benchmark") != DREAMBENCH:
            marks = [line for line in self.lines if line.measure == JUDGED]
            head = ("method", "subject kept", "prompt followed", "source")
            ours = ("this run", *(line.figure.as_number() for line in marks), "") if marks else None
            published = ("BLIP-Diffusion", f"{PLUS_PRESERVATION:.3f}", f"{PLUS_FOLLOWING:.3f}", PLUS_SOURCE)
            return head, [published, ours] if ours else []
        rows: list[Sequence[str]] = [
            (one.method, _three(one.dino), _three(one.clip_i), _three(one.clip_t), one.source)
            for one in DREAMBENCH_TABLE
        ]
        ours = (
            self.figure(LIKENESS, DINO_SCORE, column=RAW, cases=ALL).as_number(),
            self.figure(LIKENESS, CLIP_I, column=RAW, cases=ALL).as_number(),
            self.figure(FOLLOWING, CLIP_T).as_number(),
        )
        which = "" if self.drawn == self.planned else f", {self.drawn} of {self.planned} pictures"
        rows.append((f"this run: {self.about.get('model')}{which}", *ours, f"{self.about.get('condition')} photo"))
        return ("method", DINO_SCORE, CLIP_I, CLIP_T, "source"), rows

    def _compared(self) -> tuple[Sequence[str], list[Sequence[str]]]:
        head = ("metric", "this run", "the other", "difference", "chance of the other sign")
        return head, [
            (one.metric, one.ours.as_number(), one.theirs.as_number(), one.difference.as_number(), f"{one.chance:.4f}")
            for one in self.comparison
        ]


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ("---",) * len(head), *rows))


def _three(number: float | None) -> str:
    return "-" if number is None else f"{number:.3f}"
