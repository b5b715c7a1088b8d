"""`blipdiff convert`: a checkpoint in another layout or precision; `blipdiff merge`: on another base."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.options import Download, run_by


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("convert")(convert_checkpoint)
    app.command("merge")(merge_checkpoint)


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


@run_by("app.cli.runs.convert")
def merge_checkpoint(
    base: Annotated[
        str, typer.Argument(help="A checkpoint of Stable Diffusion 1.5 that lends its look: a file, folder or hub id.")
    ],
    target: Annotated[Path, typer.Argument(help="The folder to write; new or empty.")],
    model: Annotated[
        str, typer.Option("--model", help="BLIP-Diffusion: a folder in the hub's layout, or a hub id.")
    ] = "Salesforce/blipdiffusion",
    original: Annotated[
        str | None,
        typer.Option("--original", help="Stable Diffusion 1.5 itself: a file, folder or hub id; the hub's if absent."),
    ] = None,
    strength: Annotated[
        list[str] | None,
        typer.Option(
            "--strength",
            help="How much of BLIP-Diffusion goes on the base: 0.8, or up_blocks.1=0.5. Again for several.",
        ),
    ] = None,
    download: Download = False,
) -> None:
    """Write BLIP-Diffusion on another base: base + strength * (BLIP-Diffusion - Stable Diffusion 1.5).

    blipdiff merge dreamy.safetensors my_model --original v1-5-pruned.safetensors
    """
