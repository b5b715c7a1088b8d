"""`blipdiff scene`: several subjects in one picture, each bound to a word of the prompt and to its region."""

import random
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pipelines.requests import parameters
from pipelines.scene_request import SceneRequest

from app.cli.controls import TOLD_OPTIONS, asked_controls, folders_for, takes_controls
from app.cli.generate import parse_size
from app.cli.options import (
    RANDOM,
    AsJson,
    Device,
    Download,
    Dtype,
    Model,
    SceneSize,
    check_alone,
    takes_parameters,
    was_given,
)
from app.cli.terminal import say, say_json
from blipdiff.errors import ConfigError

if TYPE_CHECKING:
    from pipelines.scene import Placed, SceneEvent


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("scene")(scene)


@takes_parameters(SceneRequest, but=("width", "height"), absent={"seed": RANDOM})
@takes_controls
def scene(
    context: typer.Context,
    *,
    subject: Annotated[
        list[str] | None, typer.Option("--subject", help="WORD=PHOTO or WORD=CARD for each word in braces.")
    ] = None,
    box: Annotated[
        list[str] | None,
        typer.Option("--box", help="WORD=left,top,right,bottom in fractions of the picture; see --arrange."),
    ] = None,
    mask: Annotated[
        list[str] | None, typer.Option("--mask", help="WORD=PICTURE, white where the subject shall be.")
    ] = None,
    size: SceneSize = None,
    like: Annotated[Path | None, typer.Option("--like", help="Draw this scene again from its own metadata.")] = None,
    model: Model = "mini",
    device: Device = "auto",
    dtype: Dtype = "auto",
    download: Download = False,
    output: Annotated[Path, typer.Option("--output", help="The folder for the pictures.")] = Path("outputs"),
    as_json: AsJson = False,
    **asked: Any,
) -> None:
    """Draw several subjects in one picture, each in its region.

    blipdiff scene --prompt "a {dog} and a {cat} on a sofa" --subject dog=dog.png --subject cat=cat.png
    --box dog=0,0,0.5,1 --box cat=0.5,0,1,1

    With --structure the whole scene follows a picture's edges, depth or other map.
    """
    from pipelines.controlled import followed_structures, restored_structures
    from pipelines.results import read_metadata
    from pipelines.scene_repeat import repeat_scene

    from app.cli.drawing import opened
    from app.cli.files import check_writable
    from app.cli.generate import made_at
    from blipdiff.images import open_picture
    from pipelines.generate import picture_size
    from pipelines.scene import arranged, bound_in_order, draw_scene
    from pipelines.stylize import Stylist

    if like is not None:
        check_alone(context, ("subject", "box", "mask", "size", *TOLD_OPTIONS, *parameters(SceneRequest)))
        found = read_metadata(like)
        check_writable(output)
        device, dtype = made_at(found, "device", device), made_at(found, "dtype", dtype)
        studio = opened(model, device=device, dtype=dtype, download=download, quiet=as_json)
        stylist = Stylist(studio, download=download, folders=folders_for(like, asked["control"]))
        ready = restored_structures(stylist, found["request"])
        _save(repeat_scene(studio, found, controls=ready.branches), output, as_json=as_json)
        return
    if not was_given(context, "seed"):
        asked["seed"] = random.SystemRandom().randrange(2**32)
    structures = [open_picture(path) for path in asked["structure"] or ()]
    controls = asked_controls(asked, structures=0)
    width, height = parse_size(size)
    request = SceneRequest(**asked, width=width, height=height)
    placed = _placed(subject or [], box or [], mask or [])
    bound_in_order(request, placed)
    check_writable(output)
    studio = opened(model, device=device, dtype=dtype, download=download, quiet=as_json)
    request, placed = arranged(studio.model, request, placed)
    ready = followed_structures(
        Stylist(studio, download=download), controls, structures, picture_size(studio.model, request)
    )
    _save(draw_scene(studio, request, placed, controls=ready.branches, told=ready.told), output, as_json=as_json)


def _save(events: "Iterable[SceneEvent]", output: Path, *, as_json: bool) -> None:
    """Shows the progress, saves each picture as it is done, and tells where."""
    from pipelines.results import Picture, save_new_picture

    from app.cli.drawing import followed
    from blipdiff.filenames import short_name

    notices: list[str] = []
    written: list[dict[str, Any]] = []
    for event in followed(events, notices, quiet=as_json):
        if isinstance(event, Picture):
            words = "-".join(str(word) for word in event.request["subjects"])
            path = save_new_picture(event, output, f"{short_name(words)}-{event.seed}")
            written.append({"path": str(path), "seed": event.seed})
            if not as_json:
                say(path)
    if as_json:
        say_json({"pictures": written, "notices": notices})


def _placed(subjects: list[str], boxes: list[str], masks: list[str]) -> "list[Placed]":
    from app.cli.files import read_bound
    from blipdiff.picture_files import read_picture
    from pipelines.scene import Placed, Region

    regions: dict[str, Region] = {}
    for kind, texts in (("box", boxes), ("mask", masks)):
        for text in texts:
            word, sign, value = text.partition("=")
            key = word.strip().lower()
            if not sign or not key:
                raise ConfigError(f"--{kind} {text}: write it as WORD={'PICTURE' if kind == 'mask' else 'l,t,r,b'}.")
            if key in regions:
                raise ConfigError(f"{word.strip()!r} has two regions; give it one box or one mask.")
            regions[key] = read_picture(Path(value)) if kind == "mask" else _box(value)
    found = []
    for text in subjects:
        word, reference = read_bound(text)
        found.append(Placed(word, reference, regions.pop(word.lower(), None)))
    if regions:
        raise ConfigError(f"There is a region for {next(iter(regions))!r}, but no subject is bound to that word.")
    return found


def _box(text: str) -> tuple[float, float, float, float]:
    try:
        left, top, right, bottom = (float(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"The box is '{text}'; write it as left,top,right,bottom: 0,0.2,0.5,1.") from error
    return left, top, right, bottom
