"""`blipdiff train`: the bundled model, or one of your own recipe, from nothing to a checkpoint."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.terminal import say, warn

if TYPE_CHECKING:  # torch is imported when a command needs it
    from blipdiff.training.config import DescriberRecipe, Recipe
    from blipdiff.training.loop import TrainingStep


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("train")(train)


def train(
    recipe: Annotated[
        str, typer.Argument(help="mini, describe, full/stage1, full/stage2, or a TOML file like them.")
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
    from app.cli.files import check_writable
    from blipdiff.errors import ConfigError
    from blipdiff.training.config import load_describer_recipe, load_recipe, read_table

    run = run or Path("runs") / Path(recipe).stem
    table = read_table(recipe)
    if "hardware" in table:
        _train_full(table, recipe, run, output or run / "model", dry_run, tensorboard)
        return
    if dry_run:
        raise ConfigError(f"{recipe} is no full-size recipe; a dry run is for such as full/stage1 and full/stage2.")
    if "start" in table:
        settings = load_describer_recipe(recipe)
        check_writable(run)
        _train_describer(settings, run, output or run / "model", data, start, export_only, compiled)
    else:
        _train_model(load_recipe(recipe), run, output or run / "model", data, start, export_only, compiled, tensorboard)


def _train_full(table: dict[str, Any], source: str, run: Path, folder: Path, dry_run: bool, tensorboard: bool) -> None:
    from app.cli.files import check_writable
    from blipdiff.training.full import dry_run as planned
    from blipdiff.training.full import full_recipe
    from blipdiff.training.workers import workers_of_this_run
    from pipelines.train.full import train_full

    recipe = full_recipe(table, source)
    if dry_run:
        plan = planned(recipe)
        for line in plan.lines():
            say(line)
        room = recipe.hardware.memory_gigabytes
        fits = "fits into" if plan.total < 0.9 * room * 2**30 else "does not fit into"
        say(f"This {fits} {room:g} GB, a tenth of it left free; {recipe.hardware.processes} processes train together.")
        return
    check_writable(run)
    workers = workers_of_this_run(sharded=recipe.hardware.shard)
    steps = train_full(recipe, run, folder, workers=workers, tensorboard=tensorboard)
    for step in steps:
        if workers.is_first:
            _show("representation" if recipe.subject is None else "subject", [step])
    if workers.is_first:
        say(folder)


def _train_describer(
    settings: "DescriberRecipe",
    run: Path,
    folder: Path,
    data: Path | None,
    start: Path | None,
    export_only: bool,
    compiled: bool,
) -> None:
    from pipelines.train.describer import export_describer, prepare_describer, train_describer

    parts = prepare_describer(settings, run, data=data, start=start)
    if not export_only:
        _show("representation", train_describer(parts, compiled=compiled))
    export_describer(parts, folder)
    say(folder)


def _train_model(
    settings: "Recipe",
    run: Path,
    folder: Path,
    data: Path | None,
    start: Path | None,
    export_only: bool,
    compiled: bool,
    tensorboard: bool,
) -> None:
    from app.cli.files import check_writable
    from pipelines.train.decoder import train_decoder
    from pipelines.train.export import check_trained, export, sample_sheet
    from pipelines.train.parts import prepare
    from pipelines.train.reconstruction import train_reconstruction
    from pipelines.train.representation import train_representation
    from pipelines.train.subjects import train_subjects

    if export_only:
        check_trained(run)
    check_writable(run)
    parts = prepare(settings, run, data=data, start=start, tensorboard=tensorboard)
    if not export_only:
        if start is None:
            _show("representation", train_representation(parts, compiled=compiled))
            _show("reconstruction", train_reconstruction(parts, compiled=compiled))
        _show("subject", train_subjects(parts, start=start, compiled=compiled))
        _show("decoder", train_decoder(parts))
    export(parts, folder, name=settings.name)
    say(folder)
    if not export_only:
        say(sample_sheet(parts, run / "sheets" / "final.png"))


def _show(stage: str, steps: "Iterable[TrainingStep]") -> None:
    for step in steps:
        values = " ".join(f"{name} {value:.4f}" for name, value in step.parts.items())
        warn(
            f"{stage} {step.index + 1}/{step.count} loss {step.loss:.4f} {values} "
            f"{step.samples_per_second:.1f} samples/s"
        )
