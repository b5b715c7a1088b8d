"""What a model's name or path stands for: the bundled model, a folder, an archive, a fine-tuned file, a hub id."""

import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Literal

from blipdiff.checkpoints.archives import ARCHIVES, unpack
from blipdiff.checkpoints.hub import snapshot
from blipdiff.checkpoints.needed import ANY, Wanted, model_files, network_files
from blipdiff.errors import CheckpointError
from blipdiff.foreign import foreign

Layout = Literal["diffusers", "lavis", "finetuned"]

BUNDLED = "mini"
_LONGEST_ID = 200
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


@dataclass(frozen=True, slots=True)
class Found:
    """A model on this machine: its layout, where it is, and what to call it."""

    layout: Layout
    place: Path
    name: str


@contextmanager
def found(
    source: str | Path,
    *,
    download: bool = False,
    check: Callable[[Path], object] | None = None,
    wanted: Wanted = ANY,
) -> Iterator[Found]:
    """What `source` stands for, for the length of the block: an archive is unpacked into a temporary folder.

    Nothing is fetched unless `download` is true; a hub id that was fetched before is used as it lies in the cache.
    `check` looks at the small files of a hub's model before the large ones are fetched; `wanted` says which files.
    Raises: CheckpointError when there is nothing of that name, or it is no model.
    """
    path = Path(source)
    if is_folder(path):
        yield _in_folder(path)
    elif is_file(path) and str(path).lower().endswith(ARCHIVES):
        with tempfile.TemporaryDirectory(prefix="blipdiff-") as place:
            unpack(path, Path(place))
            yield _in_folder(Path(place), path.name)
    elif is_file(path):
        if path.suffix not in (".pth", ".pt"):
            raise CheckpointError(f"{path} is no model; give a folder, a .tar archive or a fine-tuned .pth file.")
        yield Found("finetuned", path, path.stem)
    elif str(source) == BUNDLED:
        yield _bundled()
    elif is_hub_id(source):
        chosen = partial(model_files, wanted=wanted)
        on_hub = snapshot(str(source), download=download, check=check, choose=chosen, wanted=wanted)
        yield _in_folder(on_hub, str(source))
    else:
        raise CheckpointError(
            f"There is no model at {str(source)[:200]}; give a folder, a LAVIS archive, a hub id such as "
            f"Salesforce/blipdiffusion, or '{BUNDLED}'."
        )


def is_folder(path: str | Path) -> bool:
    """Whether a folder is there; a name that no file system takes is none."""
    try:
        return Path(path).is_dir()
    except OSError:
        return False


def is_file(path: str | Path) -> bool:
    """Whether a file is there; a name that no file system takes is none."""
    try:
        return Path(path).is_file()
    except OSError:
        return False


def is_hub_id(source: str | Path) -> bool:
    """Whether this is written as a hub id is: owner/name."""
    return len(str(source)) <= _LONGEST_ID and _HUB_ID.fullmatch(str(source)) is not None


def _in_folder(folder: Path, name: str | None = None) -> Found:
    """The layout of a folder, or of the only folder inside it, as archives have it."""
    with foreign(folder, "a folder that can be read"):
        inner = [entry for entry in folder.iterdir() if entry.is_dir()]
    for place in (folder, *(inner if len(inner) == 1 else ())):
        if (place / "model_index.json").is_file():
            return Found("diffusers", place, name or place.absolute().name)
        if (place / "blip_model").is_dir():
            return Found("lavis", place, name or place.absolute().name)
    raise CheckpointError(
        f"{name or folder} is no model: neither model_index.json (the hub's layout) "
        "nor blip_model (the LAVIS layout) is in it."
    )


def _bundled() -> Found:
    place = Path(str(files("blipdiff"))) / "assets" / BUNDLED
    if not (place / "model_index.json").is_file():
        raise CheckpointError(f"The bundled model is missing from this installation ({place}); install blipdiff again.")
    return Found("diffusers", place, BUNDLED)


def folder_of(source: str | Path, *, download: bool = False) -> Path:
    """A folder as it is, or that of a network of transformers on the hub.

    Raises: CheckpointError when there is neither.
    """
    if is_folder(source):
        return Path(source)
    if not is_hub_id(str(source)):
        raise CheckpointError(f"There is no folder {str(source)[:200]}, and it is no hub id.")
    return snapshot(str(source), download=download, choose=network_files)
