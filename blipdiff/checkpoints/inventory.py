"""The models that are on this machine: the bundled one, those of a folder, those of the hub in its cache."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from huggingface_hub import constants

from blipdiff.checkpoints.base_swap import card_licence
from blipdiff.checkpoints.configs import read_json
from blipdiff.checkpoints.detect import BUNDLED, found, is_hub_id
from blipdiff.checkpoints.hub import Listing, home_of, listing, online, snapshot
from blipdiff.checkpoints.large_files import Watch
from blipdiff.checkpoints.memory import free_memory, needed_memory, own_side, sentence
from blipdiff.checkpoints.needed import Names, model_files
from blipdiff.devices import Placement
from blipdiff.errors import BlipdiffError, CheckpointError
from blipdiff.outputs import writing

Kind = Literal["bundled", "published", "merged", "personalized", "folder", "LAVIS folder", "ControlNet", "T2I-Adapter",
               "base", "other"]  # fmt: skip

PUBLISHED = "Salesforce/blipdiffusion"
_CARD = "README.md"
_AMPLE = 8  # times the size of a model's files: with so much memory free nothing needs to be counted
_HOMES = "models--"
_OWN_CLASS = "BlipDiffusion"
_NETS: dict[str, Kind] = {"ControlNetModel": "ControlNet", "T2IAdapter": "T2I-Adapter"}
_MARKS: tuple[Kind, ...] = ("merged", "personalized")  # what a model's index says of how it was made


@dataclass(frozen=True, slots=True)
class Held:
    """A model that is on this machine.

    name: by which it is asked for; size: bytes on the disk; can: what it draws, in words; trouble: why it cannot be
    used as it is, where it cannot
    """

    name: str
    kind: Kind
    place: Path
    size: int
    can: str = ""
    licence: str | None = None
    trouble: str | None = None

    @property
    def draws(self) -> bool:
        """Whether jobs may be asked of it."""
        return self.trouble is None and self.kind not in ("ControlNet", "T2I-Adapter", "base", "other")


def models_here(folder: Path | None = None) -> list[Held]:
    """The bundled one first, then those in `folder`, then those of the hub, of which nothing is asked."""
    with found(BUNDLED) as bundled:
        place = bundled.place
    first = Held(BUNDLED, "bundled", place, _size(place), _can(place, BUNDLED), "apache-2.0")
    return [first, *_in_folder(folder), *_in_cache()]


def offered(name: str) -> Listing:
    """What `fetched` would fetch. Raises: CheckpointError, as `listing`."""
    _check_id(name)
    return listing(name, choose=_with_card)


def fetched(name: str, watch: Watch | None = None) -> Path:
    """The folder of a hub's model, which is fetched as far as it is not here, with the card that tells its licence.

    watch: told of the bytes that are there; what it raises ends the fetching, which goes on from there the next time

    Raises: CheckpointError, as `snapshot`.
    """
    _check_id(name)
    with online():
        return snapshot(name, download=True, choose=_with_card, watch=watch)


def removed(name: str) -> int:
    """Takes a hub's model out of the cache, in part or whole; gives the bytes that are free again.

    Raises: CheckpointError for one that is not there, or that does not lie in the cache; OutputError when it cannot
    be removed.
    """
    check_removable(name)
    home = home_of(name)
    size = _size(home)
    with writing(home):
        place = Path(tempfile.mkdtemp(prefix=".removed-", dir=home.parent))  # out of sight at once, whole
        home.rename(place / home.name)
        shutil.rmtree(place)
    shutil.rmtree(home.parent / ".locks" / home.name, ignore_errors=True)
    return size


def check_removable(name: str) -> None:
    """Passes for a hub's model in the cache. Raises: CheckpointError for anything else."""
    if name == BUNDLED:
        raise CheckpointError(f"{BUNDLED} is a part of blipdiff and goes with it; only models of the hub are removed.")
    if not is_hub_id(name):
        raise CheckpointError(f"{name!r:.200} is no hub id; a folder of your own is deleted as any folder is.")
    if not home_of(name).is_dir():
        raise CheckpointError(f"{name} is not in the cache ({constants.HF_HUB_CACHE}).")


