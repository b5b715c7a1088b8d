"""Models, describers and control nets are trained, and written as checkpoints."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from app.cli.terminal import say, warn
from app.outputs import check_writable
from blipdiff.errors import ConfigError
from blipdiff.training import full
from blipdiff.training.config import (
    DescriberRecipe,
    Recipe,
    load_control_recipe,
    load_describer_recipe,
    load_detail_recipe,
    load_recipe,
    read_table,
)
from blipdiff.training.loop import TrainingStep
from blipdiff.training.workers import workers_of_this_run
from pipelines.train import control
from pipelines.train.decoder import train_decoder
from pipelines.train.describer import export_describer, prepare_describer, train_describer
from pipelines.train.detail import export_detail, prepare_detail
from pipelines.train.detail import train_detail as detail_steps
from pipelines.train.export import check_trained, export, sample_sheet
from pipelines.train.full import train_full
from pipelines.train.parts import prepare
from pipelines.train.reconstruction import train_reconstruction
from pipelines.train.representation import train_representation
from pipelines.train.subjects import train_subjects


def train(
    recipe: str,
    run: Path | None,
    output: Path | None,
    data: Path | None,
    start: Path | None,
    export_only: bool,
    dry_run: bool,
    tensorboard: bool,
    compiled: bool,
) -> None:
    """Runs `blipdiff train`."""
    run = run or Path("runs") / Path(recipe).stem
    table = read_table(recipe)
    if "hardware" in table:
        _train_full(table, recipe, run, output or run / "model", dry_run, tensorboard)
        return
    if dry_run:
        raise ConfigError(
            f"{recipe} is no full-size recipe; a dry run is for such as full/stage1, full/stage2 and full/detail."
        )
    if "start" in table:
        settings = load_describer_recipe(recipe)
        check_writable(run)
        _train_describer(settings, run, output or run / "model", data, start, export_only, compiled)
    else:
        _train_model(load_recipe(recipe), run, output or run / "model", data, start, export_only, compiled, tensorboard)


def train_control(
    data: Path,
    recipe: str,
    run: Path | None,
    output: Path | None,
    model: str,
    start: str | None,
    export_only: bool,
    compiled: bool,
) -> None:
    """Runs `blipdiff train-control`."""
    settings = load_control_recipe(recipe)
    place = Path("runs") / settings.name if run is None else run
    check_writable(place)
    parts = control.prepare_control(settings, place, source=model, start=start)
    if not export_only:
        for step in control.train_control(parts, data, compiled=compiled):
            warn(
                f"{settings.name} {step.index + 1}/{step.count} loss {step.loss:.4f} "
                f"noise {step.parts['noise']:.4f} {step.samples_per_second:.1f} samples/s"
            )
    folder = output or place / "net"
    control.export_control(parts, folder)
    say(folder)


def train_detail(data: Path, recipe: str, run: Path | None, output: Path | None, model: str, export_only: bool) -> None:
    """Runs `blipdiff train-detail`."""
    settings = load_detail_recipe(recipe)
    place = Path("runs") / settings.name if run is None else run
    check_writable(place)
    parts = prepare_detail(settings, place, source=model)
    if not export_only:
        _show(settings.name, detail_steps(parts, data))
    folder = output or place / "model"
    export_detail(parts, folder)
    say(folder)


def _train_full(table: dict[str, Any], source: str, run: Path, folder: Path, dry_run: bool, tensorboard: bool) -> None:
    recipe = full.full_recipe(table, source)
    if dry_run:
        plan = full.dry_run(recipe)
        for line in plan.lines():
            say(line)
        room = recipe.hardware.memory_gigabytes
        fits = "fits into" if plan.total < 0.9 * room * 2**30 else "does not fit into"
        say(f"This {fits} {room:g} GB, a tenth of it left free; {recipe.hardware.processes} processes train together.")
        return
    check_writable(run)
    workers = workers_of_this_run(sharded=recipe.hardware.shard)
    steps = train_full(recipe, run, folder, workers=workers, tensorboard=tensorboard)
    stage = next(name for name in full.STAGES if getattr(recipe, name) is not None)
    for step in steps:
        if workers.is_first:
            _show(stage, [step])
    if workers.is_first:
        say(folder)


def _train_describer(
    settings: DescriberRecipe,
    run: Path,
    folder: Path,
    data: Path | None,
    start: Path | None,
    export_only: bool,
    compiled: bool,
) -> None:
    parts = prepare_describer(settings, run, data=data, start=start)
    if not export_only:
        _show("representation", train_describer(parts, compiled=compiled))
    export_describer(parts, folder)
    say(folder)


def _train_model(
    settings: Recipe,
    run: Path,
    folder: Path,
    data: Path | None,
    start: Path | None,
    export_only: bool,
    compiled: bool,
    tensorboard: bool,
) -> None:
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


def _show(stage: str, steps: Iterable[TrainingStep]) -> None:
    for step in steps:
        values = " ".join(f"{name} {value:.4f}" for name, value in step.parts.items())
        warn(
            f"{stage} {step.index + 1}/{step.count} loss {step.loss:.4f} {values} "
            f"{step.samples_per_second:.1f} samples/s"
        )
