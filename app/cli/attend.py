"""`blipdiff attend`: where in a picture the model looks at each word, and at the subject."""

import random
from pathlib import Path
from typing import Annotated, Any

import typer
from pipelines.requests import GenerateRequest

from app.cli.options import (
    RANDOM,
    AsJson,
    Device,
    Download,
    Dtype,
    Model,
    Size,
    Subjects,
    Weights,
    takes_parameters,
    was_given,
)
from app.cli.terminal import say, say_json


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("attend")(attend)


@takes_parameters(GenerateRequest, but=("width", "height", "batch"), absent={"seed": RANDOM, "count": "1"})
def attend(
    context: typer.Context,
    *,
    subject: Subjects = None,
    weight: Weights = None,
    size: Size = None,
    each: Annotated[bool, typer.Option("--each", help="One file for each word as well, beside the sheet.")] = False,
    model: Model = "mini",
    device: Device = "auto",
    dtype: Dtype = "auto",
    download: Download = False,
    output: Annotated[Path, typer.Option("--output", help="The folder for the pictures.")] = Path("outputs"),
    no_metadata: Annotated[
        bool, typer.Option("--no-metadata", help="Leave out prompt, settings and subject of the pictures' files.")
    ] = False,
    as_json: AsJson = False,
    **asked: Any,
) -> None:
    """Draw pictures and show where each word and the subject were seen in them.

    blipdiff attend --subject my_dog.png --category dog --prompt "on a beach"
    """

    from pipelines.attend import run_attend

    from app.cli.drawing import followed, opened
    from app.cli.files import check_writable
    from app.cli.generate import category_of, parse_size, references_of

    references = references_of(subject, asked["category"])
    asked["category"] = asked["category"] or category_of(references)
    for name, own in (("seed", random.SystemRandom().randrange(2**32)), ("count", 1)):
        if not was_given(context, name):
            asked[name] = own
    width, height = parse_size(size)
    request = GenerateRequest(**asked, width=width, height=height, batch=1)
    check_writable(output)
    studio = opened(model, device=device, dtype=dtype, download=download, quiet=as_json)
    embedding = studio.subject(references, weights=weight, fit=request.fit)
    written: list[dict[str, Any]] = []
    notices: list[str] = []
    for event in followed(run_attend(studio, request, embedding), notices, quiet=as_json):
        paths = saved(event, output, metadata=not no_metadata, each=each)
        written.append({"paths": [str(path) for path in paths], "seed": event.picture.seed})
        if not as_json:
            for path in paths:
                say(path)
    if as_json:
        say_json({"pictures": written, "notices": notices})


def saved(attended: Any, folder: Path, *, metadata: bool, each: bool) -> list[Path]:
    """The picture, the sheet of all maps, and each map where that is wanted."""
    from dataclasses import replace

    from pipelines.attention_maps import map_sheet, overlay
    from pipelines.results import save_new_picture

    from blipdiff.filenames import short_name

    picture, maps = attended.picture, attended.maps
    stem = f"{short_name(picture.request['category'])}-{picture.seed}"
    paths = [save_new_picture(picture, folder, stem, metadata=metadata)]
    shown = [("maps", map_sheet(picture.image, maps))]
    if each:
        shown += [(f"map-{number}-{one.word}", overlay(picture.image, one.heat)) for number, one in enumerate(maps, 1)]
    for name, image in shown:
        shown_as = replace(picture, image=image)
        paths.append(save_new_picture(shown_as, folder, f"{paths[0].stem}-{name}", metadata=metadata))
    return paths
