"""What is installed, where it runs, and what is accelerated."""

import platform
import sys
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any

from app.cli.terminal import say, say_json
from blipdiff.checkpoints.detect import found
from blipdiff.devices import accelerated_parts, placement
from blipdiff.errors import CheckpointError

_PACKAGES = (
    "torch", "diffusers", "transformers", "accelerate", "safetensors", "numpy", "pillow", "gradio",
    "xformers", "controlnet_aux", "opencv-python-headless", "peft",
)  # fmt: skip


def doctor(as_json: bool) -> None:
    """Runs the command."""
    report = diagnosis()
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
        "Runs on": {"device": str(place.device), "dtype": place.dtype_name, **accelerated_parts()},
        "Bundled model": {"mini": bundled},
    }


def _package(name: str) -> str:
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return "not installed"
    return f"{found.version} from {found.locate_file('')}"
