"""The panels in which --help shows a command's options: each option names its own, and here they are put in order."""

from typing import Any

from pipelines.parameters import PICTURES, SAMPLING, STRUCTURES, SUBJECT, WORDS

MACHINE, ADDITIONS, OUTPUT = "Model and machine", "What goes on the model", "Output"
SHARED = "Several machines"
_ORDER = (SUBJECT, WORDS, PICTURES, STRUCTURES, SAMPLING, MACHINE, ADDITIONS, OUTPUT)


def panelled(command: Any) -> Any:
    """The command with its panels in one order for all commands; options that name none stand under its own name.

    Panels that a command alone has stand first where its first option is in one of them, else after the words.
    """
    for inner in getattr(command, "commands", {}).values():
        panelled(inner)
    options = [param for param in command.params if param.param_type_name == "option"]
    for param in options:
        param.rich_help_panel = param.rich_help_panel or str(command.name).replace("-", " ").capitalize()
    shown = list(dict.fromkeys(param.rich_help_panel for param in options))
    own = [panel for panel in shown if panel not in _ORDER]
    first = 0 if shown[:1] == own[:1] else _ORDER.index(WORDS) + 1
    order = [*_ORDER[:first], *own, *_ORDER[first:]]
    command.params.sort(key=lambda param: order.index(param.rich_help_panel) if param in options else -1)
    return command
