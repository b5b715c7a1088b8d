"""A model on another base, written as a folder tensor by tensor, or put into a loaded one."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from blipdiff.checkpoints import configs, diffusers_layout
from blipdiff.checkpoints.base_swap import (
    PARTS,
    UNTOLD,
    Base,
    Opened,
    StableDiffusion,
    Strengths,
    check_fit,
    differences,
    original_of,
    stable_diffusion,
)
from blipdiff.checkpoints.configs import read_json, write_json
from blipdiff.checkpoints.detect import found
from blipdiff.checkpoints.key_rules import text_encoder_name
from blipdiff.checkpoints.needed import DIFFUSERS_STEMS, TRANSFORMERS_STEMS, model_files
from blipdiff.checkpoints.step_tables import STEPS_FILE
from blipdiff.checkpoints.streamed import write_streamed
from blipdiff.checkpoints.weights import open_tensors, shell, weight_paths
from blipdiff.errors import CheckpointError
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.models.context_text_encoder import ContextTextEncoder
from blipdiff.models.identity import DRAWING, Addition, Fingerprint
from blipdiff.outputs import check_replaceable, files_of, written_folder

_WRITTEN = {"unet": "unet/diffusion_pytorch_model.safetensors", "text_encoder": "text_encoder/model.safetensors"}


def merge(source: str | Path, base: Base, target: Path, *, download: bool = False) -> dict[str, Any]:
    """Writes a model in the hub's layout on another base to the folder `target`; gives what its index tells of it.

    At no time more than a few tensors are in memory.

    Raises: CheckpointError for parents that do not fit or are not there, OutputError for a place that cannot be
    written.
    """
    with found(source, download=download, check=diffusers_layout.check) as model:
        if model.layout != "diffusers":
            raise CheckpointError(f"{source} is not in the hub's layout; write it so first: blipdiff convert.")
        diffusers_layout.check_configs(model.place)
        own, expected = _own(model.place), _expected(model.place)
        config = read_json(model.place / "unet" / "config.json")
        custom = stable_diffusion(base.source, config, download=download)
        parts = check_fit(custom, expected)
        original = original_of(base.original, config, download=download)
        _check_original(original, parts, expected)
        note = _note(model.name, own, custom, original, base.strengths, model.place)
        with written_folder(target) as place:
            _copy(model.place, place, parts)
            check_replaceable(target, {*files_of(place), *(_WRITTEN[part] for part in parts)})  # before the long work
            write_json(place / "model_index.json", read_json(place / "model_index.json") | {"merged": note})
            for part in parts:
                shapes = {name: (one.dtype, tuple(expected[part][name].shape)) for name, one in own[part]().items()}
                stream = differences(part, own[part], custom.parts[part], original.parts[part], base.strengths)
                write_streamed(place / _WRITTEN[part], shapes, stream)
    return note


def based(model: BlipDiffusion, base: Base, *, download: bool = False) -> BlipDiffusion:
    """A loaded model, which nobody else uses, on another base; its U-Net and text encoder change in place.

    Raises: CheckpointError for a base that does not fit or is not there.
    """
    nets: dict[str, nn.Module] = {"unet": model.unet, "text_encoder": model.text_encoder}
    custom = stable_diffusion(base.source, model.unet.config, download=download)
    expected = {part: net.state_dict() for part, net in nets.items()}
    parts = check_fit(custom, expected)
    original = original_of(base.original, model.unet.config, download=download)
    _check_original(original, parts, expected)
    for part in parts:
        own = nets[part].state_dict
        fresh = dict(differences(part, own, custom.parts[part], original.parts[part], base.strengths))
        nets[part].load_state_dict(fresh, assign=True)
    name = f"{Path(custom.name).name} at {base.strengths.text}"
    added = (*model.additions, Addition("base", name, None, custom.fingerprint()))
    return replace(model, additions=added, step_tables=None)  # which were fitted to another U-Net


def _check_original(
    original: StableDiffusion, parts: Sequence[str], expected: Mapping[str, Mapping[str, Tensor]]
) -> None:
    """Raises: CheckpointError where the original lacks a part that changes: those that the custom checkpoint has."""
    own = check_fit(original, expected)
    lacking = [PARTS[part] for part in parts if part not in own]
    if lacking:
        raise CheckpointError(f"{original.name} has no {lacking[0]}; give the whole Stable Diffusion 1.5.")


def _own(folder: Path) -> dict[str, Opened]:
    def unet() -> dict[str, Tensor]:
        return _all(weight_paths(folder / "unet", DIFFUSERS_STEMS))

    def text() -> dict[str, Tensor]:
        stored = _all(weight_paths(folder / "text_encoder", TRANSFORMERS_STEMS))
        return {own: one for name, one in stored.items() if (own := text_encoder_name(name)) is not None}

    return {"unet": unet, "text_encoder": text}


def _all(paths: list[Path]) -> dict[str, Tensor]:
    return {name: value for path in paths for name, value in open_tensors(path).items()}


def _expected(folder: Path) -> dict[str, dict[str, Tensor]]:
    """The names and shapes of the parts that change, without memory for them."""
    unet, sizes = (
        read_json(folder / "unet" / "config.json"),
        configs.text_encoder_sizes(read_json(folder / "text_encoder" / "config.json")),
    )
    known = {name: value for name, value in unet.items() if not name.startswith("_")}
    return {
        "unet": shell(lambda: UNet2DConditionModel.from_config(known), "U-Net").state_dict(),
        "text_encoder": shell(lambda: ContextTextEncoder(sizes), "text encoder").state_dict(),
    }


def _copy(folder: Path, place: Path, parts: list[str]) -> None:
    """Everything that does not change; steps belong to the U-Net that they were fitted to."""
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    for name in model_files(names):
        part, _, file = name.partition("/")
        if (part in parts and file != "config.json") or (name == STEPS_FILE and "unet" in parts):
            continue
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / name, place / name)


def _note(
    name: str,
    own: Mapping[str, Opened],
    custom: StableDiffusion,
    original: StableDiffusion,
    strengths: Strengths,
    folder: Path,
) -> dict[str, Any]:
    """Both parents, by what tells them apart, and under which licence each came."""
    seen = Fingerprint(DRAWING).added(own["unet"]()).digest()
    index = read_json(folder / "model_index.json")
    licence = "BSD-3-Clause (Salesforce)" if name.startswith("Salesforce/") else str(index.get("licence", UNTOLD))
    return {
        "subject_model": {"name": name, "unet": seen, "licence": licence},
        "base": {"name": custom.name, "unet": custom.fingerprint(), "licence": custom.licence},
        "original": {"name": original.name, "unet": original.fingerprint()},
        "strength": {"whole": strengths.whole, **strengths.blocks},
        "parts": list(custom.parts),
    }
