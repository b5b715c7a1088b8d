"""`blipdiff generate`: pictures of a subject in a new scene, or a picture drawn again from its own metadata."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pipelines.requests import GenerateRequest, parameters

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
    check_alone,
    default,
    option,
)
from app.cli.terminal import say, say_json
from blipdiff.errors import ConfigError, PromptError

if TYPE_CHECKING:
    from pipelines.studio import Event

Text, Whole, Number = Annotated[str, "text"], Annotated[int, "whole"], Annotated[float, "number"]


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("generate")(generate)


def generate(
    context: typer.Context,
    subject: Subjects = None,
    weight: Weights = None,
    category: Annotated[str, option("category")] = default("category"),
    prompt: Annotated[str, option("prompt")] = default("prompt"),
    target: Annotated[str | None, option("target")] = default("target"),
    negative: Annotated[str, option("negative")] = default("negative"),
    count: Annotated[int, option("count")] = default("count"),
    seed: Annotated[int | None, option("seed", RANDOM)] = None,
    steps: Annotated[int, option("steps")] = default("steps"),
    guidance: Annotated[float | None, option("guidance")] = default("guidance"),
    guidance_start: Annotated[float, option("guidance_start")] = default("guidance_start"),
    guidance_stop: Annotated[float, option("guidance_stop")] = default("guidance_stop"),
    scheduler: Annotated[str, option("scheduler")] = default("scheduler"),
    size: Size = None,
    fit: Annotated[str, option("fit")] = default("fit"),
    repeats: Annotated[int, option("repeats")] = default("repeats"),
    batch: Annotated[int, option("batch")] = default("batch"),
    like: Annotated[Path | None, typer.Option("--like", help="Draw this picture again from its own metadata.")] = None,
    model: Model = "mini",
    device: Device = "auto",
    dtype: Dtype = "auto",
    download: Download = False,
    output: Annotated[Path, typer.Option("--output", help="The folder for the pictures.")] = Path("outputs"),
    no_metadata: Annotated[
        bool,
        typer.Option(
            "--no-metadata",
            help="Leave out prompt, settings and subject; the mark that the picture was generated stays.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Draw a subject in a new scene.

    blipdiff generate --subject my_dog.png --category dog --prompt "on a beach"
    """
    from app.cli.drawing import opened
    from app.cli.files import check_writable

    if like is not None:
        from pipelines.results import read_metadata

        check_alone(context, ("subject", "weight", "size", *parameters(GenerateRequest)))
        found = read_metadata(like)
        check_writable(output)
        place = {"device": made_at(found, "device", device), "dtype": made_at(found, "dtype", dtype)}
        studio = opened(model, **place, download=download, quiet=as_json)
        save(studio.repeat(found), output, metadata=not no_metadata, as_json=as_json)
        return
    references = references_of(subject, category)
    width, height = parse_size(size)
    request = GenerateRequest(
        category=category or category_of(references),
        prompt=prompt,
        target=target,
        negative=negative,
        count=count,
        seed=random.SystemRandom().randrange(2**32) if seed is None else seed,
        steps=steps,
        guidance=guidance,
        guidance_start=guidance_start,
        guidance_stop=guidance_stop,
        scheduler=scheduler,
        width=width,
        height=height,
        fit=fit,
        repeats=repeats,
        batch=batch,
    )
    check_writable(output)
    studio = opened(model, device=device, dtype=dtype, download=download, quiet=as_json)
    embedding = studio.subject(references, weights=weight, fit=fit)
    save(studio.run(request, embedding), output, metadata=not no_metadata, as_json=as_json)


def parse_size(size: str | None) -> tuple[int | None, int | None]:
    """(width, height) of "512x768", or of "512" for a square.

    Raises: ConfigError for any other text.
    """
    if size is None:
        return None, None
    sides = size.lower().split("x")
    if len(sides) not in (1, 2) or not all(side.isdecimal() and len(side) < 10 for side in sides):
        raise ConfigError(f"The size is '{size}'; write it as WIDTHxHEIGHT, for example 512x768.")
    return int(sides[0]), int(sides[-1])


def references_of(paths: list[Path] | None, category: str) -> list[Any]:
    """The photos and cards of a subject.

    Raises: ConfigError for none, and what `read_reference` raises.
    """
    from app.cli.files import read_reference

    if not paths:
        raise ConfigError("No subject was given; add --subject with a photo or a subject card.")
    return [read_reference(path, category) for path in paths]


def category_of(references: list[Any]) -> str:
    """What the first of them that tells is.

    Raises: PromptError when none does.
    """
    found = next((one.category for one in references if one.category), "")
    if not found:
        raise PromptError("Say what the photo shows with --category: dog, teapot, jacket.")
    return str(found)


def made_at(found: dict[str, Any], name: str, asked: str) -> str:
    """Where the picture was made, so that it comes out bit for bit, unless the caller asks for another place."""
    place = found.get("place")
    made = place.get(name) if isinstance(place, dict) else None
    return str(made) if asked == "auto" and isinstance(made, str) else asked


def save(events: "Iterator[Event]", output: Path, *, metadata: bool, as_json: bool) -> None:
    """Shows the progress, saves each picture as it is done, and tells where."""

    from pipelines.results import save_new_picture

    from app.cli.drawing import followed
    from blipdiff.filenames import short_name

    written: list[dict[str, Any]] = []
    notices: list[str] = []
    for event in followed(events, notices, quiet=as_json):
        subject = short_name(event.request["category"])
        path = save_new_picture(event, output, f"{subject}-{event.seed}", metadata=metadata)
        written.append({"path": str(path), "seed": event.seed})
        if not as_json:
            say(path)
    if as_json:
        say_json({"pictures": written, "notices": notices})
