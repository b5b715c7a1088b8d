"""Engines by name: what each is, which published weights it takes, how large they are, and how it is loaded."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import torch

from blipdiff.checkpoints.describer import BUNDLED_DESCRIBER, load_describer
from blipdiff.checkpoints.detect import folder_of, is_folder
from blipdiff.devices import Placement
from blipdiff.errors import CheckpointError, ConfigError
from blipdiff.language.answers import Engine


@dataclass(frozen=True, slots=True)
class Part:
    """A network that an engine needs: the published one that is taken where no other is given."""

    published: str  # hub id
    gigabytes: float  # of its weights, about
    about: str


@dataclass(frozen=True, slots=True)
class Kind:
    """An engine as people choose it; home: the module of its `load(name, folders, place)`."""

    about: str
    parts: Mapping[str, Part]
    home: str


MATCHER = Part("Salesforce/blip-itm-large-coco", 1.9, "BLIP's matcher")
CAPTIONER = Part("Salesforce/blip-image-captioning-large", 1.9, "BLIP's captioner")
_OPT = Part("Salesforce/blip2-opt-2.7b", 15, "BLIP-2 with OPT or Flan-T5")
ENGINES: Mapping[str, Kind] = {
    "mini-describe": Kind("Bundled; drawn things on plain ground: what, what colour, is it, which of these.", {}, ""),
    "blip-vqa": Kind(
        "BLIP trained on questions; short answers.",
        {"weights": Part("Salesforce/blip-vqa-base", 1.5, "BLIP for questions")},
        "blipdiff.language.vqa",
    ),
    "plug-and-play": Kind(
        "PnP-VQA: captions of what the question is about, read by a text model.",
        {
            "matcher": MATCHER,
            "captioner": CAPTIONER,
            "reader": Part("google/flan-t5-large", 3.1, "a T5 that reads captions"),
        },
        "blipdiff.language.plug_and_play",
    ),
    "blip-2": Kind(
        "BLIP-2: a language model that sees by a Q-Former.", {"weights": _OPT}, "blipdiff.language.conditional"
    ),
    "instructblip": Kind(
        "InstructBLIP: its Q-Former reads the question too.",
        {"weights": Part("Salesforce/instructblip-flan-t5-xl", 16, "InstructBLIP with Flan-T5 or Vicuna")},
        "blipdiff.language.conditional",
    ),
}


def load_engine(
    name: str = BUNDLED_DESCRIBER,
    *,
    weights: Mapping[str, str | Path] | None = None,
    place: Placement | None = None,
    download: bool = False,
) -> Engine:
    """The engine of this name, which was seen to look at photos.

    weights: folders or hub ids by part ("weights", or "matcher", "captioner", "reader"); the published ones if absent

    Raises: ConfigError for an unknown engine or part, CheckpointError for weights that are missing or do not fit.
    """
    kind, given = engine_kind(name), dict(weights or {})
    place = place or Placement(torch.device("cpu"), torch.float32)
    if name == BUNDLED_DESCRIBER:
        return _describer(given, place)
    unknown = sorted(set(given) - set(kind.parts))
    if unknown:
        raise ConfigError(f"{name} has no part {unknown[0]!r}; its parts are: {', '.join(kind.parts)}.")
    folders = {
        part: part_folder(name, of, given.get(part, of.published), download=download) for part, of in kind.parts.items()
    }
    load: Callable[..., Engine] = import_module(kind.home).load
    return load(name, folders, place)


def engine_kind(name: str) -> Kind:
    """Raises: ConfigError for an engine that there is none of."""
    if name not in ENGINES:
        raise ConfigError(f"There is no engine {name[:60]!r}; choose one of: {', '.join(ENGINES)}.")
    return ENGINES[name]


def part_folder(engine: str, part: Part, source: str | Path, *, download: bool) -> Path:
    """Where a part's network lies. Raises: CheckpointError that says what is missing, where from, and how large."""
    if str(source) == BUNDLED_DESCRIBER and engine == "plug-and-play":
        return Path(BUNDLED_DESCRIBER)
    try:
        return folder_of(source, download=download)
    except CheckpointError as reason:
        size = f", about {part.gigabytes:g} GB" if str(source) == part.published else ""
        raise CheckpointError(f"{engine} needs {part.about} ({str(source)[:200]}{size}). {reason}") from reason


def _describer(given: Mapping[str, str | Path], place: Placement) -> Engine:
    from blipdiff.language.mini import DescriberEngine

    if set(given) - {"weights"}:
        raise ConfigError(f"{BUNDLED_DESCRIBER} is one network; it takes no {' and no '.join(sorted(given))}.")
    source = given.get("weights", BUNDLED_DESCRIBER)
    if str(source) != BUNDLED_DESCRIBER and not is_folder(source):
        raise CheckpointError(f"There is no folder {str(source)[:200]} with a describer.")
    return DescriberEngine(load_describer(source, device=place.device))
