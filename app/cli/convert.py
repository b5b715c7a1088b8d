"""`blipdiff convert`: a checkpoint in another layout or precision."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.options import Download, run_by


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("convert")(convert_checkpoint)


@run_by("app.cli.runs.convert")
def convert_checkpoint(
    source: Annotated[str, typer.Argument(help="A folder, a LAVIS archive or fine-tuned file, a hub id, or mini.")],
    target: Annotated[Path, typer.Argument(help="The folder to write; new or empty.")],
    to: Annotated[str, typer.Option("--to", help="The layout: diffusers or lavis.")] = "diffusers",
    dtype: Annotated[str, typer.Option("--dtype", help="float32, bfloat16, float16; as stored if absent.")] = "stored",
    vocabulary: Annotated[
        Path | None, typer.Option("--vocabulary", help="A folder with the Q-Former's vocab.txt, if it is not BERT's.")
    ] = None,
    configs_from: Annotated[
        Path | None,
        typer.Option("--configs-from", help="A folder in the hub's layout that lends sizes and tokenizers."),
    ] = None,
    base: Annotated[
        str | None, typer.Option("--base", help="The model that a fine-tuned file was trained from.")
    ] = None,
    download: Download = False,
) -> None:
    """Write a checkpoint in the hub's layout, or in that of LAVIS.

    blipdiff convert blip-diffusion.tar.gz my_model
    """
