"""`blipdiff models`: which models are here, what they need; the hub's are fetched and removed."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.options import AsJson, Device, Dtype, run_by

_RUNS = "app.cli.runs.models"

models = typer.Typer(
    name="models",
    help="Which models are here, what they can and need; fetch a published one, or remove it.",
    no_args_is_help=True,
)
Id = Annotated[str, typer.Argument(help="A hub id, such as Salesforce/blipdiffusion.")]


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    app.add_typer(models)


@models.command("list")
@run_by(_RUNS)
def list_models(
    memory: Annotated[
        bool, typer.Option("--memory", help="Say what each needs of memory to draw here, and what is free.")
    ] = False,
    folder: Annotated[
        Path | None, typer.Option("--folder", help="Where your own models lie; BLIPDIFF_MODELS if absent.")
    ] = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    as_json: AsJson = False,
) -> None:
    """List the models on this machine: kind, size, what they can, licence. Nothing is asked of the hub."""


@models.command("get")
@run_by(_RUNS)
def get_model(name: Id, as_json: AsJson = False) -> None:
    """Fetch a model from the hub, or the rest of it: Ctrl-C keeps what has come.

    blipdiff models get Salesforce/blipdiffusion
    """


@models.command("remove")
@run_by(_RUNS)
def remove_model(name: Id, yes: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False) -> None:
    """Take a model of the hub off this machine; it can be fetched again."""


@models.command("converted")
@run_by(_RUNS)
def converted_networks(
    remove: Annotated[bool, typer.Option("--remove", help="Take them off this machine.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False,
    as_json: AsJson = False,
) -> None:
    """The networks that were converted for OpenVINO, which are converted again when they are needed.

    They lie where BLIPDIFF_CONVERTED says, or in the cache of your home folder.
    """
