"""The models of this machine are listed, fetched and removed."""

from pathlib import Path
from typing import Any

from huggingface_hub import constants

from app.cli.runs.subjects import ask
from app.cli.terminal import say, say_json, warn
from app.settings import read_settings
from blipdiff.checkpoints.inventory import (
    PUBLISHED,
    Held,
    check_removable,
    fetched,
    models_here,
    offered,
    removed,
)
from blipdiff.checkpoints.memory import Memory, free_memory, gigabytes, needed_memory
from blipdiff.devices import Placement, placement
from blipdiff.errors import BlipdiffError
from blipdiff.sampling.openvino_engine.cache import Converted, default_folder, kept
from blipdiff.sampling.openvino_engine.cache import remove as remove_converted


def list_models(memory: bool, folder: Path | None, device: str, dtype: str, as_json: bool) -> None:
    """List the models on this machine."""
    place = placement(device, dtype)
    held = models_here(folder or read_settings().models)
    needs = {one.name: _need(one, place) for one in held} if memory else {}
    if as_json:
        say_json([_told(one, needs.get(one.name)) for one in held])
        return
    for one in held:
        say(_line(one))
        if (need := needs.get(one.name)) is not None:
            say(f"  {gigabytes(need.total)} of memory to draw: {gigabytes(need.weights)} lie there, the rest beside it")
    if all(one.name != PUBLISHED for one in held):
        say(f"{PUBLISHED}: not here; fetch it with `blipdiff models get {PUBLISHED}`")
    if memory:
        say(f"{gigabytes(free_memory(place.device))} of memory are free on {place.device} ({place.dtype_name}).")


def get_model(name: str, as_json: bool) -> None:
    """Fetch a model from the hub, or the rest of it."""
    listed = offered(name)
    if not as_json:
        rest = "" if listed.missing == listed.size else f", {gigabytes(listed.missing)} of them still to come"
        warn(
            f"{name}: {gigabytes(listed.size)}{rest}; licence: {listed.licence or 'not told'}; "
            f"{gigabytes(listed.free)} are free in {constants.HF_HUB_CACHE}."
        )
    path = fetched(name)
    if as_json:
        say_json({"name": name, "path": str(path), "bytes": listed.size, "licence": listed.licence})
    else:
        say(path)


def remove_model(name: str, yes: bool) -> None:
    """Take a model of the hub off this machine."""
    check_removable(name)
    ask(f"Remove {name} from {constants.HF_HUB_CACHE}? It can be fetched again.", yes)
    say(f"{gigabytes(removed(name))} are free again.")


def converted_networks(remove: bool, yes: bool, as_json: bool) -> None:
    """The networks that OpenVINO computes, on the disk."""
    folder = read_settings().converted or default_folder()
    networks = kept(folder)
    if remove and networks:
        ask(f"Remove {len(networks)} converted networks from {folder}? They can be converted again.", yes)
    free = remove_converted(folder) if remove else 0  # without any too: what killed processes left goes
    if as_json:
        say_json({"networks": [_told_of(one) for one in networks], "removed_bytes": free})
        return
    for one in networks if not remove else []:
        state = ", damaged" if one.is_damaged else ""
        form = ", 8 bits" if one.is_narrow else ""
        say(f"{one.kind}{one.dtype and f', {one.dtype}'}{form}{state}: {gigabytes(one.size)} in {one.place}")
    if not networks:
        say(f"No converted networks in {folder}.")
    elif remove:
        say(f"{gigabytes(free)} are free again.")


def _told_of(one: Converted) -> dict[str, Any]:
    told = {"kind": one.kind, "path": str(one.place), "bytes": one.size, "dtype": one.dtype or None}
    return {**told, "damaged": one.is_damaged, "bits": 8 if one.is_narrow else None}


def _need(one: Held, place: Placement) -> Memory | None:
    if not one.draws or one.kind == "LAVIS folder":
        return None
    try:
        return needed_memory(one.place, place.dtype)
    except BlipdiffError as error:
        warn(f"{one.name}: {error}")
        return None


def _line(one: Held) -> str:
    parts = [f"{one.name}: {one.kind}, {gigabytes(one.size)}", one.can, f"licence: {one.licence or 'not told'}"]
    return "; ".join(part for part in [*parts, one.trouble] if part)


def _told(one: Held, need: Memory | None) -> dict[str, Any]:
    told = {
        "name": one.name,
        "kind": one.kind,
        "path": str(one.place),
        "bytes": one.size,
        "can": one.can,
        "licence": one.licence,
        "draws": one.draws,
        "trouble": one.trouble,
    }
    return told if need is None else {**told, "memory": {"weights": need.weights, "drawing": need.drawing}}
