"""What is installed, where it runs, and what is accelerated."""

import platform
import sys
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any

from app.cli.runs.drawing import opened
from app.cli.terminal import say, say_json
from app.settings import read_settings
from blipdiff.checkpoints.detect import found
from blipdiff.checkpoints.memory import gigabytes
from blipdiff.devices import accelerated_parts, placement
from blipdiff.errors import CheckpointError, MissingDependencyError
from blipdiff.ranges import SPEEDS
from blipdiff.sampling.cost import counted, own_size, seconds_of
from blipdiff.sampling.openvino_engine.cache import default_folder, kept
from blipdiff.sampling.openvino_engine.library import installed, library
from pipelines.plan import pace_of
from pipelines.requests import Sampling

_TRIES = 3
_PATIENCE = 10.0  # seconds a picture that nobody minds waiting for

_PACKAGES = (
    "torch", "diffusers", "transformers", "accelerate", "safetensors", "numpy", "pillow", "gradio",
    "xformers", "openvino", "controlnet_aux", "opencv-python-headless", "peft",
)  # fmt: skip


def doctor(speed: bool, model: str, device: str, dtype: str, as_json: bool) -> None:
    """Runs the command."""
    report = diagnosis() | ({"Speed": speeds(model, device, dtype)} if speed else {})
    if as_json:
        say_json(report, indent=1)
        return
    for title, rows in report.items():
        say(title)
        for name, value in rows.items():
            say(f"  {name:28} {value}")


def diagnosis() -> dict[str, dict[str, Any]]:
    """The report: packages with version and folder, the device, and the bundled model."""
    place = placement()
    try:
        with found("mini") as model:
            bundled = str(model.place)
    except CheckpointError as error:
        bundled = str(error)
    system = {"python": f"{platform.python_version()} at {sys.executable}", "system": platform.platform()}
    return {
        "System": system,
        "Packages": {name: _package(name) for name in ("blipdiff", *_PACKAGES)},
        "Runs on": {
            "device": str(place.device),
            "dtype": place.dtype_name,
            **accelerated_parts(),
            "OpenVINO": _openvino(),
        },
        "Bundled model": {"mini": bundled},
    }


def speeds(model: str, device: str, dtype: str) -> dict[str, str]:
    """What one picture of a model takes here at each speed, by a call that is timed, and a recommendation."""
    opened_model = opened(model, device=device, dtype=dtype).model
    told, seconds = {"model": f"{opened_model.name}, {opened_model.device}, {opened_model.unet.dtype}"}, {}
    size = own_size(opened_model)
    row = min(seconds_of(opened_model, size, 1, 0, by_stand_in=True) for _ in range(_TRIES))
    operations = counted(opened_model, size)
    decoding = row * operations.picture / operations.row
    for speed in SPEEDS:
        pace = pace_of(opened_model, Sampling(speed=speed))
        rows = pace.steps * (1 if opened_model.guidance == 1 else 2)
        seconds[speed] = row * rows + decoding
        told[speed] = f"{pace.steps} calls by {pace.scheduler}, about {seconds[speed]:.1f} s a picture"
    bearable = [speed for speed in SPEEDS if seconds[speed] <= _PATIENCE]
    told["recommended"] = bearable[0] if bearable else "fast to find a seed, balanced for what is kept"
    return told


def _openvino() -> str:
    """Whether it is there and can be loaded, and what is kept of it on the disk."""
    if installed() is None:
        return "not installed, so torch computes all networks"
    try:
        library()
    except MissingDependencyError as error:
        return str(error)
    networks = kept(read_settings().converted or default_folder())
    size = gigabytes(sum(one.size for one in networks)) if networks else "none"
    damaged = sum(one.is_damaged for one in networks)
    told = f"{len(networks)} ({size}{f', {damaged} damaged' if damaged else ''})"
    return f"{installed()}, for networks of full size on processors; converted ones: {told}"


def _package(name: str) -> str:
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return "not installed"
    return f"{found.version} from {found.locate_file('')}"
