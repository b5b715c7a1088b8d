"""Looks are drawn in structures, and a structure's map is made."""

from pathlib import Path
from typing import Any

from app.cli.options import take_additions
from app.cli.runs.asked import control_settings, parse_map, parse_size, request_values
from app.cli.runs.drawing import followed, opened
from app.cli.runs.files import read_bound
from app.cli.terminal import say
from app.outputs import check_writable
from blipdiff.conditioning.subject import SubjectPhoto
from blipdiff.control.choices import PREPROCESSORS
from blipdiff.control.preprocessors import Preprocessors
from blipdiff.errors import ConfigError, ImageError, OutputError
from blipdiff.images import open_layers
from blipdiff.outputs import written_file
from pipelines.controls.nets import map_of
from pipelines.controls.settings import ControlSettings
from pipelines.stylize import matrix as looks_and_structures
from pipelines.stylize.matrix import SHEET, Cell, Structure
from pipelines.stylize.request import StylizeRequest


def matrix(
    subjects: list[str] | None,
    structures: list[str] | None,
    model: str,
    device: str,
    dtype: str,
    engine: str,
    download: bool,
    output: Path,
    **asked: Any,
) -> None:
    """Runs the command."""
    additions = take_additions(asked)
    looks = [read_bound(text, "--subjects")[1] for text in subjects or ()]
    places = []
    for text in structures or ():
        word, picture = read_bound(text, "--structures")
        if not isinstance(picture, SubjectPhoto):
            raise ImageError(f"{text} is a subject card; a structure is a picture.")
        places.append(Structure(picture.image, word))
    if not looks or not places:
        raise ConfigError("A matrix takes at least one --subjects and one --structures.")
    notices: list[str] = []
    values = request_values(StylizeRequest, asked, notices)
    request = StylizeRequest(
        **values, category=looks[0].category, count=1, batch=1, controls=control_settings(asked, 1)
    )
    check_writable(output)
    studio = opened(model, device=device, dtype=dtype, engine=engine, download=download, additions=additions)
    drawn = looks_and_structures.matrix(studio, request, looks, places, output)
    for cell in followed(drawn, notices, quiet=False):
        if isinstance(cell, Cell):
            say(f"{cell.path}{' (was there)' if cell.was_there else ''}")
    say(output / SHEET)


def preprocess(
    structure: Path | None,
    output: Path,
    preprocessor: str,
    map_settings: str,
    map_weights: str | None,
    structure_fit: str,
    size: str | None,
    listed: bool,
    device: str,
    download: bool,
) -> None:
    """Runs the command."""
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
    picture = open_layers(structure)
    width, height = parse_size(size)
    frame = (width or picture.width, height or picture.height)
    drawn = map_of(Preprocessors(download=download, device=device), settings, picture, frame)
    with written_file(output) as part:
        drawn.save(part, format="PNG")
    say(output)


def described() -> list[str]:
    """A line for each preprocessor, and one for each of its settings."""
    lines = []
    for one in PREPROCESSORS.values():
        lines.append(f"{one.name}: {one.help}" + (f" Weights: {one.weights}." if one.weights else ""))
        lines += [
            f"  {name}={it.default:g}  from {it.low:g} to {it.high:g}. {it.help}" for name, it in one.settings.items()
        ]
    return lines
