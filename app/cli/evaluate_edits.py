"""`blipdiff evaluate-edits` and `blipdiff evaluate-inversion`: what edits keep and swap, and how photos come back."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.options import Device, Dtype, Model, takes_parameters
from app.cli.terminal import say
from pipelines.evaluate.requests import EditEvaluationRequest, InversionEvaluationRequest

Data = Annotated[Path, typer.Option("--data", help="A prepared library of subjects and scenes, with held-out ones.")]
Output = Annotated[Path, typer.Option("--output", help="The folder for the report.")]
Spread = Annotated[
    float, typer.Option("--spread", help="How far subjects stray from the pictures' middle; mini has learnt 0.1.")
]


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("evaluate-edits")(evaluate_edits)
    app.command("evaluate-inversion")(evaluate_inversion)


@takes_parameters(EditEvaluationRequest)
def evaluate_edits(
    *,
    data: Data,
    output: Output = Path("evaluation-edits"),
    spread: Spread = 0.1,
    model: Model = "mini",
    device: Device = "auto",
    dtype: Dtype = "auto",
    **asked: Any,
) -> None:
    """Swap unseen subjects for other unseen ones; print what was kept and what was swapped, and save a sheet."""
    from pipelines.evaluate.edits import SHEET
    from pipelines.evaluate.edits import evaluate_edits as evaluated

    request = EditEvaluationRequest(**asked)
    library, loaded = _opened(data, output, spread, model, device, dtype)
    _run(evaluated(loaded, library, output, request))
    say(output / SHEET)


@takes_parameters(InversionEvaluationRequest)
def evaluate_inversion(
    *,
    data: Data,
    output: Output = Path("evaluation-inversion"),
    spread: Spread = 0.1,
    model: Model = "mini",
    device: Device = "auto",
    dtype: Dtype = "auto",
    **asked: Any,
) -> None:
    """Invert unseen pictures and draw them again, by every method; print how closely they come back."""
    from pipelines.evaluate.inversion import evaluate_inversion as evaluated

    request = InversionEvaluationRequest(**asked)
    library, loaded = _opened(data, output, spread, model, device, dtype)
    _run(evaluated(loaded, library, output, request))


def _opened(data: Path, output: Path, spread: float, model: str, device: str, dtype: str) -> tuple[Any, Any]:
    from app.cli.drawing import opened
    from app.cli.files import check_writable
    from blipdiff.data.pairs import PairLibrary

    check_writable(output)
    library = PairLibrary(data, spread)
    return library, opened(model, device=device, dtype=dtype).model


def _run(events: Iterator[Any]) -> None:
    """Shows the progress, then prints the report's figures."""
    from app.cli.drawing import staged

    for report in staged(events):
        say(report.as_table(), lines=True)
