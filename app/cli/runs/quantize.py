"""A U-Net in 8 bits is made, measured and kept."""

from pathlib import Path
from typing import Any

from app.cli.progress import told
from app.cli.runs.asked import request_values
from app.cli.runs.drawing import opened
from app.cli.terminal import say, say_json, warn
from app.outputs import check_writable
from app.settings import read_settings
from blipdiff.ranges import INT8, SPEED_DECIBELS
from blipdiff.sampling.openvino_engine.cache import default_folder
from pipelines.quantize import quantize as quantized
from pipelines.quantize_request import QuantizeRequest
from pipelines.trial_rows import bundled_subjects, subjects_in


def quantize(
    model: str,
    subjects: Path | None,
    lora: list[str] | None,
    dtype: str,
    download: bool,
    as_json: bool,
    **asked: Any,
) -> None:
    """Runs the command."""
    request = QuantizeRequest(**request_values(QuantizeRequest, asked, []))
    photos = bundled_subjects() if subjects is None else subjects_in(subjects)
    folder = read_settings().converted or default_folder()
    check_writable(folder)
    added = {"loras": lora or []}
    studio = opened(model, device="cpu", dtype=dtype, download=download, quiet=as_json, additions=added)
    with told("rows of calls", quiet=as_json) as progress:
        found = quantized(studio.model, photos, request, folder, progress.show)
    median, least = found.decibels
    if as_json:
        say_json({"place": str(found.place), "decibels": {"median": median, "least": least}})
        return
    before = str(studio.model.unet.dtype).removeprefix("torch.")
    say(f"Its pictures are {median:g} dB from those in {before}, at least {least:g} dB.")
    if median < SPEED_DECIBELS["balanced"]:
        warn("That is less than the 35 dB that --speed balanced promises: the difference can be seen.")
    say(f"Draw with --engine {INT8}. It is kept in {found.place}.")
