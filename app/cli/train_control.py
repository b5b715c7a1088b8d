"""`blipdiff train-control`: a ControlNet for the bundled model, or for one of your own training."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.options import Model
from app.cli.terminal import say, warn


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("train-control")(train_control)


def train_control(
    data: Annotated[Path, typer.Option("--data", help="A prepared library of subjects and scenes.")],
    recipe: Annotated[
        str, typer.Argument(help="mini-canny, mini-depth, either with -shapes, or a TOML file like them.")
    ] = "mini-canny",
    run: Annotated[
        Path | None, typer.Option("--run", help="The run's folder: states, logs; runs/RECIPE if absent.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", help="The net's folder; RUN/net if absent.")] = None,
    model: Model = "mini",
    start: Annotated[
        str | None, typer.Option("--from", help="A net of the same sizes to go on from, not from nothing.")
    ] = None,
    export_only: Annotated[bool, typer.Option("--export-only", help="Write the net of the last state.")] = False,
    compiled: Annotated[bool, typer.Option("--compile/--no-compile", help="Compile the networks first.")] = True,
) -> None:
    """Train a ControlNet over a small model; stopped at any moment, the same command goes on."""
    from app.cli.files import check_writable
    from blipdiff.training.config import load_control_recipe
    from pipelines.train.control import export_control, prepare_control
    from pipelines.train.control import train_control as training

    settings = load_control_recipe(recipe)
    place = Path("runs") / settings.name if run is None else run
    check_writable(place)
    parts = prepare_control(settings, place, source=model, start=start)
    if not export_only:
        for step in training(parts, data, compiled=compiled):
            warn(
                f"{settings.name} {step.index + 1}/{step.count} loss {step.loss:.4f} "
                f"noise {step.parts['noise']:.4f} {step.samples_per_second:.1f} samples/s"
            )
    folder = output or place / "net"
    export_control(parts, folder)
    say(folder)
