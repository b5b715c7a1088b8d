"""Command-line options made from the declared parameters of a request, and those that commands share."""

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer

from app.cli.panels import ADDITIONS, MACHINE, OUTPUT, SHARED
from app.libraries import quick_imports
from pipelines.parameters import Parameter, parameters
from pipelines.requests import SubjectSampling

RANDOM = "a random one"  # seed, as --help says it
SIZE = "WIDTHxHEIGHT, or one number for a square."
OLD = "old_"  # before the names of options that are still taken, and have another name now

_DECLARED = parameters(SubjectSampling)
_DEFAULTS = {item.name: item.default for item in fields(SubjectSampling)}


def run_by(module: str) -> Callable[[Callable[..., None]], Any]:
    """A command that is declared here and done by the function of its name in `module`, imported when it is called.

    So --help is there at once, whatever the command needs.
    """

    def declared(command: Callable[..., None]) -> Any:
        def run(**asked: Any) -> None:
            with quick_imports():
                found = import_module(module)
            getattr(found, command.__name__)(**asked)

        run.module = module  # type: ignore[attr-defined]
        return _like(command, run)

    return declared


def option(name: str) -> Any:
    """The option `--name` with the help, range and panel of the parameter of that name that requests share."""
    declared = _DECLARED[name]
    return typer.Option(f"--{_flag(name, declared)}", help=_help(declared), rich_help_panel=declared.group)


def default(name: str) -> Any:
    """That parameter's own default."""
    return _DEFAULTS[name]


def options_of(
    kind: type, *, but: Collection[str] = (), absent: Mapping[str, str] | None = None
) -> Iterator[inspect.Parameter]:
    """An option for every declared parameter of a request's class, its old names hidden beside it.

    Width and height are one, `--size`. Where a request holds several values, the option is given again and again.

    but: parameters that the command has by itself; absent: what it puts in place of a default, in words for --help
    """
    hints = get_type_hints(kind)
    own: dict[str, Any] = {item.name: item.default for item in fields(kind)}
    declared = {name: one for name, one in parameters(kind).items() if name not in but}
    for name, one in declared.items():
        if {"width", "height"} <= set(declared) and name in ("width", "height"):
            if name == "width":
                yield keyword("size", str | None, "--size", f"{SIZE} {one.help}", one.group)
            continue
        hint, value, shown = hints[name], own[name], (absent or {}).get(name, True)
        if get_origin(hint) is tuple:
            hint, shown, value = _several(get_args(hint)[0]), ", ".join(map(str, value or ())) or True, None
        yield keyword(name, hint, _switched(_flag(name, one), hint), _help(one), one.group, value, shown)
        optional = hint if type(None) in _members(hint) else hint | None
        for old in one.aliases:
            flag = _switched(old.replace("_", "-"), hint)
            yield keyword(OLD + old, optional, flag, hidden=True)


def keyword(
    name: str,
    hint: Any,
    flag: str,
    help_text: str = "",
    panel: str = "",
    value: Any = None,
    shown: str | bool = True,
    *,
    hidden: bool = False,
) -> inspect.Parameter:
    """A command's keyword that is given by an option."""
    annotated: Any = Annotated  # a type that is known only now
    made = typer.Option(flag, help=help_text, rich_help_panel=panel or None, show_default=shown, hidden=hidden)
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=value, annotation=annotated[hint, made])


def takes(*options: inspect.Parameter) -> Callable[[Callable[..., None]], Any]:
    """Gives a command, which takes them as `**asked`, these options."""

    def with_options(command: Callable[..., None]) -> Any:
        listed = inspect.signature(command)
        own = [item for item in listed.parameters.values() if item.kind is not inspect.Parameter.VAR_KEYWORD]
        command.__signature__ = listed.replace(parameters=[*own, *options])  # type: ignore[attr-defined]
        command.__annotations__ |= {item.name: item.annotation for item in options}
        return command

    return with_options


def was_given(context: typer.Context, name: str) -> bool:
    """Whether a person gave this option, by its parameter's name."""
    return getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"


def _like(command: Callable[..., None], run: Callable[..., None]) -> Callable[..., None]:
    """`run` with the name, the help and the options of `command`."""
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__signature__ = inspect.signature(command)  # type: ignore[attr-defined]
    run.__annotations__ = dict(command.__annotations__)
    return run


def _flag(name: str, declared: Parameter) -> str:
    return declared.flag or name.replace("_", "-")


def _switched(flag: str, hint: Any) -> str:
    return f"--{flag}/--no-{flag}" if bool in _members(hint) else f"--{flag}"


def _several(kind: Any) -> Any:
    """The type of an option that is given again and again."""
    return list[kind] | None


