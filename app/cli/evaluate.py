"""`blipdiff evaluate`: how well a model keeps unseen subjects and follows scenes."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.options import Device, Dtype, Model
from app.cli.terminal import say


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
    describer: Annotated[
        str | None, typer.Option("--describer", help="Score this describer's categories instead: mini-describe.")
    ] = None,
    model: Model = "mini",
    device: Device = "auto",
    dtype: Dtype = "auto",
) -> None:
    """Score a model on subjects that it has never seen, and write a report with pictures."""
    if describer is not None:
        _evaluate_describer(describer, data, subjects or 200, seed or 0, device)
        return
    from app.cli.drawing import opened, staged
    from app.cli.files import check_writable
    from blipdiff.data.pairs import PairLibrary
    from pipelines.evaluate.requests import EvaluateRequest
    from pipelines.evaluate.subjects import evaluate

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
    studio = opened(model, device=device, dtype=dtype)
    for _report in staged(evaluate(studio, library, output, request)):
        pass  # it is written
    say(output / "report.html")


def _evaluate_describer(name: str, data: Path, subjects: int, seed: int, device: str) -> None:
    from app.cli.progress import told
    from blipdiff.checkpoints.describer import load_describer
    from blipdiff.data.pairs import PairLibrary
    from blipdiff.devices import placement
    from pipelines.describe import measure_categories

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
