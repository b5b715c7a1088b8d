"""`blipdiff train`: a model of your own, from nothing to a checkpoint; what is added to it."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.options import Model, run_by


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("train")(train)
    app.command("train-control")(train_control)
    app.command("train-detail")(train_detail)


@run_by("app.cli.runs.train")
def train(
    recipe: Annotated[
        str, typer.Argument(help="mini, describe, full/stage1, full/stage2, full/detail, or a TOML file like them.")
    ] = "mini",
    run: Annotated[
        Path | None, typer.Option("--run", help="The run's folder: data, states, logs; runs/RECIPE if absent.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", help="The checkpoint's folder; RUN/model if absent.")
    ] = None,
    data: Annotated[Path | None, typer.Option("--data", help="A prepared library of subjects and scenes.")] = None,
    start: Annotated[
        Path | None, typer.Option("--from", help="A checkpoint of the same sizes to go on from, not from nothing.")
    ] = None,
    export_only: Annotated[bool, typer.Option("--export-only", help="Write the checkpoint of the last state.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print a full-size recipe's memory for each GPU, and train nothing.")
    ] = False,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Keep curves for TensorBoard as well.")] = False,
    compiled: Annotated[bool, typer.Option("--compile/--no-compile", help="Compile the networks first.")] = True,
) -> None:
    """Train a small model or a describer; stopped at any moment, the same command goes on.

    Drawn subjects are fetched from package registries with npm and apt, once.
    """


@run_by("app.cli.runs.train")
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


@run_by("app.cli.runs.train")
def train_detail(
    data: Annotated[Path, typer.Option("--data", help="A prepared library of subjects and scenes.")],
    recipe: Annotated[str, typer.Argument(help="mini-detail, or a TOML file like it.")] = "mini-detail",
    run: Annotated[
        Path | None, typer.Option("--run", help="The run's folder: states, logs; runs/RECIPE if absent.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", help="The model's folder; RUN/model if absent.")] = None,
    model: Model = "mini",
    export_only: Annotated[bool, typer.Option("--export-only", help="Write the model of the last state.")] = False,
) -> None:
    """Train a detail adapter over a small model; stopped at any moment, the same command goes on."""
