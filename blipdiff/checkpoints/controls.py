"""ControlNets and T2I-Adapters on disk: the bundled ones by name, a folder or a hub id in diffusers' layout."""

from importlib.resources import files
from pathlib import Path

import torch

from blipdiff.checkpoints.configs import forget_places, read_json
from blipdiff.checkpoints.detect import is_folder, is_hub_id
from blipdiff.checkpoints.diffusers_layout import load_adapter, load_controlnet
from blipdiff.checkpoints.hub import snapshot
from blipdiff.checkpoints.needed import DIFFUSERS_STEMS, control_files
from blipdiff.checkpoints.weights import open_tensors, weight_paths
from blipdiff.diffusers_types import Adapter, ControlNet
from blipdiff.errors import CheckpointError
from blipdiff.models.identity import Fingerprint
from blipdiff.outputs import written_folder

_MAPS = {"mini-canny": "canny", "mini-depth": "relief"}  # the preprocessor whose maps each bundled net has learned
BUNDLED_CONTROLS = tuple(_MAPS)


def map_of_control(source: str | Path) -> str | None:
    """The preprocessor whose maps a net reads; None for one that is not bundled, which does not say."""
    return _MAPS.get(str(source))


def control_for_map(preprocessor: str) -> str | None:
    """The bundled net that reads a preprocessor's maps; None where there is none."""
    return next((net for net, read in _MAPS.items() if read == preprocessor), None)


def load_control(
    source: str | Path,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
    download: bool = False,
) -> ControlNet | Adapter:
    """A ControlNet from "mini-canny", "mini-depth", its folder, a pipeline's folder that holds one, or a hub id.

    A folder or hub id may also hold a T2I-Adapter; its config says which it is.

    Nothing is fetched unless `download` is true. Raises: CheckpointError when there is none, or it is damaged.
    """
    folder = control_folder(source, download=download)
    if read_json(folder / "config.json").get("_class_name") == "T2IAdapter":
        return load_adapter(folder, dtype, device)
    return load_controlnet(folder, dtype, device)


def control_folder(source: str | Path, *, download: bool = False) -> Path:
    """The folder with a ControlNet's config.json that `source` stands for.

    Raises: CheckpointError when there is none.
    """
    if is_folder(source):
        place = Path(source)
    elif str(source) in BUNDLED_CONTROLS:
        place = Path(str(files("blipdiff"))) / "assets" / str(source)
    elif is_hub_id(source):
        place = snapshot(str(source), download=download, choose=control_files)
    else:
        raise CheckpointError(
            f"There is no ControlNet at {str(source)[:200]}; give a folder, a hub id such as "
            f"lllyasviel/sd-controlnet-canny, or one of: {', '.join(BUNDLED_CONTROLS)}."
        )
    for folder in (place, place / "controlnet"):
        if (folder / "config.json").is_file():
            return folder
    raise CheckpointError(f"{source} holds no ControlNet: there is no config.json in {place}, nor in its controlnet/.")


def control_fingerprint(folder: Path) -> str:
    """16 hexadecimal digits that tell one net's weights from another's, as they are stored.

    Raises: CheckpointError when the folder holds none, or they are damaged.
    """
    seen = Fingerprint()
    for path in weight_paths(folder, DIFFUSERS_STEMS):
        seen = seen.added(open_tensors(path))
    return seen.digest()


def save_control(net: ControlNet | Adapter, folder: Path) -> None:
    """The net as a folder that `load_control` and diffusers read: whole, or not at all.

    Raises: OutputError when the place cannot be written or holds something else.
    """
    with written_folder(folder) as place:
        net.save_pretrained(place)
        forget_places(place)
