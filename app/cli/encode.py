"""`blipdiff encode`: photos of a subject -> its subject card."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.options import AsJson, Device, Download, Dtype, Model, default, option
from app.cli.terminal import say, say_json
from blipdiff.errors import OutputError


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("encode")(encode)


def encode(
    photos: Annotated[list[Path], typer.Argument(help="Photos of one subject.")],
    category: Annotated[str, option("category")] = default("category"),
    weight: Annotated[
        list[float] | None,
        typer.Option("--weight", help="The weight of each photo, in their order; 1 each if absent."),
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", help="The card; CATEGORY.safetensors if absent.")] = None,
    fit: Annotated[str, option("fit")] = default("fit"),
    model: Model = "mini",
    device: Device = "auto",
    dtype: Dtype = "auto",
    download: Download = False,
    as_json: AsJson = False,
) -> None:
    """Make a subject card: one small file that stands for the photos wherever a subject is asked for.

    blipdiff encode my_dog.png --category dog --output dog.safetensors
    """
    from app.cli.drawing import opened
    from app.cli.files import CARD_SUFFIX, check_writable, read_reference
    from blipdiff.filenames import short_name
    from blipdiff.outputs import write_new

    references = [read_reference(path, category) for path in photos]
    if output is not None and output.suffix.lower() != CARD_SUFFIX:
        raise OutputError(f"A subject card is known by its ending {CARD_SUFFIX}; {output.name} has another one.")
    check_writable(Path() if output is None else output.absolute().parent)
    studio = opened(model, device=device, dtype=dtype, download=download, quiet=as_json)
    subject = studio.subject(references, weights=weight, fit=fit)
    name = short_name(category or references[0].category)
    card = write_new(Path(), name, CARD_SUFFIX, subject.save) if output is None else subject.save(output)
    if as_json:
        say_json({"card": str(card), "category": subject.category, "model": subject.fingerprint})
    else:
        say(card)
