"""`blipdiff train`: the bundled model, or one of your own recipe, from nothing to a checkpoint."""

import sys
from pathlib import Path
from typing import Annotated

import typer


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("train")(train)


def train(
    recipe: Annotated[str, typer.Argument(help="mini, or a TOML file like it.")] = "mini",
    run: Annotated[Path, typer.Option("--run", help="The run's folder: data, states, logs.")] = Path("runs/mini"),
    output: Annotated[
        Path | None, typer.Option("--output", help="The checkpoint's folder; RUN/model if absent.")
    ] = None,
    data: Annotated[Path | None, typer.Option("--data", help="A prepared library of subjects and scenes.")] = None,
    start: Annotated[
        Path | None, typer.Option("--from", help="A checkpoint of the same sizes to go on from, not from nothing.")
    ] = None,
    export_only: Annotated[bool, typer.Option("--export-only", help="Write the checkpoint of the last state.")] = False,
    compiled: Annotated[bool, typer.Option("--compile/--no-compile", help="Compile the networks first.")] = True,
) -> None:
    """Train a small model; stopped at any moment, the same command goes on.

    Drawn subjects are fetched from package registries with npm and apt, once.
    """
    from app.cli.files import check_writable
    from blipdiff.training.config import load_recipe
    from pipelines.train import check_trained, export, prepare, train_decoder, train_redrawing, train_subjects

    settings = load_recipe(recipe)
    if export_only:
        check_trained(run)
    check_writable(run)
    parts = prepare(settings, run, data=data, start=start)
    if not export_only:
        redrawn = train_redrawing(parts, compiled=compiled) if start is None else ()
        for stage, steps in (
            ("redrawing", redrawn),
            ("subject", train_subjects(parts, start=start, compiled=compiled)),
            ("decoder", train_decoder(parts)),
        ):
            for step in steps:
                values = " ".join(f"{name} {value:.4f}" for name, value in step.parts.items())
                print(
                    f"{stage} {step.index + 1}/{step.count} loss {step.loss:.4f} {values} "
                    f"{step.samples_per_second:.1f} samples/s",
                    file=sys.stderr,
                )
    folder = output or run / "model"
    export(parts, folder, name=settings.name)
    print(folder)