def _members(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if isinstance(hint, UnionType) else (hint,)


def _help(declared: Parameter) -> str:
    """What a parameter is for, and what it may be."""
    allowed = f" One of: {', '.join(declared.choices)}." if declared.choices else ""
    if declared.low is not None and declared.high is not None and declared.high < 10_000:
        allowed = f" From {declared.low:g} to {declared.high:g}."
    return (declared.help + allowed).replace("[", "\\[")  # which would be the markup of a colour


Model = Annotated[
    str, typer.Option("--model", help="mini, a folder, a LAVIS archive, or a hub id.", rich_help_panel=MACHINE)
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1 or mps.", rich_help_panel=MACHINE)]
Dtype = Annotated[str, typer.Option("--dtype", help="auto, float32, bfloat16 or float16.", rich_help_panel=MACHINE)]
Engine = Annotated[
    str,
    typer.Option(
        "--engine",
        help="What computes the networks: auto, torch, openvino or openvino-int8 (processors).",
        rich_help_panel=MACHINE,
    ),
]
ADDED = "added_"  # before the names of what goes on a model, so that a request may have parameters of these names
_ADDITIONS: tuple[tuple[str, Any, str, str], ...] = (
    (
        "loras",
        list[str] | None,
        "--lora",
        "FILE, FOLDER or HUB-ID, and its weight: chalk.safetensors:0.8. Again for several.",
    ),
    (
        "embeddings",
        list[str] | None,
        "--embedding",
        "FILE, FOLDER or HUB-ID of a textual inversion, and its word: toy.pt=<cat-toy>. Again for several.",
    ),
    ("vae", str | None, "--vae", "Another VAE: FILE, FOLDER or HUB-ID."),
    (
        "ip_adapter",
        str | None,
        "--ip-adapter",
        "FILE or FOLDER of an IP-Adapter, and its weight: ip-adapter_sd15.safetensors:0.6. It reads --ip-image.",
    ),
    ("ip_image", Path | None, "--ip-image", "The picture that the IP-Adapter reads beside the subject."),
    ("ip_encoder", str | None, "--ip-encoder", "FOLDER of its image encoder; image_encoder beside its file if absent."),
    (
        "safety",
        str | None,
        "--safety",
        "FOLDER or HUB-ID of Stable Diffusion's safety checker: what it flags is blurred, and metadata say so.",
    ),
    (
        "judge",
        str | None,
        "--judge",
        "Who scores prompts for --best: an engine of `blipdiff ask`, and its weights: blip-vqa=FOLDER or HUB-ID.",
    ),
    ("base", str | None, "--base", "A checkpoint of Stable Diffusion 1.5 that lends its look: FILE, FOLDER or HUB-ID."),
    ("original", str | None, "--original", "Stable Diffusion 1.5 itself, for --base: FILE, FOLDER or HUB-ID."),
    (
        "strengths",
        list[str] | None,
        "--base-strength",
        "How much of the model goes on the base: 0.8, or for a block up_blocks.1=0.5. Again for several.",
    ),
)


def addition_options() -> Iterator[inspect.Parameter]:
    """What people put on a model as it is loaded, whatever the command does with it."""
    return (keyword(ADDED + name, hint, flag, text, ADDITIONS) for name, hint, flag, text in _ADDITIONS)


def take_additions(asked: dict[str, Any]) -> dict[str, Any]:
    """Takes those out of a command's options: by their names, those that were given."""
    given = {name: asked.pop(ADDED + name, None) for name, *_ in _ADDITIONS}
    return {name: value for name, value in given.items() if value}


Download = Annotated[
    bool,
    typer.Option("--download", help="Fetch a hub model that is not on this machine yet.", rich_help_panel=MACHINE),
]
Mcp = Annotated[bool, typer.Option("--mcp", help="Offer the tasks as tools to programs that speak MCP, at /mcp.")]
Results = Annotated[
    str | None,
    typer.Option(
        "--results",
        help="A folder, or s3://BUCKET/FOLDER, that several machines see, for the history's files; BLIPDIFF_RESULTS.",
        rich_help_panel=SHARED,
    ),
]
SharedDatabase = Annotated[
    str | None,
    typer.Option(
        "--database",
        help="postgresql://USER@HOST/NAME, one queue and history for several servers; BLIPDIFF_DATABASE.",
        rich_help_panel=SHARED,
    ),
]
Output = Annotated[Path, typer.Option("--output", help="The folder for the pictures.", rich_help_panel=OUTPUT)]
NoMetadata = Annotated[
    bool,
    typer.Option(
        "--no-metadata",
        help="Leave out prompt, settings and inputs; the mark that a picture was generated stays.",
        rich_help_panel=OUTPUT,
    ),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print the result as one JSON object and no progress.", rich_help_panel=OUTPUT)
]
