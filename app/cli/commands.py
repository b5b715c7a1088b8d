"""Every command with the module that it comes from, which is imported when the command is called."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from app.cli.panels import panelled

_DRAW, _SUBJECTS, _TRAIN = "Draw pictures", "Subjects and photos", "Models and training"
_MEASURE, _MACHINE = "Measure", "This machine"


@dataclass(frozen=True, slots=True)
class Listed:
    """A command as `blipdiff --help` shows it."""

    module: str  # of app.cli; its `add_to` brings the command
    summary: str
    panel: str


COMMANDS: Mapping[str, Listed] = {
    "generate": Listed("generate", "Draw a subject in a new scene.", _DRAW),
    "edit": Listed("edit", "Swap the subject of a picture and keep the picture.", _DRAW),
    "stylize": Listed("stylize", "Draw a subject's look in another picture's structure.", _DRAW),
    "blend": Listed("blend", "Draw what lies between subjects: one picture, a path, or a map.", _DRAW),
    "scene": Listed("scene", "Draw several subjects in one picture, each in its region.", _DRAW),
    "matrix": Listed("matrix", "Draw every look in every structure, and one sheet of all.", _DRAW),
    "attend": Listed("attend", "Draw pictures and show where each word and the subject were seen in them.", _DRAW),
    "preprocess": Listed("stylize", "Make a picture's control map, without drawing anything.", _DRAW),
    "ui": Listed("ui", "Open the page in a browser: upload a photo, describe a scene, watch it being drawn.", _DRAW),
    "encode": Listed("encode", "Make a subject card: one small file that stands for the photos.", _SUBJECTS),
    "subjects": Listed("subjects", "Keep subjects as cards in a library, to be named @NAME.", _SUBJECTS),
    "describe": Listed("describe", "Say what a drawing shows: a caption, ranked categories, a match.", _SUBJECTS),
    "convert": Listed("convert", "Write a checkpoint in the hub's layout, or in that of LAVIS.", _TRAIN),
    "data": Listed("data", "Training data from your own photos.", _TRAIN),
    "train": Listed("train", "Train a small model or a describer, or go on where it was stopped.", _TRAIN),
    "train-control": Listed("train_control", "Train a ControlNet over a small model.", _TRAIN),
    "evaluate": Listed("evaluate", "Score a model on subjects that it has never seen.", _MEASURE),
    "evaluate-edits": Listed("evaluate_edits", "Measure what edits keep and what they swap.", _MEASURE),
    "evaluate-inversion": Listed("evaluate_edits", "Measure how closely inverted pictures come back.", _MEASURE),
    "evaluate-blending": Listed("evaluate_blending", "Measure blends and scenes of unseen subjects.", _MEASURE),
    "evaluate-structure": Listed(
        "matrix", "Measure how far pictures follow edges, and whose colours they have.", _MEASURE
    ),
    "doctor": Listed("doctor", "Say what is installed and what makes it fast here, for bug reports.", _MACHINE),
}


class LazyCommands(TyperGroup):
    """The commands of `COMMANDS`: listed without being imported, imported when they are called."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        for name, listed in COMMANDS.items():
            self.commands[name] = TyperCommand(name, help=listed.summary, rich_help_panel=listed.panel)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that is called, as its module declares it."""
        if args and args[0] in COMMANDS:
            self.commands[args[0]] = declared(args[0])
        return super().resolve_command(ctx, args)


def declared(name: str) -> Any:
    """The command of this name from its module, its options in their panels."""
    part = typer.Typer()
    import_module(f"app.cli.{COMMANDS[name].module}").add_to(part)
    return panelled(typer.main.get_group(part).commands[name])
