"""ControlNets and T2I-Adapters: the bundled ones by name, a folder or hub id in diffusers' layout, single files."""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch

from blipdiff.checkpoints.configs import forget_places, read_json
from blipdiff.checkpoints.detect import is_file, is_folder, is_hub_id
from blipdiff.checkpoints.given_control import given_control, load_given_control
from blipdiff.checkpoints.given_files import SUFFIXES
from blipdiff.checkpoints.hub import snapshot
from blipdiff.checkpoints.needed import DIFFUSERS_STEMS, control_files
from blipdiff.checkpoints.parts import load_adapter, load_controlnet
from blipdiff.checkpoints.weights import open_tensors, weight_paths
from blipdiff.control.net_names import BUNDLED_CONTROLS
from blipdiff.diffusers_types import Adapter, ControlNet
from blipdiff.errors import CheckpointError
from blipdiff.models.identity import Fingerprint
from blipdiff.outputs import written_folder


def load_control(
    source: str | Path,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
    download: bool = False,
    unet_config: Mapping[str, Any] | None = None,
) -> ControlNet | Adapter:
    """A ControlNet from "mini-canny", "mini-depth", a folder of its own or a pipeline's, a file, or a hub id.

    A folder or hub id may also hold a T2I-Adapter; its config says which it is. A file has no config: `unet_config`,
    of the U-Net that the net shall steer, tells what its shapes do not.

    Nothing is fetched unless `download` is true. Raises: CheckpointError when there is none, or it is damaged.
    """
    folder = control_place(source, download=download)
    if folder.is_file():
        return load_given_control(folder, dtype, device, unet_config=unet_config)
    if read_json(folder / "config.json").get("_class_name") == "T2IAdapter":
        return load_adapter(folder, dtype, device)
    return load_controlnet(folder, dtype, device)


def control_place(source: str | Path, *, download: bool = False) -> Path:
    """The folder with a ControlNet's config.json, or the file, that `source` stands for.

    Raises: CheckpointError when there is none.
    """
    if is_file(source):
        path = Path(source)
        is_part = path.name.startswith(DIFFUSERS_STEMS) and (path.parent / "config.json").is_file()
        return path.parent if is_part else path
    if is_folder(source):
        place = Path(source)
    elif str(source) in BUNDLED_CONTROLS:
        place = Path(str(files("blipdiff"))) / "assets" / str(source)
    elif is_hub_id(source):
        place = snapshot(str(source), download=download, choose=control_files)
    else:
        raise CheckpointError(
            f"There is no ControlNet at {str(source)[:200]}; give a folder, a file, a hub id such as "
            f"lllyasviel/sd-controlnet-canny, or one of: {', '.join(BUNDLED_CONTROLS)}."
        )
    for folder in (place, place / "controlnet"):
        if (folder / "config.json").is_file():
            return folder
    given = [path for path in sorted(place.iterdir()) if path.suffix in SUFFIXES]
    if len(given) == 1:
        return given[0]
    hint = f"; give one of its files: {', '.join(path.name for path in given[:3])}" if given else ""
    raise CheckpointError(
        f"{source} holds no ControlNet: there is no config.json in {place}, nor in its controlnet/{hint}."
    )


def control_fingerprint(folder: Path) -> str:
    """16 hexadecimal digits that tell one net's weights from another's, as they are stored, wherever they lie.

    folder: or a file

    Raises: CheckpointError when there are none in it, or they are damaged.
    """
    seen = Fingerprint()
    if folder.is_file():
        return seen.added(given_control(folder).tensors).digest()
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
