"""Command-line options made from the declared parameters of a request, and those that commands share."""

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_type_hints

import typer
from pipelines.requests import GenerateRequest, Parameter, parameters

from blipdiff.errors import ConfigError

if TYPE_CHECKING:
    pass

Request = TypeVar("Request")

RANDOM = "a random one"  # seed, as --help says it

_DECLARED = parameters(GenerateRequest)
_DEFAULTS = {item.name: item.default for item in fields(GenerateRequest)}


def option(name: str, absent: str = "") -> Any:
    """The option `--name` with the help and range of the request's parameter of that name.

    absent: what the command puts in place of the request's default, in words for --help
    """
    return typer.Option(f"--{name.replace('_', '-')}", help=_help(_DECLARED[name]), show_default=absent or True)


def default(name: str) -> Any:
    """The request's own default of a parameter."""
    return _DEFAULTS[name]


def takes_parameters(
    kind: type,
    flags: Mapping[str, str] | None = None,
    *,
    but: Collection[str] = (),
    absent: Mapping[str, str] | None = None,
) -> Callable[[Callable[..., None]], Any]:
    """Gives a command, which takes them as `**asked`, an option for every declared parameter of a request's class.

    flags: options that are called otherwise than `--parameter-name`; but: parameters that the command has by itself;
    absent: what the command puts in place of the request's default, in words for --help
    """
    hints, own = get_type_hints(kind), {item.name: item.default for item in fields(kind)}

    def option_of(name: str, declared: Parameter) -> inspect.Parameter:
        flag = (flags or {}).get(name, f"--{name.replace('_', '-')}")
        if hints[name] in (bool, bool | None):
            flag += f"/--no-{flag.removeprefix('--')}"
        annotated: Any = Annotated  # a type that is known only now
        shown: str | bool = (absent or {}).get(name, True)
        asked = annotated[hints[name], typer.Option(flag, help=_help(declared), show_default=shown)]
        return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=own[name], annotation=asked)

    def with_options(command: Callable[..., None]) -> Any:
        listed = inspect.signature(command)
        before = [item for item in listed.parameters.values() if item.kind is not inspect.Parameter.VAR_KEYWORD]
        added = [option_of(name, declared) for name, declared in parameters(kind).items() if name not in but]
        command.__signature__ = listed.replace(parameters=[*before, *added])  # type: ignore[attr-defined]
        command.__annotations__ |= {item.name: item.annotation for item in added}
        return command

    return with_options


def was_given(context: typer.Context, name: str) -> bool:
    """Whether a person gave this option, by its parameter's name."""
    return getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"


def check_alone(context: typer.Context, names: Iterable[str], flags: Mapping[str, str] | None = None) -> None:
    """Passes when none of these was given beside --like: the picture tells them itself.

    flags: options that are called otherwise than `--parameter-name`

    Raises: ConfigError for those that were.
    """
    given = [(flags or {}).get(name, f"--{name.replace('_', '-')}") for name in names if was_given(context, name)]
    if given:
        raise ConfigError(f"--like draws a picture as it was; leave out {', '.join(given)}.")


def _help(declared: Parameter) -> str:
    """What a parameter is for, and what it may be."""
    allowed = f" One of: {', '.join(declared.choices)}." if declared.choices else ""
    if declared.low is not None and declared.high is not None and declared.high < 10_000:
        allowed = f" From {declared.low:g} to {declared.high:g}."
    return declared.help + allowed


_SIZE = "WIDTHxHEIGHT in pixels, or one number for a square;"

Model = Annotated[str, typer.Option("--model", help="mini, a folder, a LAVIS archive, or a hub id.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1 or mps.")]
Dtype = Annotated[str, typer.Option("--dtype", help="auto, float32, bfloat16 or float16.")]
Download = Annotated[bool, typer.Option("--download", help="Fetch a hub model that is not on this machine yet.")]
Subjects = Annotated[
    list[Path] | None,
    typer.Option(
        "--subject", help="A photo of the subject, or its subject card; again for several, which are averaged."
    ),
]
Weights = Annotated[
    list[float] | None, typer.Option("--weight", help="The weight of each --subject, in their order; 1 each if absent.")
]
Size = Annotated[str | None, typer.Option("--size", help=f"{_SIZE} the model's own if absent.")]
StructureSize = Annotated[
    str | None,
    typer.Option(
        "--size", help=f"{_SIZE} if absent, the first structure's shape at about the model's own number of pixels."
    ),
]
SceneSize = Annotated[
    str | None,
    typer.Option(
        "--size",
        help=f"{_SIZE} if absent, the model's own, and for subjects in a row a place of that size for each.",
    ),
]
EditSize = Annotated[
    str | None,
    typer.Option("--size", help=f"{_SIZE} if absent, a photo's shape at about the model's own number of pixels."),
]
MapSize = Annotated[str | None, typer.Option("--size", help=f"{_SIZE} the picture's own if absent.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object and no progress.")]
