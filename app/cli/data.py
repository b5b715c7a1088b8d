"""`blipdiff data prepare`: a folder of photos -> shards to train on, and a page to look at."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.cluster import ClusterCommand, Ray, Workers
from app.cli.options import Device, Download, run_by

_DEFAULT_TOOLS = {
    "segmenter": "CIDAS/clipseg-rd64-refined",
    "captioner": "Salesforce/blip-image-captioning-base",
    "matcher": "Salesforce/blip-itm-base-coco",
}


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    data = typer.Typer(help="Training data from your own photos.", no_args_is_help=True)
    data.command("prepare", cls=ClusterCommand)(prepare)
    app.add_typer(data, name="data")


@run_by("app.cli.runs.data")
def prepare(
    photos: Annotated[Path, typer.Argument(help="The folder of photos; captions may lie beside them as .txt.")],
    output: Annotated[Path, typer.Option("--output", help="The folder for shards and report.")],
    category: Annotated[str, typer.Option("--category", help="What all photos show; else their folders' names.")] = "",
    side: Annotated[int, typer.Option("--side", help="Pixels of the square pictures.")] = 512,
    subject_side: Annotated[int, typer.Option("--subject-side", help="Pixels of the cut-out subjects.")] = 256,
    captions: Annotated[int, typer.Option("--captions", help="Captions drawn for each photo; 0 keeps given ones.")] = 6,
    least_match: Annotated[float, typer.Option("--least-match", help="Captions below are refused; 0 to 1.")] = 0.5,
    per_shard: Annotated[int, typer.Option("--per-shard", help="Photos in each shard.")] = 500,
    seed: Annotated[int, typer.Option("--seed", help="Of the captions that are drawn.")] = 0,
    segmenter: Annotated[str, typer.Option("--segmenter", help="CLIPSeg: a folder or hub id.")] = _DEFAULT_TOOLS[
        "segmenter"
    ],
    captioner: Annotated[
        str,
        typer.Option(
            "--captioner",
            help="BLIP's captioner, BLIP-2 or InstructBLIP: a folder or hub id; or mini-describe for both.",
        ),
    ] = _DEFAULT_TOOLS["captioner"],
    matcher: Annotated[
        str, typer.Option("--matcher", help="BLIP's matcher, or BLIP-2 or InstructBLIP, which are asked.")
    ] = _DEFAULT_TOOLS["matcher"],
    device: Device = "auto",
    download: Download = False,
    ray: Ray = None,
    workers: Workers = None,
) -> None:
    """Cut the subjects out of photos, caption them, and pack both into shards; stopped, the same command goes on.

    blipdiff data prepare photos --category dog --output data/dogs --download
    """
