"""Pictures of a package: what is known of one before it is drawn, and how its files become RGBA pixels."""

import io
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from blipdiff.data.records import Pixels
from blipdiff.errors import BlipdiffError, ImageError, MissingDependencyError
from blipdiff.foreign import foreign

RENDER_PIXELS = 256
MOST_PIXELS = 16_000_000


@dataclass(frozen=True, slots=True)
class Source:
    """A package of pictures (or of their names), with the licence of its content."""

    name: str
    client: str
    package: str
    version: str
    licence: str
    credit: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """One picture before it is judged: RGBA pixels are made only when `render` is called."""

    name: str
    category: str
    source: str
    render: Callable[[], Pixels]


def stored_json(folder: Path, name: str) -> Any:
    """What the first file of this name under `folder` says. Raises: BlipdiffError where there is none."""
    path = next(folder.rglob(name), None)
    if path is None:
        raise BlipdiffError(f"{folder} lacks {name}; delete this folder, and its package is fetched again.")
    with foreign(path, "readable JSON", BlipdiffError):
        return json.loads(path.read_text("utf-8"))


def read_picture(path: Path) -> Pixels:
    """A file's RGBA pixels. Raises: ImageError for one that is damaged, or larger than any subject."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with foreign(path, "a picture", ImageError):
            opened = Image.open(path)
    with opened as picture:
        if picture.width * picture.height > MOST_PIXELS:
            raise ImageError(f"{path} is a poster, not a subject.")
        with foreign(path, "a picture", ImageError):
            return np.asarray(picture.convert("RGBA"))


def render_svg_file(path: Path) -> Pixels:
    """A drawing's RGBA pixels. Raises: as `render_svg`."""
    with foreign(path, "an SVG", ImageError):
        text = path.read_text("utf-8")
    return render_svg(text, str(path))


def render_svg(text: str, name: str) -> Pixels:
    """RGBA pixels of an SVG. Raises: ImageError where it is none, MissingDependencyError without a renderer."""
    try:
        import resvg_py
    except ImportError as error:
        raise MissingDependencyError("Rendering SVG needs resvg_py: pip install 'blipdiff[train]'.") from error
    with foreign(name, "an SVG", ImageError):
        png = bytes(resvg_py.svg_to_bytes(svg_string=text, width=RENDER_PIXELS, height=RENDER_PIXELS))
    with Image.open(io.BytesIO(png)) as picture:
        return np.asarray(picture.convert("RGBA"))
