"""Every command: those of tasks, and those of the table, whose modules are imported when they are called."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from app.cli.draw import command_of
from app.cli.panels import panelled
from app.cli.stray import strict_command
from pipelines.task import tasks

_DRAW, _SUBJECTS, _TRAIN = "Draw pictures", "Subjects and photos", "Models and training"
_MEASURE, _MACHINE = "Measure", "This machine"


@dataclass(frozen=True, slots=True)
class Listed:
    """A command as `blipdiff --help` shows it."""

    module: str  # of app.cli; its `add_to` brings the command
    summary: str
    panel: str


COMMANDS: Mapping[str, Listed] = {
    "grid": Listed("grid", "Draw under all values of one or two parameters, and one sheet of all.", _DRAW),
    "matrix": Listed("matrix", "Draw every look in every structure, and one sheet of all.", _DRAW),
    "presets": Listed("presets", "List, show and keep settings under names, for --preset.", _DRAW),
    "preprocess": Listed("matrix", "Make a picture's control map, without drawing anything.", _DRAW),
    "ui": Listed("ui", "Open the page in a browser: upload a photo, describe a scene, watch it being drawn.", _DRAW),
    "serve": Listed("serve", "Serve the queue to programs: our own interface, OpenAI's, A1111's.", _DRAW),
    "batch": Listed("batch", "Draw a file of jobs into a folder; what is done is not done again.", _DRAW),
    "encode": Listed("encode", "Make a subject card: one small file that stands for the photos.", _SUBJECTS),
    "personalize": Listed("personalize", "Learn one subject by a minute of tuning: a card with weights.", _SUBJECTS),
    "export": Listed("personalize", "Write a learned subject's LoRA for diffusers, A1111, ComfyUI.", _SUBJECTS),
    "subjects": Listed("subjects", "Keep subjects as cards in a library, to be named @NAME.", _SUBJECTS),
    "cut-out": Listed("cut_out", "Cut the subject out of a photo.", _SUBJECTS),
    "ask": Listed(
        "ask", "Ask a photo: what is it, what colour, is it a cup; other engines read any question.", _SUBJECTS
    ),
    "describe": Listed("describe", "Say what a drawing shows: a caption, ranked categories, a match.", _SUBJECTS),
    "models": Listed("models", "Which models are here, what they can and need; fetch or remove one.", _TRAIN),
    "convert": Listed("convert", "Write a checkpoint in the hub's layout, or in that of LAVIS.", _TRAIN),
    "merge": Listed("convert", "Write BLIP-Diffusion on another base, a checkpoint of Stable Diffusion 1.5.", _TRAIN),
    "data": Listed("data", "Training data from your own photos.", _TRAIN),
    "schedule": Listed("schedule", "Fit few steps to a model, which it keeps: the same pictures sooner.", _TRAIN),
    "quantize": Listed("quantize", "Make a model's U-Net in 8 bits: calls in half the time on processors.", _TRAIN),
    "train": Listed("train", "Train a small model or a describer, or go on where it was stopped.", _TRAIN),
    "train-control": Listed("train", "Train a ControlNet over a small model.", _TRAIN),
    "train-detail": Listed("train", "Train a detail adapter over a small model.", _TRAIN),
    "evaluate": Listed("evaluate", "Score a model on subjects that it has never seen.", _MEASURE),
    "evaluate-edits": Listed("evaluate", "Measure what edits keep and what they swap.", _MEASURE),
    "evaluate-inversion": Listed("evaluate", "Measure how closely inverted pictures come back.", _MEASURE),
    "evaluate-blending": Listed("evaluate", "Measure blends and scenes of unseen subjects.", _MEASURE),
    "evaluate-structure": Listed(
        "evaluate", "Measure how far pictures follow edges, and whose colours they have.", _MEASURE
    ),
    "doctor": Listed("doctor", "Say what is installed and what makes it fast here, for bug reports.", _MACHINE),
}


class LazyCommands(TyperGroup):
    """All tasks' commands, then those of `COMMANDS`: listed without being imported, imported when they are called."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        for name, summary, panel in listed():
            self.commands[name] = TyperCommand(name, help=summary, rich_help_panel=panel)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that is called, with its options."""
        if args and args[0] in self.commands:
            self.commands[args[0]] = declared(args[0])
        return super().resolve_command(ctx, args)


def listed() -> list[tuple[str, str, str]]:
    """Name, summary and panel of every command."""
    drawing = [(task.name, task.summary, _DRAW) for task in tasks().values() if task.is_offered]
    return [*drawing, *((name, one.summary, one.panel) for name, one in COMMANDS.items())]


def declared(name: str) -> Any:
    """The command of this name: its task's, or its module's; its options in their panels."""
    part = typer.Typer()
    if name in COMMANDS:
        import_module(f"app.cli.{COMMANDS[name].module}").add_to(part)
    else:
        part.command(name, cls=strict_command(tasks()[name]))(command_of(tasks()[name]))
    return panelled(typer.main.get_group(part).commands[name])
