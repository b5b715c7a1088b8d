"""Preprocessors: how a structure picture becomes the map that a ControlNet follows.

Those that are drawn need no weights and work offline; the others load a detector when they are first asked for one
(`blipdiff/control/detectors.py`). Names and settings are declared in `blipdiff/control/choices.py`.
"""

from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from PIL import Image

from blipdiff.control.choices import DRAWN, INPAINT, NONE, PREPROCESSORS, MapChoice
from blipdiff.control.detectors import load_detector
from blipdiff.errors import ConfigError, ImageError, MissingDependencyError
from blipdiff.given_pictures import PictureLike
from blipdiff.images import as_layers, as_rgb


class Preprocessors:
    """Makes maps, and keeps the detectors that it has loaded for the next ones."""

    def __init__(self, *, download: bool = False, device: str = "cpu") -> None:
        self._download, self._device = download, device
        self._loaded: dict[tuple[str, str], Callable[[Image.Image], Image.Image]] = {}
        self._loading = Lock()

    def map_of(self, picture: PictureLike, choice: MapChoice) -> Image.Image:
        """The map of a picture: RGB, of the picture's size; RGBA where its transparent parts shall be filled.

        Raises: ImageError for a picture without such parts, MissingDependencyError or CheckpointError when a
        detector's package or weights are not here, ConfigError for thresholds in the wrong order.
        """
        if choice.name == INPAINT:
            return _with_holes(picture)
        rgb = as_rgb(picture)
        if choice.name == NONE:
            return rgb
        if choice.name in DRAWN:
            return _drawn(rgb, choice)
        return self._detector(choice)(rgb)

    def _detector(self, choice: MapChoice) -> Callable[[Image.Image], Image.Image]:
        weights = choice.weights or PREPROCESSORS[choice.name].weights or ""
        key = (choice.name, str(Path(weights)))
        with self._loading:
            if key not in self._loaded:
                self._loaded[key] = load_detector(choice.name, weights, download=self._download, device=self._device)
            return self._loaded[key]


def _with_holes(picture: PictureLike) -> Image.Image:
    layers = as_layers(picture)
    if layers.mode != "RGBA" or int(np.asarray(layers)[..., 3].min()) > 127:
        raise ImageError(
            "The picture has no transparent parts, which an inpaint ControlNet fills; erase them to transparency, "
            "or choose another preprocessor."
        )
    return layers


def _drawn(rgb: Image.Image, choice: MapChoice) -> Image.Image:
    try:
        from blipdiff.control import drawn
    except ModuleNotFoundError as error:
        raise MissingDependencyError("Maps are drawn with OpenCV: pip install 'blipdiff[control]'.") from error

    values: dict[str, Any] = choice.values()
    if choice.name == "canny" and values["low"] > values["high"]:
        raise ConfigError(f"Canny's low threshold {values['low']:g} is above its high one, {values['high']:g}.")
    pixels = np.asarray(rgb)
    if choice.name == "relief":
        floor = None if values["floor"] >= 1 else values["floor"]
        return Image.fromarray(drawn.relief(drawn.silhouette(pixels, values["tolerance"]), floor)).convert("RGB")
    make: dict[str, Callable[..., Any]] = {
        "canny": drawn.canny,
        "soft-edge": drawn.soft_edges,
        "scribble": drawn.scribble,
        "tile": drawn.tile,
    }
    return Image.fromarray(make[choice.name](pixels, **values)).convert("RGB")
