"""`blipdiff evaluate` and its kin: how well a model keeps subjects, edits, blends, and follows structures."""

from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.cluster import ClusterCommand, ClusterGroup, Ray, Workers
from app.cli.options import Device, Download, Dtype, Model, options_of, run_by, takes
from app.cli.panels import OUTPUT
from pipelines.evaluate.requests import (
    BlendingRequest,
    DreamBenchRequest,
    EditEvaluationRequest,
    EvaluateRequest,
    InversionEvaluationRequest,
    StructureRequest,
)

_RUNS = "app.cli.runs.evaluate"
_SCORING, _DRAWING = "Scoring", "Drawing"

evaluate = typer.Typer(name="evaluate", cls=ClusterGroup, invoke_without_command=True)

Data = Annotated[Path, typer.Option("--data", help="A prepared library of subjects and scenes, with held-out ones.")]
Report = Annotated[Path, typer.Option("--output", help="The folder for the report.", rich_help_panel=OUTPUT)]
Spread = Annotated[
    float, typer.Option("--spread", help="How far subjects stray from the pictures' middle; mini has learnt 0.1.")
]


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    app.add_typer(evaluate)
    app.command("evaluate-edits")(evaluate_edits)
    app.command("evaluate-inversion")(evaluate_inversion)
    app.command("evaluate-blending")(evaluate_blends)
    app.command("evaluate-structure")(evaluate_structure)


@evaluate.callback()
@run_by(_RUNS)
@takes(*options_of(EvaluateRequest, but=("subjects",)))
def evaluate_model(
    context: typer.Context,
    *,
    data: Annotated[
        Path | None, typer.Option("--data", help="A prepared library of subjects and scenes, with held-out ones.")
    ] = None,
    subjects: Annotated[
        int | None, typer.Option("--subjects", help="Unseen subjects that are drawn: 50; with --describer 200.")
    ] = None,
    describer: Annotated[
        str | None, typer.Option("--describer", help="Score this describer's categories instead: mini-describe.")
    ] = None,
    output: Report = Path("evaluation"),
    model: Model = "mini",
    device: Device = "auto",
    dtype: Dtype = "auto",
    ray: Ray = None,
    workers: Workers = None,
    **asked: Any,
) -> None:
    """Score a model on subjects that it has never seen, and write a report with pictures.

    Published benchmarks are commands of their own: blipdiff evaluate dreambench FOLDER
    """


@evaluate.command("dreambench", cls=ClusterCommand)
@run_by("app.cli.runs.dreambench")
@takes(*options_of(DreamBenchRequest))
def evaluate_dreambench(
    folder: Annotated[Path, typer.Argument(help="Your copy of DreamBench, or of DreamBench++.")],
    *,
    output: Annotated[
        Path, typer.Option("--output", help="The folder of the run: given again, it goes on.", rich_help_panel=OUTPUT)
    ] = Path("dreambench"),
    shard: Annotated[
        str | None,
        typer.Option(
            "--shard",
            help="Draw one part alone, the second of eight as 2/8; a last call without it scores all.",
            rich_help_panel=_DRAWING,
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit", min=0, help="Draw only the first so many pictures, of all subjects.", rich_help_panel=_DRAWING
        ),
    ] = None,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Go on without photos that are not there.")
    ] = False,
    against: Annotated[
        Path | None, typer.Option("--against", help="The folder of another run to compare with.")
    ] = None,
    dino: Annotated[
        str | None,
        typer.Option(
            "--dino",
            help="FOLDER or HUB-ID; facebook/dino-vits16, for DreamBench++ facebook/dino-vits8.",
            rich_help_panel=_SCORING,
        ),
    ] = None,
    clip: Annotated[
        str, typer.Option("--clip", help="FOLDER or HUB-ID of CLIP.", rich_help_panel=_SCORING)
    ] = "openai/clip-vit-base-patch32",
    resize: Annotated[
        str,
        typer.Option(
            "--resize",
            help="For DINO: crop (256, then the middle 224, as its authors do) or configured (as its folder says).",
            rich_help_panel=_SCORING,
        ),
    ] = "crop",
    shown: Annotated[int, typer.Option("--shown", min=1, max=100, help="Pictures of each subject in the report.")] = 6,
    judge_url: Annotated[
        str | None,
        typer.Option(
            "--judge-url",
            help="Your own endpoint with OpenAI's chat completions, up to /v1: pictures are sent to it. "
            "BLIPDIFF_JUDGE_KEY holds its key.",
            rich_help_panel=_SCORING,
        ),
    ] = None,
    judge_model: Annotated[
        str, typer.Option("--judge-model", help="The model that judges there.", rich_help_panel=_SCORING)
    ] = "",
    model: Model = "mini",
    device: Device = "auto",
    dtype: Dtype = "auto",
    download: Download = False,
    ray: Ray = None,
    workers: Workers = None,
    **asked: Any,
) -> None:
    """Draw and score DreamBench (30 subjects, 25 prompts, 4 pictures each), or DreamBench++.

    blipdiff evaluate dreambench dreambooth/dataset --model Salesforce/blipdiffusion --output runs/zero-shot
    """


@run_by(_RUNS)
@takes(*options_of(EditEvaluationRequest))
def evaluate_edits(
    *,
    data: Data,
    spread: Spread = 0.1,
    output: Report = Path("evaluation-edits"),
    model: Model = "mini",
    device: Device = "auto",
    dtype: Dtype = "auto",
    **asked: Any,
) -> None:
    """Swap unseen subjects for other unseen ones; print what was kept and what was swapped, and save a sheet."""


@run_by(_RUNS)
@takes(*options_of(InversionEvaluationRequest))
def evaluate_inversion(
    *,
    data: Data,
    spread: Spread = 0.1,
    output: Report = Path("evaluation-inversion"),
    model: Model = "mini",
    device: Device = "auto",
    dtype: Dtype = "auto",
    **asked: Any,
) -> None:
    """Invert unseen pictures and draw them again, by every method; print how closely they come back."""


@run_by(_RUNS)
@takes(*options_of(BlendingRequest))
def evaluate_blends(
    *,
    data: Data,
    output: Report = Path("evaluation"),
    model: Model = "mini",
    device: Device = "auto",
    dtype: Dtype = "auto",
    **asked: Any,
) -> None:
    """Measure blends and scenes of subjects that the model has never seen, and print a table."""


@run_by(_RUNS)
@takes(*options_of(StructureRequest))
def evaluate_structure(
    *,
    data: Data,
    way: Annotated[
        list[str] | None, typer.Option("--way", help="Only this way of drawing, by its name; again for several.")
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option("--sheet", help="Also a .png with the first pictures.", rich_help_panel=OUTPUT)
    ] = None,
    model: Model = "mini",
    device: Device = "auto",
    dtype: Dtype = "auto",
    **asked: Any,
) -> None:
    """Measure how far pictures follow edges, and whose colours they have, on pairs of unseen subjects."""
