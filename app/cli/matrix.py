"""`blipdiff matrix` and `blipdiff evaluate-structure`: looks against structures, as a sheet and as figures."""

from pathlib import Path
from typing import Annotated, Any

import typer
from pipelines.requests import GenerateRequest, parameters
from pipelines.stylize_request import StylizeRequest

from app.cli.controls import Chosen, Controls, Guess, MapSettings, MapWeights, Starts, Stops, Strengths
from app.cli.options import Device, Download, Dtype, Model, StructureSize, takes_parameters
from app.cli.terminal import say
from pipelines.evaluate.requests import StructureRequest

_DRAWING = parameters(GenerateRequest)


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("matrix")(matrix)
    app.command("evaluate-structure")(evaluate_structure)


@takes_parameters(StylizeRequest)
@takes_parameters(GenerateRequest, but=("category", "target", "count", "batch", "width", "height"))
def matrix(
    *,
    subjects: Annotated[
        list[str] | None, typer.Option("--subjects", help="WORD=PHOTO or a subject card: a look; again for each row.")
    ] = None,
    structures: Annotated[
        list[str] | None,
        typer.Option("--structures", help="WORD=PICTURE: what is drawn, in whose structure; again for each column."),
    ] = None,
    control: Controls = None,
    preprocessor: Chosen = None,
    map_settings: MapSettings = None,
    map_weights: MapWeights = None,
    strength: Strengths = None,
    start: Starts = None,
    stop: Stops = None,
    guess: Guess = False,
    structure_fit: Annotated[str, typer.Option("--structure-fit", help="crop, pad or squash.")] = "crop",
    size: StructureSize = None,
    model: Model = "mini",
    device: Device = "auto",
    dtype: Dtype = "auto",
    download: Download = False,
    output: Annotated[Path, typer.Option("--output", help="The folder for the pictures and the sheet.")] = Path(
        "outputs/matrix"
    ),
    **asked: Any,
) -> None:
    """Draw every look in every structure, and one sheet of all; the same command goes on where it was stopped.

    blipdiff matrix --subjects teapot=teapot.png --subjects flower=flower.png --structures sofa=sofa.png
    """
    from app.cli.controls import control_settings, parse_map
    from app.cli.drawing import followed, opened
    from app.cli.files import check_writable, read_bound
    from app.cli.generate import parse_size
    from blipdiff.conditioning.subject import SubjectPhoto
    from blipdiff.errors import ConfigError, ImageError
    from pipelines.stylize import Stylist
    from pipelines.stylize.matrix import SHEET, Cell, Structure
    from pipelines.stylize.matrix import matrix as drawn

    looks = [read_bound(text)[1] for text in subjects or ()]
    places = []
    for text in structures or ():
        word, picture = read_bound(text)
        if not isinstance(picture, SubjectPhoto):
            raise ImageError(f"{text} is a subject card; a structure is a picture.")
        places.append(Structure(picture.image, word))
    if not looks or not places:
        raise ConfigError("A matrix takes at least one --subjects and one --structures.")
    width, height = parse_size(size)
    drawing = {name: value for name, value in asked.items() if name in _DRAWING}
    request = StylizeRequest(
        drawing=GenerateRequest(**drawing, category=looks[0].category, count=1, batch=1, width=width, height=height),
        controls=control_settings(
            1,
            control=control,
            preprocessor=preprocessor,
            map_settings=None if map_settings is None else [parse_map(text) for text in map_settings],
            map_weights=map_weights,
            strength=strength,
            start=start,
            stop=stop,
            guess=[guess],
            structure_fit=[structure_fit],
        ),
        **{name: value for name, value in asked.items() if name not in _DRAWING},
    )
    check_writable(output)
    stylist = Stylist(opened(model, device=device, dtype=dtype, download=download), download=download)
    for cell in followed(drawn(stylist, request, looks, places, output), [], quiet=False):
        if isinstance(cell, Cell):
            say(f"{cell.path}{' (was there)' if cell.was_there else ''}")
    say(output / SHEET)


@takes_parameters(StructureRequest)
def evaluate_structure(
    *,
    data: Annotated[Path, typer.Option("--data", help="A prepared library of subjects and scenes.")],
    way: Annotated[
        list[str] | None, typer.Option("--way", help="Only this way of drawing, by its name; again for several.")
    ] = None,
    sheet: Annotated[Path | None, typer.Option("--sheet", help="Also a .png with the first pictures.")] = None,
    model: Model = "mini",
    device: Device = "auto",
    dtype: Dtype = "auto",
    **asked: Any,
) -> None:
    """Measure how far pictures follow edges, and whose colours they have, on pairs of unseen subjects."""
    from PIL import Image

    from app.cli.drawing import opened
    from blipdiff.data.pairs import PairLibrary
    from blipdiff.errors import ConfigError
    from blipdiff.evaluation.structure import draw_structure_trials
    from blipdiff.outputs import written_file
    from pipelines.evaluate.structure import WAYS, report
    from pipelines.evaluate.structure import evaluate_structure as measured
    from pipelines.sheets import labelled_grid
    from pipelines.stylize import Stylist

    request = StructureRequest(**asked)
    known = {one.name: one for one in WAYS}
    unknown = sorted(set(way or ()) - set(known))
    if unknown:
        raise ConfigError(f"There is no way '{unknown[0]}'; choose from: {'; '.join(known)}.")
    library = PairLibrary(data, spread=0.1)
    stylist = Stylist(opened(model, device=device, dtype=dtype))
    results = []
    for result in measured(stylist, library, request, [known[name] for name in way] if way else WAYS):
        results.append(result)
        say(report([result]).splitlines()[-1])
    say(report(results), lines=True)
    if sheet is not None:
        trials = draw_structure_trials(library, request.split, count=request.pairs, seed=request.seed)  # type: ignore[arg-type]
        rows = [
            [(Image.fromarray(trial.look), f"look: {trial.category}"),
             (Image.fromarray(trial.structure.target), f"structure: {trial.structure.category}"),
             *((result.pictures[place], result.way.name) for result in results)]
            for place, trial in enumerate(trials[:8])
        ]  # fmt: skip
        with written_file(sheet) as part:
            labelled_grid(rows).save(part, format="PNG")
