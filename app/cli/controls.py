"""Options of control branches, which commands share."""

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from pipelines.stylize_request import ControlSettings

from blipdiff.errors import ConfigError

Structures = Annotated[
    list[Path] | None, typer.Option("--structure", help="A picture whose structure is followed; again for several.")
]
Controls = Annotated[
    list[str] | None,
    typer.Option("--control", help="mini-canny, mini-depth, a ControlNet's folder or hub id; again for several."),
]
Chosen = Annotated[
    list[str] | None,
    typer.Option(
        "--preprocessor", help="How each structure becomes a map; none: it is a map. See `blipdiff preprocess --list`."
    ),
]
MapSettings = Annotated[
    list[str] | None, typer.Option("--map", help="Settings of each preprocessor: low=50,high=120. See --list.")
]
MapWeights = Annotated[
    list[str] | None, typer.Option("--map-weights", help="A folder or hub id in place of a detector's own weights.")
]
Strengths = Annotated[list[float] | None, typer.Option("--strength", help="Of each control, from 0 to 2; 1 if absent.")]
Starts = Annotated[list[float] | None, typer.Option("--start", help="The fraction of the run at which each begins.")]
Stops = Annotated[list[float] | None, typer.Option("--stop", help="The fraction of the run at which each ends.")]
Guess = Annotated[bool, typer.Option("--guess/--no-guess", help="Guess mode: the maps lead, and need no prompt.")]
Fits = Annotated[
    list[str] | None,
    typer.Option("--structure-fit", help="crop, pad or squash each structure of another shape than the picture."),
]
Resamples = Annotated[
    list[str] | None,
    typer.Option("--structure-resample", help="bicubic or lanczos, for each structure of another size."),
]

_PREFIXED = ("strength", "start", "stop")
_DEFAULT = ControlSettings()
CONTROL_OPTIONS = {
    "structure": Structures,
    "control": Controls,
    "preprocessor": Chosen,
    "map_settings": MapSettings,
    "map_weights": MapWeights,
    "control_strength": Annotated[
        list[float] | None, typer.Option("--control-strength", help="Of each control, from 0 to 2; 1 if absent.")
    ],
    "control_start": Annotated[
        list[float] | None, typer.Option("--control-start", help="The fraction of the run at which each begins.")
    ],
    "control_stop": Annotated[
        list[float] | None, typer.Option("--control-stop", help="The fraction of the run at which each ends.")
    ],
    "structure_fit": Fits,
    "structure_resample": Resamples,
}
TOLD_OPTIONS = tuple(name for name in CONTROL_OPTIONS if name != "control")  # that a picture's metadata tell


def folders_for(picture: Path, control: Sequence[str] | None) -> list[Path]:
    """Where the nets are looked for that a picture's metadata name: those that were given, then beside the picture."""
    return [*(Path(one) for one in control or ()), picture.absolute().parent]


def takes_controls(command: Callable[..., None]) -> Any:
    """Gives a command, which takes them as `**asked`, the options of control branches; `asked_controls` reads them."""
    listed = inspect.signature(command)
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in CONTROL_OPTIONS.items()
    ]
    before = [item for item in listed.parameters.values() if item.kind is not inspect.Parameter.VAR_KEYWORD]
    rest = [item for item in listed.parameters.values() if item.kind is inspect.Parameter.VAR_KEYWORD]
    command.__signature__ = listed.replace(parameters=[*before, *added, *rest])  # type: ignore[attr-defined]
    command.__annotations__ |= CONTROL_OPTIONS
    return command


def asked_controls(asked: dict[str, Any], *, structures: int) -> tuple[ControlSettings, ...]:
    """Takes the options of `takes_controls` out of `asked`; nothing where none of them was given.

    structures: pictures that are followed where --structure names none

    Raises: ConfigError as `control_settings`.
    """
    given = {name: asked.pop(name) for name in CONTROL_OPTIONS}
    if not any(given.values()):
        return ()
    pictures = len(given.pop("structure") or ()) or structures
    settings = given.pop("map_settings")
    named = {name.removeprefix("control_"): values for name, values in given.items()}
    parsed = None if settings is None else [parse_map(text) for text in settings]
    return control_settings(pictures, prefix="control-", map_settings=parsed, **named)


def parse_map(text: str) -> dict[str, float]:
    """Settings written as "low=50,high=120".

    Raises: ConfigError for any other text.
    """
    found = {}
    for part in (part for part in text.split(",") if part.strip()):
        name, equals, number = part.partition("=")
        try:
            found[name.strip()] = float(number)
        except ValueError:
            equals = ""
        if not equals or not name.strip():
            raise ConfigError(f"A map's settings are '{text}'; write them as low=50,high=120.")
    return found


def control_settings(
    structures: int, *, prefix: str = "", **given: Sequence[Any] | None
) -> tuple[ControlSettings, ...]:
    """One control for each structure or each --control, whichever are more; an option is given once for all, or each.

    prefix: of the options strength, start and stop, where a command has others of these names

    Raises: ConfigError for another number of values.
    """
    from blipdiff.checkpoints.controls import control_for_map, map_of_control

    if not structures:
        raise ConfigError("No structure was given; add --structure with a picture to follow.")
    count = max(structures, len(given.get("control") or ()))
    for name, values in given.items():
        if values is not None and len(values) not in (1, count):
            flag = "map" if name == "map_settings" else name.replace("_", "-")
            flag = f"--{prefix if name in _PREFIXED else ''}{flag}"
            raise ConfigError(f"{flag} was given {len(values)} times for {count} controls; give it once, or once each.")
    made = []
    for place in range(count):
        chosen = {name: one[place % len(one)] for name, one in given.items() if one}
        if "control" not in chosen:
            chosen["control"] = control_for_map(str(chosen.get("preprocessor"))) or _DEFAULT.control
        elif "preprocessor" not in chosen:
            chosen["preprocessor"] = map_of_control(chosen["control"]) or _DEFAULT.preprocessor
        made.append(ControlSettings(**chosen))
    return tuple(made)
