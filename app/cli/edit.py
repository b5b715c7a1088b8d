"""`blipdiff edit`: another subject in a picture or a photo, the rest kept."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pipelines.edit_request import EditRequest
from pipelines.requests import parameters

from app.cli.controls import TOLD_OPTIONS, asked_controls, folders_for, takes_controls
from app.cli.options import (
    RANDOM,
    AsJson,
    Device,
    Download,
    Dtype,
    EditSize,
    Model,
    Subjects,
    Weights,
    check_alone,
    takes_parameters,
    was_given,
)
from app.cli.terminal import say, say_json
from blipdiff.errors import ConfigError

if TYPE_CHECKING:
    from PIL.Image import Image
    from pipelines.edit_run import Edited, EditEvent, SourcePhoto
    from pipelines.stylize_request import ControlSettings

    from pipelines.stylize import Stylist

_FLAGS = {"source": "--from", "target": "--to"}


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("edit")(edit)


@takes_parameters(EditRequest, _FLAGS, but=("width", "height"), absent={"seed": f"0 for a photo, else {RANDOM}"})
@takes_controls
def edit(
    context: typer.Context,
    *,
    photo: Annotated[
        list[Path] | None, typer.Option("--source", help="A photo to edit; again for several, one after the other.")
    ] = None,
    from_prompt: Annotated[
        bool, typer.Option("--from-prompt", help="Edit the picture that the prompt and the seed make.")
    ] = False,
    subject: Subjects = None,
    weight: Weights = None,
    mask: Annotated[
        Path | None,
        typer.Option("--mask", help="A picture of the source's size, white where the edit may happen."),
    ] = None,
    size: EditSize = None,
    like: Annotated[
        Path | None, typer.Option("--like", help="Run this picture's edit again; a photo is given with --source.")
    ] = None,
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
    """Swap the subject of a picture and keep the picture.

    blipdiff edit --source sofa.jpg --from cat --to dog --subject my_dog.png --prompt "sits on a sofa"

    Beside each edited picture stand what was before, the mask, and where each word was seen. With --control a photo's
    own structure is followed, unless --structure names others.
    """
    from pipelines.controlled import followed_structures, restored_structures
    from pipelines.edit_run import SourcePhoto, repeat_edit, run_edit
    from pipelines.results import read_metadata

    from app.cli.drawing import opened
    from app.cli.files import check_writable
    from app.cli.generate import made_at, parse_size
    from blipdiff.images import open_picture
    from blipdiff.picture_files import read_picture
    from pipelines.generate import picture_size
    from pipelines.stylize import Stylist

    photos = [SourcePhoto(open_picture(path), path.stem) for path in photo or ()]
    painted = None if mask is None else read_picture(mask)
    if like is not None:
        told = ("from_prompt", "subject", "weight", "size", *TOLD_OPTIONS, *parameters(EditRequest))
        check_alone(context, told, _FLAGS)
        found = read_metadata(like)
        check_writable(output)
        device, dtype = made_at(found, "device", device), made_at(found, "dtype", dtype)
        studio = opened(model, device=device, dtype=dtype, quiet=as_json)
        stylist = Stylist(studio, download=download, folders=folders_for(like, asked["control"]))
        followed = restored_structures(stylist, found["request"])
        events = repeat_edit(studio, found, photos, mask=painted, followed=followed)
        save(events, output, metadata=not no_metadata, as_json=as_json)
        return
    _check_source(photos, from_prompt)
    if not was_given(context, "seed"):
        asked["seed"] = 0 if photos else random.SystemRandom().randrange(2**32)
    structures = [open_picture(path) for path in asked["structure"] or ()]
    controls = asked_controls(asked, structures=1 if photos else 0)
    references, category = _references(subject, asked)
    width, height = parse_size(size)
    request = EditRequest(**asked, category=category, width=width, height=height)
    check_writable(output)
    studio = opened(model, device=device, dtype=dtype, download=download, quiet=as_json)
    embedding = studio.subject(references, weights=weight, fit=request.fit) if references else None
    stylist = Stylist(studio, download=download)
    photos = [_led(stylist, request, photo, controls, structures) for photo in photos]
    followed = followed_structures(stylist, () if photos else controls, structures, picture_size(studio.model, request))
    events = run_edit(studio, request, embedding, photos, mask=painted, followed=followed)
    save(events, output, metadata=not no_metadata, as_json=as_json)


def _led(
    stylist: "Stylist",
    request: EditRequest,
    photo: "SourcePhoto",
    controls: "tuple[ControlSettings, ...]",
    structures: "list[Image]",
) -> "SourcePhoto":
    """The photo with the structures that its edit follows at its own size: its own, where none is named."""
    from dataclasses import replace

    from pipelines.controlled import followed_structures
    from pipelines.invert import work_size

    if not controls:
        return photo
    size = work_size(stylist.studio.model, request, photo.image.size)
    return replace(photo, followed=followed_structures(stylist, controls, structures or [photo.image], size))


def save(events: "Iterator[EditEvent]", output: Path, *, metadata: bool, as_json: bool) -> None:
    """Shows the progress, saves each edit as it is done, and tells where."""

    from app.cli.drawing import followed

    written: list[dict[str, Any]] = []
    notices: list[str] = []
    for event in followed(events, notices, quiet=as_json):
        paths = saved(event, output, metadata=metadata)
        written.append(
            {name: str(path) for name, path in paths.items()} | {"seed": event.after.seed, "source": event.name}
        )
        if not as_json:
            for path in paths.values():
                say(path)
    if as_json:
        say_json({"edits": written, "notices": notices})


def saved(edited: "Edited", folder: Path, *, metadata: bool = True) -> dict[str, Path]:
    """Writes the edited picture, "path", and "before", "mask" and "maps" beside it under its name.

    Raises: OutputError when a file cannot be written.
    """
    from dataclasses import replace

    from pipelines.attention_maps import map_sheet
    from pipelines.edit_run import parts_of
    from pipelines.results import save_new_picture

    from blipdiff.filenames import short_name

    request = edited.after.request
    swapped = short_name(f"{request['source']}-to-{request['target'] or request['source']}")
    ending = edited.after.seed if edited.name is None else short_name(edited.name)
    path = save_new_picture(edited.after, folder, f"{swapped}-{ending}", metadata=metadata)
    paths = {"path": path}
    parts = parts_of(edited)
    pictures = edited.pictures
    sheet = map_sheet(pictures.after, pictures.target_maps)
    parts["maps"] = replace(edited.after, image=sheet, request={**request, "part": "maps"})
    for name, part in parts.items():
        paths[name] = save_new_picture(part, folder, f"{path.stem}-{name}", metadata=metadata)
    return paths


def _check_source(photos: "list[SourcePhoto]", from_prompt: bool) -> None:
    if photos and from_prompt:
        raise ConfigError("--source and --from-prompt were both given; an edit has one kind of source.")
    if not photos and not from_prompt:
        raise ConfigError(
            "Say what to edit: --source with a photo, or --from-prompt for the picture that the prompt and seed make."
        )


def _references(paths: list[Path] | None, asked: dict[str, Any]) -> tuple[list[Any], str | None]:
    """The subject's photos and cards; a card tells its category where no option does."""
    from app.cli.files import read_reference

    category = asked.pop("category")
    named = category or asked["target"] or asked["source"]
    references = [read_reference(path, named) for path in paths or ()]
    if category is None and references:
        category = next((one.category for one in references if one.category), None)
    return references, category
