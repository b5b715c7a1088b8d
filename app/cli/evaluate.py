"""`blipdiff evaluate`: how well a model keeps unseen subjects and follows scenes."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from app.cli.options import Device, Dtype, Model


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("evaluate")(evaluate_model)


def evaluate_model(
    data: Annotated[
        Path, typer.Option("--data", help="A prepared library of subjects and scenes, with held-out ones.")
    ],
    output: Annotated[Path, typer.Option("--output", help="The folder for the report.")] = Path("evaluation"),
    subjects: Annotated[int, typer.Option("--subjects", help="How many unseen subjects.", min=10, max=1000)] = 50,
    steps: Annotated[int, typer.Option("--steps", help="Denoising steps.", min=1, max=1000)] = 20,
    seed: Annotated[int, typer.Option("--seed", help="Of the choice of subjects and of the noise.")] = 0,
    model: Model = "mini",
    device: Device = "auto",
    dtype: Dtype = "auto",
) -> None:
    """Score a model on subjects that it has never seen, and write a report with pictures."""
    from pipelines.evaluate import evaluate

    from app.cli.files import check_writable
    from blipdiff.data.pairs import PairLibrary
    from pipelines.studio import Studio

    check_writable(output)
    library = PairLibrary(data)
    studio = Studio.open(model, device=device, dtype=dtype)
    for line in evaluate(studio, library, output, subjects=subjects, seed=seed, steps=steps):
        print(line, file=sys.stderr)
    print(output / "report.html")
