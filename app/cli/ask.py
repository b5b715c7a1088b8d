"""`blipdiff ask`: a photo and questions -> answers, and a picture of where they were looked for."""

from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.options import AsJson, Device, Download, Dtype, options_of, run_by, takes
from app.cli.panels import MACHINE, OUTPUT
from pipelines.ask.request import AskRequest

_HUB = "a folder or hub id; the published one if absent."


def _part(flag: str, what: str) -> Any:
    return typer.Option(flag, help=f"{what}: {_HUB}", rich_help_panel=MACHINE)


Engine = Annotated[
    str, typer.Option("--engine", help="mini-describe, blip-vqa, plug-and-play, blip-2 or instructblip.")
]
Weights = Annotated[str | None, _part("--weights", "The engine's network")]
Matcher = Annotated[str | None, _part("--matcher", "Of plug-and-play, BLIP's matcher, or mini-describe")]
Captioner = Annotated[str | None, _part("--captioner", "Of plug-and-play, BLIP's captioner, or mini-describe")]
Reader = Annotated[str | None, _part("--reader", "Of plug-and-play, a T5 that reads captions")]


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("ask")(ask_photo)


@run_by("app.cli.runs.ask")
@takes(*options_of(AskRequest))
def ask_photo(
    photo: Annotated[Path, typer.Argument(help="The photo.")],
    questions: Annotated[
        list[str] | None,
        typer.Argument(help="Questions, each asked with the turns before it; read line by line if absent."),
    ] = None,
    engine: Engine = "mini-describe",
    heat_map: Annotated[
        Path | None,
        typer.Option("--heat-map", help="A PNG of where was looked for the last question.", rich_help_panel=OUTPUT),
    ] = None,
    weights: Weights = None,
    matcher: Matcher = None,
    captioner: Captioner = None,
    reader: Reader = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    download: Download = False,
    as_json: AsJson = False,
    **asked: Any,
) -> None:
    """Ask a photo: what is it, what colour, is it a cup, a cup or a bowl; other engines read any question.

    The bundled engine knows drawn things on plain ground; of photographs it is seldom sure, and says so.

    blipdiff ask my_cup.png "what is it?" "what colour is it?" --heat-map looked.png
    """
