"""Command-line options made from the declared parameters of a request, and those that commands share."""

from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.requests import GenerateRequest, parameters

_DECLARED = parameters(GenerateRequest)
_DEFAULTS = {item.name: item.default for item in fields(GenerateRequest)}


def option(name: str) -> Any:
    """The option `--name` with the help and range of the request's parameter of that name."""
    declared = _DECLARED[name]
    allowed = f" One of: {', '.join(declared.choices)}." if declared.choices else ""
    if declared.low is not None and declared.high is not None and declared.high < 10_000:
        allowed = f" From {declared.low:g} to {declared.high:g}."
    return typer.Option(f"--{name.replace('_', '-')}", help=declared.help + allowed)


def default(name: str) -> Any:
    """The request's own default of a parameter."""
    return _DEFAULTS[name]


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
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object and no progress.")]
