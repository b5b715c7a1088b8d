"""`blipdiff scene`: several subjects in one picture, each bound to a word of the prompt and to its region."""

import json
import random
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.controls import asked_controls, takes_controls
from app.cli.generate import parse_size
from app.cli.options import AsJson, Device, Download, Dtype, Model, Size, takes_parameters, was_given, with_guidance_of
from blipdiff.errors import ConfigError
from pipelines.scene_request import SceneRequest

if TYPE_CHECKING:
    from pipelines.scene import Placed


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("scene")(scene)


@takes_parameters(SceneRequest, but=("width", "height"))
@takes_controls
def scene(
    context: typer.Context,
    *,
    subject: Annotated[
        list[str] | None, typer.Option("--subject", help="WORD=PHOTO or WORD=CARD for each word in braces.")
    ] = None,
    box: Annotated[
        list[str] | None,
        typer.Option("--box", help="WORD=left,top,right,bottom in fractions of the picture; found if absent."),
    ] = None,
    mask: Annotated[
        list[str] | None, typer.Option("--mask", help="WORD=PICTURE, white where the subject shall be.")
    ] = None,
    size: Size = None,
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
    from app.cli.drawing import followed
    from app.cli.files import LONGEST_NAME, check_writable
    from blipdiff.images import open_picture
    from pipelines.controlled import followed_structures
    from pipelines.generate import picture_size
    from pipelines.results import Picture, save_picture, unused_path
    from pipelines.scene import bound_in_order, draw_scene
    from pipelines.studio import Studio
    from pipelines.stylize import Stylist

    if not was_given(context, "seed"):
        asked["seed"] = random.SystemRandom().randrange(2**32)
    structures = [open_picture(path) for path in asked["structure"] or ()]
    controls = asked_controls(asked, structures=0)
    width, height = parse_size(size)
    request = SceneRequest(**asked, width=width, height=height)
    placed = _placed(subject or [], box or [], mask or [])
    bound_in_order(request, placed)
    check_writable(output)
    studio = Studio.open(model, device=device, dtype=dtype, download=download)
    request = with_guidance_of(studio.model, context, request)
    ready = followed_structures(
        Stylist(studio, download=download), controls, structures, picture_size(studio.model, request)
    )
    drawn = draw_scene(studio, request, placed, controls=ready.branches, told=ready.told)
    notices: list[str] = []
    written: list[dict[str, Any]] = []
    for event in followed(drawn, notices, quiet=as_json):
        if isinstance(event, Picture):
            stem = f"{'-'.join(request.parsed.words)[:LONGEST_NAME]}-{event.seed}"
            path = save_picture(event, unused_path(output, stem))
            written.append({"path": str(path), "seed": event.seed})
            if not as_json:
                print(path)
    if as_json:
        print(json.dumps({"pictures": written, "notices": notices}))


def _placed(subjects: list[str], boxes: list[str], masks: list[str]) -> "list[Placed]":
    from app.cli.files import read_bound
    from blipdiff.images import open_picture
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
            regions[key] = open_picture(Path(value)) if kind == "mask" else _box(value)
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
