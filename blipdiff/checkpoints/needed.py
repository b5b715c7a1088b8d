"""Which files of a folder or a hub's listing are needed: each part in one format; everything missing is named."""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from blipdiff.errors import CheckpointError, listed

Names: TypeAlias = Collection[str]
Choice: TypeAlias = Callable[[Names], list[str]]  # the needed names among those of a listing

WEIGHT_SUFFIXES = (".safetensors", ".bin", ".pt")  # in this order
TRANSFORMERS_STEMS = ("model", "pytorch_model")
DIFFUSERS_STEMS = ("diffusion_pytorch_model",)

_PARTS = {
    "qformer": TRANSFORMERS_STEMS,
    "text_encoder": TRANSFORMERS_STEMS,
    "unet": DIFFUSERS_STEMS,
    "vae": DIFFUSERS_STEMS,
}
_OPTIONAL = ("controlnet", "detail_adapter")
_ALONE = ("model_index.json", "image_processor/preprocessor_config.json", "scheduler/scheduler_config.json")
_BESIDE = ("scheduler/steps.json",)  # where there are such
_HALVES = ("fp16", "bf16")  # variants that are taken unasked where there is nothing else
_TOKENIZERS = ("tokenizer/", "qformer_tokenizer/")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which of a model's files are wanted, and from where on the hub.

    variant: "fp16" for model.fp16.safetensors; use_safetensors: True for those alone, False for none of them;
    revision: a branch, a tag or a commit; token: True for the one that is kept on this machine
    """

    variant: str | None = None
    use_safetensors: bool | None = None
    revision: str | None = None
    cache_dir: str | Path | None = None
    token: str | bool | None = None

    @property
    def suffixes(self) -> tuple[str, ...]:
        """The endings of weights, in the order in which they are looked for."""
        if self.use_safetensors is None:
            return WEIGHT_SUFFIXES
        return WEIGHT_SUFFIXES[:1] if self.use_safetensors else WEIGHT_SUFFIXES[1:]


ANY = Wanted()


@dataclass(frozen=True, slots=True)
class StoredNames:
    """How one part's weights may be called: as one file, or as several that an index names."""

    stem: str
    variant: str | None
    suffix: str

    @property
    def whole(self) -> str:
        return f"{self.stem}{self._dotted}{self.suffix}"

    @property
    def index(self) -> str:
        return f"{self.stem}{self.suffix}.index{self._dotted}.json"

    @property
    def split(self) -> re.Pattern[str]:
        """Of one file of several; older versions of diffusers wrote the variant behind the number."""
        stem, variant, suffix = (re.escape(one) for one in (self.stem, self._dotted, self.suffix))
        number = r"-\d+-of-(?:\d+)"
        return re.compile(f"{stem}{variant}{number}{suffix}|{stem}{number}{variant}{suffix}")

    @property
    def _dotted(self) -> str:
        return f".{self.variant}" if self.variant else ""


def stored_names(stems: Sequence[str], wanted: Wanted = ANY) -> Iterator[StoredNames]:
    """What is looked for, in this order: the variant that is wanted, full precision in any format, half precision."""
    for variant in dict.fromkeys((wanted.variant, None, *(() if wanted.variant else _HALVES))):
        for suffix in wanted.suffixes:
            for stem in stems:
                yield StoredNames(stem, variant, suffix)


def check_variant(names: Names, wanted: Wanted) -> None:
    """Raises: CheckpointError where a variant is wanted that no part of a model has."""
    if wanted.variant is None or any(f".{wanted.variant}." in name or f".{wanted.variant}-" in name for name in names):
        return
    found = {match[1] for name in names if (match := re.search(r"\.(fp16|bf16|fp32|non_ema)[.-]", name))}
    there = f"it has {', '.join(sorted(found))}" if found else "leave variant out"
    raise CheckpointError(f"there are no weights of the variant '{wanted.variant}' in it; {there}")


def model_files(names: Names, wanted: Wanted = ANY) -> list[str]:
    """What a model in the hub's layout needs; its ControlNet and the Q-Former's vocabulary where they are listed.

    Raises: CheckpointError naming every needed file that is not listed.
    """
    if "model_index.json" not in names:
        raise CheckpointError("there is no model_index.json in it, so it is no BLIP-Diffusion model")
    check_variant(names, wanted)
    chosen = [name for name in _ALONE if name in names]
    missing = [name for name in _ALONE if name not in names]
    parts = _PARTS | {part: DIFFUSERS_STEMS for part in _OPTIONAL if any(name.startswith(f"{part}/") for name in names)}
    for part, stems in parts.items():
        found, lacking = _part(names, f"{part}/", stems, wanted)
        chosen += found
        missing += lacking
    chosen += [name for name in _BESIDE if name in names]
    chosen += [name for name in names if name.startswith(_TOKENIZERS) and name.endswith((".json", ".txt"))]
    if "tokenizer/tokenizer.json" not in names:
        missing += [name for name in ("tokenizer/vocab.json", "tokenizer/merges.txt") if name not in names]
    return _complete(chosen, missing)


def control_files(names: Names) -> list[str]:
    """What a ControlNet or T2I-Adapter needs: its own repository, or the folder `controlnet` of a pipeline's.

    Raises: CheckpointError naming what is not listed.
    """
    folder = "" if "config.json" in names or "controlnet/config.json" not in names else "controlnet/"
    return _complete(*_part(names, folder, DIFFUSERS_STEMS))


def network_files(names: Names) -> list[str]:
    """What a network of transformers needs: its settings and words, and its weights in one format.

    Raises: CheckpointError naming what is not listed.
    """
    chosen, missing = _part(names, "", TRANSFORMERS_STEMS)
    own = [name for name in names if "/" not in name or name.startswith(_TOKENIZERS)]
    settings = [name for name in own if name.endswith((".json", ".txt", ".model"))]
    return _complete([*chosen, *(name for name in settings if ".index." not in name)], missing)


def weights_among(names: Names, folder: str, stems: Sequence[str], wanted: Wanted = ANY) -> list[str]:
    """The weights of one part, those that are read first; all its files where it was split; [] for none."""
    own = [name.removeprefix(folder) for name in names if name.startswith(folder)]
    for stored in stored_names(stems, wanted):
        files = [name for name in own if stored.split.fullmatch(name)]
        if stored.index in own and _all(files):
            return [f"{folder}{stored.index}", *(f"{folder}{name}" for name in sorted(files))]
        if stored.whole in own:
            return [f"{folder}{stored.whole}"]
    return []


def _part(names: Names, folder: str, stems: Sequence[str], wanted: Wanted = ANY) -> tuple[list[str], list[str]]:
    config = f"{folder}config.json"
    weights = weights_among(names, folder, stems, wanted)
    missing = [] if config in names else [config]
    ending = {None: ".safetensors (or .bin)", True: ".safetensors", False: ".bin"}[wanted.use_safetensors]
    missing += [] if weights else [f"{folder}{stems[0]}{ending}"]
    return [*([config] if config in names else []), *weights], missing


def _all(files: Sequence[str]) -> bool:
    """Whether the files that a part was split into are all there, as they count themselves."""
    counts = {int(found[1]) for file in files if (found := re.search(r"-of-(\d+)", file))}
    return counts == {len(files)}


def _complete(chosen: Sequence[str], missing: Sequence[str]) -> list[str]:
    if missing:
        raise CheckpointError(f"these are not in it: {listed(list(missing))}")
    return list(dict.fromkeys(chosen))
