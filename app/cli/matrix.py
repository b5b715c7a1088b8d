"""`blipdiff matrix`: every look in every structure; `blipdiff preprocess`: a structure's map alone."""

from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.controls import control_options
from app.cli.options import SIZE, Device, Download, Dtype, Engine, Model, addition_options, options_of, run_by, takes
from app.cli.panels import OUTPUT
from pipelines.parameters import STRUCTURES, SUBJECT
from pipelines.stylize.request import StylizeRequest

_RUNS = "app.cli.runs.matrix"


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("matrix")(matrix)
    app.command("preprocess")(preprocess)


@run_by(_RUNS)
@takes(
    *control_options(prefixed=False),
    *options_of(StylizeRequest, but=("category", "target", "count", "batch")),
    *addition_options(),
)
def matrix(
    *,
    subjects: Annotated[
        list[str] | None,
        typer.Option(
            "--subjects", help="WORD=PHOTO or a subject card: a look; again for each row.", rich_help_panel=SUBJECT
        ),
    ] = None,
    structures: Annotated[
        list[str] | None,
        typer.Option(
            "--structures",
            help="WORD=PICTURE: what is drawn, in whose structure; again for each column.",
            rich_help_panel=STRUCTURES,
        ),
    ] = None,
    model: Model = "mini",
    device: Device = "auto",
    dtype: Dtype = "auto",
    engine: Engine = "auto",
    download: Download = False,
    output: Annotated[
        Path, typer.Option("--output", help="The folder for the pictures and the sheet.", rich_help_panel=OUTPUT)
    ] = Path("outputs/matrix"),
    **asked: Any,
) -> None:
    """Draw every look in every structure, and one sheet of all; the same command goes on where it was stopped.

    blipdiff matrix --subjects teapot=teapot.png --subjects flower=flower.png --structures sofa=sofa.png
    """


@run_by(_RUNS)
def preprocess(
    structure: Annotated[Path | None, typer.Argument(help="The picture whose map is made.")] = None,
    output: Annotated[Path, typer.Option("--output", help="The map's file, .png.", rich_help_panel=OUTPUT)] = Path(
        "map.png"
    ),
    preprocessor: Annotated[str, typer.Option("--preprocessor", help="How the picture becomes a map.")] = "canny",
    map_settings: Annotated[str, typer.Option("--map", help="Its settings: low=50,high=120.")] = "",
    map_weights: Annotated[
        str | None, typer.Option("--map-weights", help="A folder or hub id in place of a detector's own weights.")
    ] = None,
    structure_fit: Annotated[str, typer.Option("--structure-fit", help="With --size: crop, pad or squash.")] = "crop",
    size: Annotated[str | None, typer.Option("--size", help=f"{SIZE} The picture's own if absent.")] = None,
    listed: Annotated[bool, typer.Option("--list", help="Show every preprocessor with its settings.")] = False,
    device: Annotated[str, typer.Option("--device", help="Where detectors run: cpu, cuda, mps.")] = "cpu",
    download: Download = False,
) -> None:
    """Make a picture's control map, without drawing anything.

    blipdiff preprocess sofa.png --preprocessor canny --map low=50,high=120 --output sofa-canny.png
    """
