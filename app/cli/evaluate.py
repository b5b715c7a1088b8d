"""`blipdiff evaluate` and its kin: how well a model keeps subjects, edits, blends, and follows structures."""

from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.options import Device, Dtype, Model, options_of, run_by, takes
from app.cli.panels import OUTPUT
from pipelines.evaluate.requests import (
    BlendingRequest,
    EditEvaluationRequest,
    EvaluateRequest,
    InversionEvaluationRequest,
    StructureRequest,
)

_RUNS = "app.cli.runs.evaluate"

Data = Annotated[Path, typer.Option("--data", help="A prepared library of subjects and scenes, with held-out ones.")]
Report = Annotated[Path, typer.Option("--output", help="The folder for the report.", rich_help_panel=OUTPUT)]
Spread = Annotated[
    float, typer.Option("--spread", help="How far subjects stray from the pictures' middle; mini has learnt 0.1.")
]


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("evaluate")(evaluate_model)
    app.command("evaluate-edits")(evaluate_edits)
    app.command("evaluate-inversion")(evaluate_inversion)
    app.command("evaluate-blending")(evaluate_blends)
    app.command("evaluate-structure")(evaluate_structure)


@run_by(_RUNS)
@takes(*options_of(EvaluateRequest, but=("subjects",)))
def evaluate_model(
    *,
    data: Data,
    subjects: Annotated[
        int | None, typer.Option("--subjects", help="Unseen subjects that are drawn: 50; with --describer 200.")
    ] = None,
    describer: Annotated[
        str | None, typer.Option("--describer", help="Score this describer's categories instead: mini-describe.")
    ] = None,
    output: Report = Path("evaluation"),
    model: Model = "mini",
    device: Device = "auto",
    dtype: Dtype = "auto",
    **asked: Any,
) -> None:
    """Score a model on subjects that it has never seen, and write a report with pictures."""


@run_by(_RUNS)
@takes(*options_of(EditEvaluationRequest))
def evaluate_edits(
    *,
    data: Data,
    spread: Spread = 0.1,
    output: Report = Path("evaluation-edits"),
    model: Model = "mini",
    device: Device = "auto",
    dtype: Dtype = "auto",
    **asked: Any,
) -> None:
    """Swap unseen subjects for other unseen ones; print what was kept and what was swapped, and save a sheet."""


@run_by(_RUNS)
@takes(*options_of(InversionEvaluationRequest))
def evaluate_inversion(
    *,
    data: Data,
    spread: Spread = 0.1,
    output: Report = Path("evaluation-inversion"),
    model: Model = "mini",
    device: Device = "auto",
    dtype: Dtype = "auto",
    **asked: Any,
) -> None:
    """Invert unseen pictures and draw them again, by every method; print how closely they come back."""


@run_by(_RUNS)
@takes(*options_of(BlendingRequest))
def evaluate_blends(
    *,
    data: Data,
    output: Report = Path("evaluation"),
    model: Model = "mini",
    device: Device = "auto",
    dtype: Dtype = "auto",
    **asked: Any,
) -> None:
    """Measure blends and scenes of subjects that the model has never seen, and print a table."""


@run_by(_RUNS)
@takes(*options_of(StructureRequest))
def evaluate_structure(
    *,
    data: Data,
    way: Annotated[
        list[str] | None, typer.Option("--way", help="Only this way of drawing, by its name; again for several.")
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option("--sheet", help="Also a .png with the first pictures.", rich_help_panel=OUTPUT)
    ] = None,
    model: Model = "mini",
    device: Device = "auto",
    dtype: Dtype = "auto",
    **asked: Any,
) -> None:
    """Measure how far pictures follow edges, and whose colours they have, on pairs of unseen subjects."""
