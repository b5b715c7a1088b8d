"""`blipdiff evaluate-blending`: where paths between unseen subjects lead, and whether each region shows its own."""

from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.options import Device, Dtype, Model, takes_parameters
from app.cli.terminal import say
from pipelines.evaluate.requests import BlendingRequest


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("evaluate-blending")(evaluate_blends)


@takes_parameters(BlendingRequest)
def evaluate_blends(
    *,
    data: Annotated[
        Path, typer.Option("--data", help="A prepared library of subjects and scenes, with held-out ones.")
    ],
    output: Annotated[Path, typer.Option("--output", help="The folder for the report.")] = Path("evaluation"),
    model: Model = "mini",
    device: Device = "auto",
    dtype: Dtype = "auto",
    **asked: Any,
) -> None:
    """Measure blends and scenes of subjects that the model has never seen, and print a table."""
    from app.cli.drawing import opened, staged
    from app.cli.files import check_writable
    from blipdiff.data.pairs import PairLibrary
    from pipelines.evaluate.blending import evaluate_blending

    request = BlendingRequest(**asked)
    check_writable(output)
    library = PairLibrary(data, spread=0.1)
    studio = opened(model, device=device, dtype=dtype)
    for report in staged(evaluate_blending(studio, library, output, request)):
        width = max(len(name) for name, _ in report.lines)
        for name, text in report.lines:
            say(f"{name:{width}}  {text}")
