"""`blipdiff describe`: a photo -> a caption, its likeliest categories, and how well a text fits."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from app.cli.options import AsJson, Device
from app.cli.terminal import say, say_json


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("describe")(describe_photo)


def describe_photo(
    photo: Annotated[Path, typer.Argument(help="The photo.")],
    text: Annotated[str | None, typer.Option("--text", help="A text to be matched with the photo.")] = None,
    count: Annotated[int, typer.Option("--count", help="How many categories are named; 1 to 100.")] = 5,
    fit: Annotated[str, typer.Option("--fit", help="How a photo becomes square: crop, pad or squash.")] = "pad",
    describer: Annotated[
        str, typer.Option("--describer", help="mini-describe, or a folder that 'blipdiff train describe' wrote.")
    ] = "mini-describe",
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Say what a drawing shows: a caption, ranked categories with their chances, and a match from 0 to 1.

    The bundled describer knows drawn things on plain ground; of photographs it is seldom sure.

    blipdiff describe my_dog.png --text "a brown dog"
    """
    from blipdiff.checkpoints.describer import load_describer
    from blipdiff.devices import placement
    from blipdiff.images import open_picture
    from pipelines.describe import KNOWS, DescribeRequest, describe

    request = DescribeRequest(text=text, count=count, fit=fit)
    picture = open_picture(photo)
    found = describe(load_describer(describer, device=placement(device).device), picture, request)
    if as_json:
        say_json(asdict(found) | {"categories": [list(one) for one in found.categories], "sure": found.is_sure})
        return
    say(found.caption)
    for name, chance in found.categories:
        say(f"{100 * chance:5.1f} %  {name}")
    if not found.is_sure:
        say(f"It is not sure of these: {KNOWS}")
    say(f"match of '{found.text}': {found.match:.2f}")
