"""`blipdiff evaluate`: how well a model keeps unseen subjects and follows scenes."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.options import Device, Dtype, Model


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("evaluate")(evaluate_model)


def evaluate_model(
    data: Annotated[
        Path, typer.Option("--data", help="A prepared library of subjects and scenes, with held-out ones.")
    ],
    output: Annotated[Path, typer.Option("--output", help="The folder for the report.")] = Path("evaluation"),
    subjects: Annotated[int | None, typer.Option("--subjects", help="Unseen subjects that are drawn; 50.")] = None,
    pictures: Annotated[int | None, typer.Option("--pictures", help="Contexts for each subject; 4.")] = None,
    split: Annotated[str | None, typer.Option("--split", help="held_out (concepts) or source (an artist).")] = None,
    steps: Annotated[int | None, typer.Option("--steps", help="Denoising steps.")] = None,
    guidance: Annotated[float | None, typer.Option("--guidance", help="Guidance of the pictures.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Of the choice of subjects and of the noise.")] = None,
    model: Model = "mini",
    device: Device = "auto",
    dtype: Dtype = "auto",
) -> None:
    """Score a model on subjects that it has never seen, and write a report with pictures."""
    from tqdm import tqdm

    from app.cli.files import check_writable
    from blipdiff.data.pairs import PairLibrary
    from pipelines.evaluate import EvaluateRequest, EvaluationProgress, evaluate
    from pipelines.studio import Studio

    given = {
        "subjects": subjects,
        "pictures": pictures,
        "split": split,
        "steps": steps,
        "guidance": guidance,
        "seed": seed,
    }
    request = EvaluateRequest(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    check_writable(output)
    library = PairLibrary(data)
    studio = Studio.open(model, device=device, dtype=dtype)
    with tqdm(unit="", leave=False) as bar:
        for event in evaluate(studio, library, output, request):
            if isinstance(event, EvaluationProgress):
                bar.set_description(event.stage)
                bar.total, bar.n = event.total, event.done
                bar.refresh()
    print(output / "report.html")
