"""`blipdiff quantize`: a model's U-Net in 8 bits, which OpenVINO computes in half the time."""

from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.options import AsJson, Download, Dtype, options_of, run_by, takes
from pipelines.quantize_request import QuantizeRequest


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("quantize")(quantize)


@run_by("app.cli.runs.quantize")
@takes(*options_of(QuantizeRequest))
def quantize(
    model: Annotated[str, typer.Argument(help="A model's folder, name or hub id.")],
    subjects: Annotated[
        Path | None,
        typer.Option("--subjects", help="A folder of photos named by category: dog.png. The bundled ones if absent."),
    ] = None,
    lora: Annotated[
        list[str] | None, typer.Option("--lora", help="A LoRA that is drawn with: FILE, FILE:0.8 or a hub id.")
    ] = None,
    dtype: Dtype = "auto",
    download: Download = False,
    as_json: AsJson = False,
    **asked: Any,
) -> None:
    """Make a model's U-Net in 8 bits, for --engine openvino-int8 on processors: about half the time of a call.

    The model draws a few pictures, by which the ranges of its layers are seen, and others that tell how near it stays.
    It is kept with the converted networks (`blipdiff models converted`); the model itself is not changed.

    blipdiff quantize my_model
    """
