"""`blipdiff blend`: pictures between subjects, as PNGs, a labelled grid, and a film."""

import random
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pipelines.blend_request import BlendRequest
from pipelines.requests import parameters

from app.cli.generate import parse_size
from app.cli.options import (
    RANDOM,
    AsJson,
    Device,
    Download,
    Dtype,
    Model,
    Size,
    check_alone,
    takes_parameters,
    was_given,
)
from app.cli.terminal import say, say_json, warn
from blipdiff.errors import ConfigError, MissingDependencyError

if TYPE_CHECKING:
    from pipelines.results import Picture

    from pipelines.blend import Blended, BlendEvent, Frame

_FILM = ("webp", "gif", "mp4", "none")
_FALLBACK = ".webp"


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("blend")(blend)


@takes_parameters(BlendRequest, but=("width", "height"), absent={"seed": RANDOM})
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
    like: Annotated[
        Path | None, typer.Option("--like", help="Draw this frame again from its own metadata; no film, no grid.")
    ] = None,
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
    from pipelines.blend_repeat import repeat_blend
    from pipelines.results import read_metadata

    from app.cli.drawing import followed, opened
    from app.cli.files import check_writable, read_bound
    from app.cli.generate import made_at
    from pipelines.blend import Blended
    from pipelines.blend import blend as blended
    from pipelines.sheets import check_film

    if like is not None:
        check_alone(context, ("subject", "weight", "size", "film", *parameters(BlendRequest)))
        found = read_metadata(like)
        check_writable(output)
        device, dtype = made_at(found, "device", device), made_at(found, "dtype", dtype)
        studio = opened(model, device=device, dtype=dtype, download=download, quiet=as_json)
        _repeated(repeat_blend(studio, found), output, as_json=as_json)
        return
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
    studio = opened(model, device=device, dtype=dtype, download=download, quiet=as_json)
    result: Blended | None = None
    for event in followed(blended(studio, request, references, weights=weight), notices, quiet=as_json):
        if isinstance(event, Blended):
            result = event
    if result is None:
        return
    paths = _saved(result, output, suffixes, per_second, loop)
    if as_json:
        told = [_told(path, frame) for path, frame in zip(paths["pictures"], result.frames, strict=True)]
        others = {name: [str(path) for path in found] for name, found in paths.items() if name != "pictures"}
        say_json({"pictures": told, **others, "distances": result.distances, "notices": notices})
        return
    for path in (path for found in paths.values() for path in found):
        say(path)


def _repeated(events: "Iterable[BlendEvent]", output: Path, *, as_json: bool) -> None:
    """Saves the one frame."""
    from app.cli.drawing import followed
    from pipelines.blend import Frame

    notices: list[str] = []
    for frame in followed(events, notices, quiet=as_json):
        if not isinstance(frame, Frame):
            continue
        path = _saved_frame(frame, output, f"{_stem(frame.picture)}-{frame.picture.index + 1}")
        if as_json:
            say_json({"pictures": [_told(path, frame)], "notices": notices})
        else:
            say(path)


def _told(path: Path, frame: "Frame") -> dict[str, Any]:
    return {"path": str(path), "shares": list(frame.shares), "position": frame.position}


def _stem(picture: "Picture") -> str:
    from blipdiff.filenames import short_name

    names = short_name("-".join(dict.fromkeys(str(word) for word in picture.request["categories"])))
    return f"{names}-{picture.seed}"


def _saved_frame(frame: "Frame", output: Path, name: str) -> Path:
    from pipelines.results import save_new_picture

    return save_new_picture(frame.picture, output, name)


def _film_suffixes(film: list[str] | None, request: BlendRequest, notices: list[str]) -> list[str]:
    """The endings of the films to write; an MP4 that nothing here can encode becomes a WebP, with a word about it."""
    from pipelines.sheets import mp4_encoder

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
            warn(notices[-1])
            suffixes.append(_FALLBACK)
    return list(dict.fromkeys(suffixes))


def _saved(result: "Blended", output: Path, suffixes: list[str], per_second: float, loop: str) -> dict[str, list[Path]]:
    """The files, by kind."""
    from blipdiff.outputs import write_new
    from pipelines.sheets import labelled_grid, save_animation

    stem = _stem(result.frames[0].picture)
    digits = len(str(len(result.frames)))
    pictures = []
    for number, frame in enumerate(result.frames, start=1):
        name = f"{stem}-{number:0{digits}}" if len(result.frames) > 1 else stem
        pictures.append(_saved_frame(frame, output, name))
    paths = {"pictures": pictures, "grid": [], "film": []}
    if len(result.frames) > 1:
        rows = [[(frame.picture.image, frame.label) for frame in row] for row in result.rows]
        grid = labelled_grid(rows, across=9 if len(rows) == 1 else None)
        paths["grid"] = [write_new(output, f"{stem}-grid", ".png", lambda part: grid.save(part, format="PNG"))]
    images = [frame.picture.image for frame in result.frames]
    for suffix in suffixes:
        film = partial(save_animation, images, per_second=per_second, loop=loop)
        paths["film"].append(write_new(output, stem, suffix, film))
    return paths
