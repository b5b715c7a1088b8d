"""The panels in which --help shows a command's options."""

from typing import Any

_PANELS = {
    "Subject": ("subject", "subjects", "weight", "category", "target", "fit"),
    "Words": ("prompt", "from_prompt", "prompt_to", "target_prompt", "negative", "repeats", "words"),
    "Pictures": ("count", "seed", "size", "width", "height", "batch", "frames", "side", "like"),
    "Structures": (
        "structure", "structures", "control", "preprocessor", "map_settings", "map_weights", "control_strength",
        "control_start", "control_stop", "guess", "structure_fit", "structure_resample",
    ),
    "Sampling": ("steps", "guidance", "guidance_start", "guidance_stop", "scheduler"),
    "Model and machine": ("model", "device", "dtype", "download"),
    "Output": ("output", "no_metadata", "as_json", "each", "sheet"),
}  # fmt: skip
_PANEL_OF = {name: panel for panel, names in _PANELS.items() for name in names}
_OF_CONTROLS = ("strength", "start", "stop")  # where a command has no others of these names


def panelled(command: Any) -> Any:
    """The command with each of its options in the panel of its kind, and the panels in one order for all commands.

    What a command alone has stands under its name: first where its first option is of that kind, else after the words.
    """
    for inner in getattr(command, "commands", {}).values():
        panelled(inner)
    names = {param.name for param in command.params}
    own = str(command.name).replace("-", " ").capitalize()
    for param in command.params:
        if getattr(param, "rich_help_panel", ...) is None and param.param_type_name == "option":
            param.rich_help_panel = _PANEL_OF.get(param.name, own)
            if param.name in _OF_CONTROLS and "control" in names and f"control_{param.name}" not in names:
                param.rich_help_panel = "Structures"
    shown = [_panel(param) for param in command.params if param.param_type_name == "option"]
    order = [*_PANELS]
    order.insert(0 if shown[:1] == [own] else order.index("Words") + 1, own)
    command.params.sort(key=lambda param: order.index(panel) if (panel := _panel(param)) in order else -1)
    return command


def _panel(param: Any) -> str | None:
    return getattr(param, "rich_help_panel", None)