def shortage(name: str, place: Placement) -> str | None:
    """One sentence where a model that is here will not fit into the memory that is free, or hardly.

    None where it fits, and for what cannot be told: what is not here, and other layouts.
    """
    try:
        with found(name) if not Path(name).is_file() else nullcontext() as model:
            if model is None or model.layout != "diffusers":
                return None
            free = free_memory(place.device)
            if _AMPLE * sum(file.stat().st_size for file in model.place.rglob("*") if file.is_file()) < free:
                return None
            return sentence(model.name, needed_memory(model.place, place.dtype), free, place.device)
    except CheckpointError:  # it is told when the model is opened
        return None


def _check_id(name: str) -> None:
    if not is_hub_id(name):
        raise CheckpointError(f"{name!r:.200} is no hub id; give one such as {PUBLISHED}.")


def _with_card(names: Names) -> list[str]:
    return [*model_files(names), *([_CARD] if _CARD in names else [])]


def _in_folder(folder: Path | None) -> Iterator[Held]:
    if folder is None or not folder.is_dir():
        return
    for place in sorted(folder.iterdir()):
        if place.name.startswith(".") or not place.is_dir():
            continue
        if (place / "model_index.json").is_file():
            yield _told(str(place), "folder", place, _size(place))
        elif (place / "blip_model").is_dir():
            yield Held(str(place), "LAVIS folder", place, _size(place), "a model in the authors' own layout")


def _in_cache() -> Iterator[Held]:
    for home in sorted(Path(constants.HF_HUB_CACHE).glob(f"{_HOMES}*")):
        name = home.name.removeprefix(_HOMES).replace("--", "/")
        if not is_hub_id(name):
            continue
        size, place = _size(home), _newest(home)
        yield _told(name, "published" if name == PUBLISHED else "other", place, size)


def _told(name: str, kind: Kind, place: Path, size: int) -> Held:
    """What the small files of a folder tell of it."""
    try:
        index = _index(place)
        maker = str(index.get("_class_name", ""))
        if not maker.startswith(_OWN_CLASS):
            other: Kind = _NETS.get(maker, "base" if maker.startswith("StableDiffusion") else "other")
            return Held(name, other, place, size, licence=_licence(place, index))
        kind = next((mark for mark in _MARKS if mark in index), "published" if kind == "other" else kind)
        return Held(name, kind, place, size, _can(place, name, index), _licence(place, index), _lacking(name, place))
    except BlipdiffError as error:
        return Held(name, kind, place, size, trouble=str(error))


def _index(place: Path) -> dict[str, Any]:
    """What a repository's first file says: of a pipeline, or of a single network."""
    files = (place / name for name in ("model_index.json", "config.json"))
    return next((read_json(file) for file in files if file.is_file()), {})


def _lacking(name: str, place: Path) -> str | None:
    """What is not there of it yet."""
    if not is_hub_id(name) or place == Path(name):
        names = [path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()]
        model_files(names)
        return None
    try:
        snapshot(name, download=False)
    except CheckpointError:
        return f"only in part on this machine; `blipdiff models get {name}` goes on where it ended"
    return None


def _can(place: Path, name: str, index: dict[str, Any] | None = None) -> str:
    side = own_side(place)
    what = "drawn things" if name == BUNDLED else "anything, photographs too"
    merged = (index or {}).get("merged")
    base = merged.get("base", {}).get("name") if isinstance(merged, dict) else None
    return f"pictures of {side} x {side} pixels, of {what}" + (
        f", in the look of {Path(str(base)).name}" if base else ""
    )


def _licence(place: Path, index: dict[str, Any]) -> str | None:
    """What its card says, or those of both its parents where it was merged."""
    merged = index.get("merged")
    if isinstance(merged, dict):
        parents = (merged.get(part) for part in ("subject_model", "base"))
        told = [str(one["licence"]) for one in parents if isinstance(one, dict) and "licence" in one]
        return "; ".join(dict.fromkeys(told)) or None
    if isinstance(index.get("licence"), str):
        return str(index["licence"])
    return card_licence(place / _CARD)


def _newest(home: Path) -> Path:
    """The snapshot that was made last; the home itself where there is none."""
    made: Sequence[Path] = [one for one in (home / "snapshots").glob("*") if one.is_dir()]
    return max(made, key=lambda one: one.stat().st_mtime, default=home)


def _size(place: Path) -> int:
    """Bytes on the disk, each file once."""
    return sum(file.lstat().st_size for file in place.rglob("*") if file.is_file() and not file.is_symlink())
