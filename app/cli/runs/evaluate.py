"""Evaluations are run, and their figures said."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import typer
from PIL import Image

from app.cli.progress import told
from app.cli.runs.asked import request_values
from app.cli.runs.cluster import absolute, handing
from app.cli.runs.drawing import opened, staged
from app.cli.terminal import say, warn
from app.outputs import check_writable
from blipdiff.checkpoints.describer import load_describer
from blipdiff.data.pairs import PairLibrary
from blipdiff.devices import placement
from blipdiff.errors import ConfigError
from blipdiff.evaluation.structure import draw_structure_trials
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.outputs import written_file
from blipdiff.ranges import TORCH
from pipelines.describe import measure_categories
from pipelines.evaluate import blending, edits, inversion, structure, subjects
from pipelines.evaluate.requests import (
    BlendingRequest,
    EditEvaluationRequest,
    EvaluateRequest,
    InversionEvaluationRequest,
    StructureRequest,
)
from pipelines.sheets import labelled_grid
from pipelines.studio import Studio

_Request = TypeVar("_Request")
_SPREAD = 0.1  # how far subjects stray from the pictures' middle, as mini has learnt it


def evaluate_model(
    context: typer.Context,
    data: Path | None,
    output: Path,
    describer: str | None,
    model: str,
    device: str,
    dtype: str,
    ray: str | None,
    workers: str | None,
    **asked: Any,
) -> None:
    """Runs `blipdiff evaluate`, where no benchmark is named."""
    if context.invoked_subcommand is not None:
        return
    if data is None:
        raise ConfigError(
            "Give a prepared library with --data, or name a benchmark: blipdiff evaluate dreambench FOLDER."
        )
    if describer is not None:
        _evaluate_describer(describer, data, asked["subjects"] or 200, asked["seed"], device)
        return
    request = _request(EvaluateRequest, asked)
    check_writable(output)
    library = PairLibrary(data)
    studio, make = (
        opened(model, device=device, dtype=dtype),
        partial(Studio.open, absolute(model), device=device, dtype=dtype, engine=TORCH),
    )
    with handing(ray, workers, make, device=device) as hand_out:
        for _report in staged(subjects.evaluate(studio, library, output.absolute(), request, hand_out=hand_out)):
            pass  # it is written
    say(output / "report.html")


def evaluate_edits(data: Path, output: Path, spread: float, model: str, device: str, dtype: str, **asked: Any) -> None:
    """Runs `blipdiff evaluate-edits`."""
    request = _request(EditEvaluationRequest, asked)
    library, loaded = _opened(data, output, spread, model, device, dtype)
    _say(edits.evaluate_edits(loaded, library, output, request))
    say(output / edits.SHEET)


def evaluate_inversion(
    data: Path, output: Path, spread: float, model: str, device: str, dtype: str, **asked: Any
) -> None:
    """Runs `blipdiff evaluate-inversion`."""
    request = _request(InversionEvaluationRequest, asked)
    library, loaded = _opened(data, output, spread, model, device, dtype)
    _say(inversion.evaluate_inversion(loaded, library, output, request))


def evaluate_blends(data: Path, output: Path, model: str, device: str, dtype: str, **asked: Any) -> None:
    """Runs `blipdiff evaluate-blending`."""
    request = _request(BlendingRequest, asked)
    check_writable(output)
    library = PairLibrary(data, spread=_SPREAD)
    studio = opened(model, device=device, dtype=dtype)
    for report in staged(blending.evaluate_blending(studio, library, output, request)):
        width = max(len(name) for name, _ in report.lines)
        for name, text in report.lines:
            say(f"{name:{width}}  {text}")


def evaluate_structure(
    data: Path, way: list[str] | None, sheet: Path | None, model: str, device: str, dtype: str, **asked: Any
) -> None:
    """Runs `blipdiff evaluate-structure`."""
    request = _request(StructureRequest, asked)
    known = {one.name: one for one in structure.WAYS}
    unknown = sorted(set(way or ()) - set(known))
    if unknown:
        raise ConfigError(f"There is no way '{unknown[0]}'; choose from: {'; '.join(known)}.")
    library = PairLibrary(data, spread=_SPREAD)
    studio = opened(model, device=device, dtype=dtype)
    results = []
    for result in structure.evaluate_structure(studio, library, request, [known[name] for name in way or known]):
        results.append(result)
        say(structure.report([result]).splitlines()[-1])
    say(structure.report(results), lines=True)
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


def _request(kind: type[_Request], options: dict[str, Any]) -> _Request:
    notices: list[str] = []
    request = kind(**request_values(kind, options, notices))
    for text in notices:
        warn(text)
    return request


def _opened(
    data: Path, output: Path, spread: float, model: str, device: str, dtype: str
) -> tuple[PairLibrary, BlipDiffusion]:
    check_writable(output)
    library = PairLibrary(data, spread)
    return library, opened(model, device=device, dtype=dtype).model


def _say(events: Iterator[Any]) -> None:
    """Shows the progress, then the report's figures."""
    for report in staged(events):
        say(report.as_table(), lines=True)


def _evaluate_describer(name: str, data: Path, subjects: int, seed: int, device: str) -> None:
    describer = load_describer(name, device=placement(device).device)
    library = PairLibrary(data)
    for split, which in (("source", "an unseen artist"), ("held_out", "unseen concepts, whose words it never read")):
        with told("photos") as shown:
            found = measure_categories(
                describer,
                library,
                split,  # type: ignore[arg-type]
                subjects=subjects,
                seed=seed,
                progress=shown.show,
            )
        say(f"Subjects of {which}, among {len(describer.categories)} categories:")
        say(f"  category first             {found.first.as_percent()}")
        say(f"  category among five        {found.among_five.as_percent()}")
        say(f"  fits better than another's {found.matched.as_percent()}")
        say(f"  sure of                    {found.sure.as_percent()}")
        if found.sure_among_five is not None:
            say(f"  among five where sure      {found.sure_among_five.as_percent()}")
