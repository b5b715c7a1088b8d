"""The panels in which --help shows a command's options."""

from typing import Any

_PANELS = {
    "Subject": ("subject", "subjects", "weight", "category", "target", "fit"),
    "Words": ("prompt", "from_prompt", "prompt_to", "target_prompt", "negative", "repeats", "words"),
    "Pictures": ("count", "seed", "size", "width", "height", "batch", "frames", "side", "like"),
    "Sampling": ("steps", "guidance", "guidance_start", "guidance_stop", "scheduler"),
    "Structures": (
        "structure", "structures", "control", "preprocessor", "map_settings", "map_weights", "control_strength",
        "control_start", "control_stop", "guess", "structure_fit",
    ),
    "Model and machine": ("model", "device", "dtype", "download"),
    "Output": ("output", "no_metadata", "as_json", "each", "sheet"),
}  # fmt: skip
_PANEL_OF = {name: panel for panel, names in _PANELS.items() for name in names}
_OF_CONTROLS = ("strength", "start", "stop")  # where a command has no others of these names


def panelled(command: Any) -> Any:
    """The command with each of its options in the panel of its kind; options of its own come first."""
    for inner in getattr(command, "commands", {}).values():
        panelled(inner)
    names = {param.name for param in command.params}
    for param in command.params:
        if getattr(param, "rich_help_panel", ...) is None and param.param_type_name == "option":
            param.rich_help_panel = _PANEL_OF.get(param.name)
            if param.name in _OF_CONTROLS and "control" in names and f"control_{param.name}" not in names:
                param.rich_help_panel = "Structures"
    return command
