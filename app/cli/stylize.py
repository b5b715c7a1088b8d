"""`blipdiff stylize` and `blipdiff preprocess`: a subject's look in another picture's structure, and its map alone."""

import random
from pathlib import Path
from typing import Annotated, Any

import typer
from pipelines.requests import GenerateRequest, parameters
from pipelines.stylize_request import ControlSettings, StylizeRequest

from app.cli.controls import (
    Chosen,
    Controls,
    Fits,
    Guess,
    MapSettings,
    MapWeights,
    Resamples,
    Starts,
    Stops,
    Strengths,
    Structures,
    control_settings,
    folders_for,
    parse_map,
)
from app.cli.options import (
    RANDOM,
    AsJson,
    Device,
    Download,
    Dtype,
    MapSize,
    Model,
    StructureSize,
    Subjects,
    Weights,
    takes_parameters,
    was_given,
)
from app.cli.terminal import say
from blipdiff.errors import ConfigError

_DRAWING = parameters(GenerateRequest)


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("stylize")(stylize)
    app.command("preprocess")(preprocess)


@takes_parameters(StylizeRequest)
@takes_parameters(GenerateRequest, but=("width", "height"), absent={"seed": RANDOM})
def stylize(
    context: typer.Context,
    *,
    subject: Subjects = None,
    weight: Weights = None,
    structure: Structures = None,
    control: Controls = None,
    preprocessor: Chosen = None,
    map_settings: MapSettings = None,
    map_weights: MapWeights = None,
    strength: Strengths = None,
    start: Starts = None,
    stop: Stops = None,
    guess: Guess = False,
    structure_fit: Fits = None,
    structure_resample: Resamples = None,
    size: StructureSize = None,
    like: Annotated[Path | None, typer.Option("--like", help="Draw this picture again from its own metadata.")] = None,
    model: Model = "mini",
    device: Device = "auto",
    dtype: Dtype = "auto",
    download: Download = False,
    output: Annotated[Path, typer.Option("--output", help="The folder for the pictures.")] = Path("outputs"),
    no_metadata: Annotated[
        bool, typer.Option("--no-metadata", help="Leave out prompt, settings, subject and maps of the pictures' files.")
    ] = False,
    as_json: AsJson = False,
    **asked: Any,
) -> None:
    """Draw a subject's look in another picture's structure.

    blipdiff stylize --subject teapot.png --category teapot --structure sofa.png --target sofa
    """
    from pipelines.results import read_metadata

    from app.cli.drawing import opened
    from app.cli.files import check_writable
    from app.cli.generate import category_of, made_at, parse_size, references_of, save
    from blipdiff.images import open_picture
    from pipelines.stylize import Stylist

    if like is not None:
        found = read_metadata(like)
        check_writable(output)
        device, dtype = made_at(found, "device", device), made_at(found, "dtype", dtype)
        studio = opened(model, device=device, dtype=dtype, download=download, quiet=as_json)
        stylist = Stylist(studio, download=download, folders=folders_for(like, control))
        save(stylist.repeat(found), output, metadata=not no_metadata, as_json=as_json)
        return
    references = references_of(subject, asked["category"])
    pictures = [open_picture(path) for path in structure or ()]
    width, height = parse_size(size)
    drawing = {name: value for name, value in asked.items() if name in _DRAWING}
    drawing |= {"category": asked["category"] or category_of(references), "width": width, "height": height}
    if not was_given(context, "seed"):
        drawing["seed"] = random.SystemRandom().randrange(2**32)
    request = StylizeRequest(
        drawing=GenerateRequest(**drawing),
        controls=control_settings(
            len(pictures),
            control=control,
            preprocessor=preprocessor,
            map_settings=None if map_settings is None else [parse_map(text) for text in map_settings],
            map_weights=map_weights,
            strength=strength,
            start=start,
            stop=stop,
            guess=[guess],
            structure_fit=structure_fit,
            structure_resample=structure_resample,
        ),
        **{name: value for name, value in asked.items() if name not in _DRAWING},
    )
    check_writable(output)
    stylist = Stylist(opened(model, device=device, dtype=dtype, download=download, quiet=as_json), download=download)
    maps = stylist.maps(request, pictures)
    embedding = stylist.studio.subject(references, weights=weight, fit=request.drawing.fit)
    save(stylist.run(request, embedding, maps), output, metadata=not no_metadata, as_json=as_json)


def preprocess(
    structure: Annotated[Path | None, typer.Argument(help="The picture whose map is made.")] = None,
    output: Annotated[Path, typer.Option("--output", help="The map's file, .png.")] = Path("map.png"),
    preprocessor: Annotated[str, typer.Option("--preprocessor", help="How the picture becomes a map.")] = "canny",
    map_settings: Annotated[str, typer.Option("--map", help="Its settings: low=50,high=120.")] = "",
    map_weights: Annotated[
        str | None, typer.Option("--map-weights", help="A folder or hub id in place of a detector's own weights.")
    ] = None,
    structure_fit: Annotated[str, typer.Option("--structure-fit", help="With --size: crop, pad or squash.")] = "crop",
    size: MapSize = None,
    listed: Annotated[bool, typer.Option("--list", help="Show every preprocessor with its settings.")] = False,
    device: Annotated[str, typer.Option("--device", help="Where detectors run: cpu, cuda, mps.")] = "cpu",
    download: Download = False,
) -> None:
    """Make a picture's control map, without drawing anything.

    blipdiff preprocess sofa.png --preprocessor canny --map low=50,high=120 --output sofa-canny.png
    """
    from app.cli.generate import parse_size
    from blipdiff.control.preprocessors import Preprocessors
    from blipdiff.errors import OutputError
    from blipdiff.images import open_picture
    from blipdiff.outputs import written_file
    from pipelines.stylize import map_of

    if listed:
        for line in described():
            say(line)
        return
    if structure is None:
        raise ConfigError("Give the picture whose map shall be made, or --list.")
    if output.suffix.lower() != ".png":
        raise OutputError(f"Maps are written as .png; {output.name} has another ending.")
    settings = ControlSettings(
        preprocessor=preprocessor,
        map_settings=parse_map(map_settings),
        map_weights=map_weights,
        structure_fit=structure_fit,
    )
    picture = open_picture(structure)
    width, height = parse_size(size)
    frame = (width or picture.width, height or picture.height)
    drawn = map_of(Preprocessors(download=download, device=device), settings, picture, frame)
    with written_file(output) as part:
        drawn.save(part, format="PNG")
    say(output)


def described() -> list[str]:
    """A line for each preprocessor, and one for each of its settings."""
    from blipdiff.control.preprocessors import PREPROCESSORS

    lines = []
    for one in PREPROCESSORS.values():
        lines.append(f"{one.name}: {one.help}" + (f" Weights: {one.weights}." if one.weights else ""))
        lines += [
            f"  {name}={it.default:g}  from {it.low:g} to {it.high:g}. {it.help}" for name, it in one.settings.items()
        ]
    return lines
