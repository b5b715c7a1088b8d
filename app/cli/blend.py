"""`blipdiff blend`: pictures between subjects, as PNGs, a labelled grid, and a film."""

import json
import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.generate import parse_size
from app.cli.options import AsJson, Device, Download, Dtype, Model, Size, takes_parameters, was_given, with_guidance_of
from blipdiff.errors import ConfigError, MissingDependencyError
from pipelines.blend_request import BlendRequest

if TYPE_CHECKING:
    from pipelines.blend import Blended

_FILM = ("webp", "gif", "mp4", "none")
_FALLBACK = ".webp"


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("blend")(blend)


@takes_parameters(BlendRequest, but=("width", "height"))
def blend(
    context: typer.Context,
    *,
    subject: Annotated[
        list[str] | None,
        typer.Option("--subject", help="WORD=PHOTO or a subject card; two to four of them, each with its own option."),
    ] = None,
    weight: Annotated[
        list[float] | None, typer.Option("--weight", help="With --shape one: the weight of each --subject.")
    ] = None,
    size: Size = None,
    film: Annotated[
        list[str] | None, typer.Option("--film", help="A path's film: webp (as without it), gif, mp4 or none; again.")
    ] = None,
    per_second: Annotated[float, typer.Option("--per-second", help="Frames of the film a second.")] = 12.0,
    loop: Annotated[
        str, typer.Option("--loop", help="How the film goes on: 'there and back', 'round' or 'once'.")
    ] = "there and back",
    model: Model = "mini",
    device: Device = "auto",
    dtype: Dtype = "auto",
    download: Download = False,
    output: Annotated[Path, typer.Option("--output", help="The folder for the pictures.")] = Path("outputs"),
    as_json: AsJson = False,
    **asked: Any,
) -> None:
    """Draw what lies between subjects: one picture, a path, or a map.

    blipdiff blend --subject dog=my_dog.png --subject cat=my_cat.png --prompt "on a beach" --frames 25
    """
    from app.cli.drawing import followed
    from app.cli.files import check_writable, read_bound
    from pipelines.animation import check_film
    from pipelines.blend import Blended
    from pipelines.blend import blend as blended
    from pipelines.studio import Studio

    if not was_given(context, "seed"):
        asked["seed"] = random.SystemRandom().randrange(2**32)
    width, height = parse_size(size)
    request = BlendRequest(**asked, width=width, height=height)
    request.check_subjects(len(subject or []))
    notices: list[str] = []
    suffixes = _film_suffixes(film, request, notices)
    check_film(per_second, loop)
    references = [read_bound(text)[1] for text in subject or []]
    check_writable(output)
    studio = Studio.open(model, device=device, dtype=dtype, download=download)
    request = with_guidance_of(studio.model, context, request)
    result: Blended | None = None
    for event in followed(blended(studio, request, references, weights=weight), notices, quiet=as_json):
        if isinstance(event, Blended):
            result = event
    if result is None:
        return
    paths = _saved(result, output, suffixes, per_second, loop)
    if as_json:
        told = [
            {"path": str(path), "shares": list(frame.shares), "position": frame.position}
            for path, frame in zip(paths["pictures"], result.frames, strict=True)
        ]
        others = {name: [str(path) for path in found] for name, found in paths.items() if name != "pictures"}
        print(json.dumps({"pictures": told, **others, "distances": result.distances, "notices": notices}))
        return
    for path in (path for found in paths.values() for path in found):
        print(path)


def _film_suffixes(film: list[str] | None, request: BlendRequest, notices: list[str]) -> list[str]:
    """The endings of the films to write; an MP4 that nothing here can encode becomes a WebP, with a word about it."""
    from pipelines.animation import mp4_encoder

    if film and request.shape != "path":
        raise ConfigError("Only a path makes a film; leave out --film, or ask for --shape path.")
    wanted = list(dict.fromkeys(film or (["webp"] if request.shape == "path" else ["none"])))
    unknown = [kind for kind in wanted if kind not in _FILM]
    if unknown:
        raise ConfigError(f"The film is '{unknown[0]}'; choose one of: {', '.join(_FILM)}.")
    suffixes = []
    for kind in (kind for kind in wanted if kind != "none"):
        try:
            if kind == "mp4":
                mp4_encoder()
            suffixes.append(f".{kind}")
        except MissingDependencyError as missing:
            notices.append(f"{missing} The film is written as {_FALLBACK} instead.")
            print(notices[-1], file=sys.stderr)
            suffixes.append(_FALLBACK)
    return list(dict.fromkeys(suffixes))


def _saved(result: "Blended", output: Path, suffixes: list[str], per_second: float, loop: str) -> dict[str, list[Path]]:
    """The files, by kind."""
    from app.cli.files import LONGEST_NAME
    from blipdiff.outputs import written_file
    from pipelines.animation import save_animation
    from pipelines.grids import labelled_grid
    from pipelines.results import save_picture, unused_path

    first = result.frames[0].picture
    names = "-".join(dict.fromkeys(str(word) for word in first.request["categories"]))[:LONGEST_NAME]
    stem = f"{names}-{first.seed}"
    digits = len(str(len(result.frames)))
    pictures = []
    for number, frame in enumerate(result.frames, start=1):
        name = f"{stem}-{number:0{digits}}" if len(result.frames) > 1 else stem
        pictures.append(save_picture(frame.picture, unused_path(output, name)))
    paths = {"pictures": pictures, "grid": [], "film": []}
    if len(result.frames) > 1:
        rows = [[(frame.picture.image, frame.label) for frame in row] for row in result.rows]
        grid = unused_path(output, f"{stem}-grid")
        with written_file(grid) as part:
            labelled_grid(rows, across=9 if len(rows) == 1 else None).save(part, format="PNG")
        paths["grid"] = [grid]
    images = [frame.picture.image for frame in result.frames]
    for suffix in suffixes:
        path = unused_path(output, stem, suffix)
        paths["film"].append(save_animation(images, path, per_second=per_second, loop=loop))
    return paths
