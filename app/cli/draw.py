"""The commands of tasks, each made from its request's parameters and from what else the task takes."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.controls import control_options
from app.cli.options import (
    RANDOM,
    AsJson,
    Device,
    Download,
    Dtype,
    Engine,
    Model,
    NoMetadata,
    Output,
    addition_options,
    keyword,
    options_of,
    take_additions,
    takes,
)
from app.libraries import quick_imports
from pipelines.parameters import PICTURES, STRUCTURES, SUBJECT, parameters
from pipelines.task import InputKind, Task

GIVEN = "given_"  # before the names of inputs, so that a request may have parameters of the same names
_WEIGHTS, _BOXES, _MASKS, _CUT_OUTS = "weight", "box", "mask", "cut_out"
_PANELS = {"subject": SUBJECT, "picture": PICTURES, "layers": PICTURES, "mask": PICTURES}


def command_of(
    task: Task, *, run: str = "app.cli.runs.drawing", more: Sequence[inspect.Parameter] = ()
) -> Callable[..., None]:
    """The command that draws a task's pictures, or one of them again.

    run: the module whose `draw` runs it; more: options beside the task's
    """
    photo = next((kind.label.lower() for kind in task.inputs.values() if kind.has_noise), None)
    absent = {"seed": RANDOM if photo is None else f"0 for a {photo}, else {RANDOM}"}

    options = (*more, *input_options(task), *_control_options(task), *options_of(task.request, absent=absent))

    @takes(*options, *addition_options())
    def draw(
        context: typer.Context,
        *,
        like: Annotated[
            Path | None,
            typer.Option(
                "--like",
                help="Draw this picture again from its own metadata; pictures that they do not keep are given again.",
                rich_help_panel=PICTURES,
            ),
        ] = None,
        from_preset: Annotated[
            str | None,
            typer.Option(
                "--preset",
                help="Settings under a name, or in a file; options that are given win. See `blipdiff presets`.",
                rich_help_panel=PICTURES,
            ),
        ] = None,
        model: Model = "mini",
        device: Device = "auto",
        dtype: Dtype = "auto",
        engine: Engine = "auto",
        download: Download = False,
        output: Output = Path("outputs"),
        no_metadata: NoMetadata = False,
        as_json: AsJson = False,
        **asked: Any,
    ) -> None:
        place = {"model": model, "device": device, "dtype": dtype, "engine": engine, "download": download}
        place["additions"] = take_additions(asked)
        asked |= {"output": output, "metadata": not no_metadata, "as_json": as_json, "from_preset": from_preset}
        with quick_imports():
            found = import_module(run)
        found.draw(task, context, asked, place, like)

    draw.__doc__ = "\n\n".join(text for text in (task.summary, task.example, task.about) if text)
    return draw  # type: ignore[no-any-return]


def takes_controls(task: Task) -> bool:
    """Whether a task follows structures as its request's controls say."""
    return any(item.name == "controls" for item in fields(task.request))


def needs_controls(task: Task) -> bool:
    """Whether a task does nothing without a structure, so that `--strength` is a control's."""
    return any(item.name == "controls" and item.default for item in fields(task.request))


def input_flags(task: Task) -> dict[str, str]:
    """The options of what a task takes beside its request, by their parameters' names."""
    flags = {GIVEN + name: f"--{name}" for name, kind in task.inputs.items() if kind.is_asked}
    for name, kind in task.inputs.items():
        for trait in _traits(task, kind):
            flag = f"--{trait.replace('_', '-')}"
            flags[f"{trait}_{name}"] = f"--{name}-{trait}" if flag in flags.values() else flag
    return flags


def input_options(task: Task) -> Iterator[inspect.Parameter]:
    """Those options: subjects again and again with their weights and regions, pictures and masks by their paths."""
    flags = input_flags(task)
    for name, kind in task.inputs.items():
        if not kind.is_asked:
            continue
        again = " Again for several." if kind.most is None or kind.most > 1 else ""
        panel = STRUCTURES if name == "structure" else _PANELS[kind.kind]
        flag = flags[GIVEN + name]
        if kind.is_bound:
            text = f"WORD=PHOTO, WORD=CARD or WORD=@NAME. {kind.help}{again}"
            yield keyword(GIVEN + name, list[str] | None, flag, text, panel)
        else:
            hint: Any = list[Path] | None if again else Path | None
            yield keyword(GIVEN + name, hint, flag, kind.help + again, panel)
        helps: dict[str, tuple[Any, str]] = {
            _WEIGHTS: (list[float] | None, f"The weight of each {flag}, in their order; 1 each if absent."),
            _BOXES: (list[str] | None, "WORD=left,top,right,bottom in fractions of the picture."),
            _MASKS: (list[str] | None, "WORD=PICTURE, white where that one shall be."),
            _CUT_OUTS: (
                list[str] | None,
                f"{'WORD=MASK' if kind.is_bound else f'The mask of each {flag}, in their order'}: white where the "
                "subject is in its photo, for --detail; found by itself if absent.",
            ),
        }
        for trait in _traits(task, kind):
            yield keyword(f"{trait}_{name}", helps[trait][0], flags[f"{trait}_{name}"], helps[trait][1], panel)


def _traits(task: Task, kind: InputKind) -> list[str]:
    if not kind.is_asked:
        return []
    weights = [_WEIGHTS] if kind.is_weighted else []
    places = [_BOXES, _MASKS] if kind.is_placed else []
    is_read = kind.kind == "subject" and "detail" in parameters(task.request)
    return [*weights, *places, *([_CUT_OUTS] if is_read else [])]


def _control_options(task: Task) -> Iterator[inspect.Parameter]:
    if not takes_controls(task):
        return iter(())
    taken = {one.flag or name for name, one in parameters(task.request).items()}
    return control_options(prefixed=not needs_controls(task) or bool(taken & {"strength", "start", "stop"}))
