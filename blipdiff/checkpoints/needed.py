"""Which files of a hub's listing are needed: each part in one format, and everything that is missing is named."""

import re
from collections.abc import Callable, Collection, Sequence
from typing import TypeAlias

from blipdiff.errors import CheckpointError, listed

Names: TypeAlias = Collection[str]
Choice: TypeAlias = Callable[[Names], list[str]]  # the needed names among those of a listing

WEIGHT_SUFFIXES = (".safetensors", ".bin", ".pt")  # in this order
TRANSFORMERS_STEMS = ("model", "pytorch_model")
DIFFUSERS_STEMS = ("diffusion_pytorch_model", "diffusion_pytorch_model.fp16")

_PARTS = {
    "qformer": TRANSFORMERS_STEMS,
    "text_encoder": TRANSFORMERS_STEMS,
    "unet": DIFFUSERS_STEMS,
    "vae": DIFFUSERS_STEMS,
}
_ALONE = ("model_index.json", "image_processor/preprocessor_config.json", "scheduler/scheduler_config.json")
_TOKENIZERS = ("tokenizer/", "qformer_tokenizer/")


def model_files(names: Names) -> list[str]:
    """What a model in the hub's layout needs; its ControlNet and the Q-Former's vocabulary where they are listed.

    Raises: CheckpointError naming every needed file that is not listed.
    """
    if "model_index.json" not in names:
        raise CheckpointError("there is no model_index.json in it, so it is no BLIP-Diffusion model")
    chosen = [name for name in _ALONE if name in names]
    missing = [name for name in _ALONE if name not in names]
    parts = _PARTS | ({"controlnet": DIFFUSERS_STEMS} if any(name.startswith("controlnet/") for name in names) else {})
    for part, stems in parts.items():
        found, lacking = _part(names, f"{part}/", stems)
        chosen += found
        missing += lacking
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
    settings = [name for name in names if "/" not in name and name.endswith((".json", ".txt"))]
    return _complete([*chosen, *(name for name in settings if ".index." not in name)], missing)


def weights_among(names: Names, folder: str, stems: Sequence[str]) -> list[str]:
    """The weights of one part, in the format that is read first; all its files where it was split; [] for none."""
    for suffix in WEIGHT_SUFFIXES:
        for stem in stems:
            whole = f"{folder}{stem}{suffix}"
            split = re.compile(re.escape(f"{folder}{stem}") + r"-\d+-of-(\d+)" + re.escape(suffix))
            files = [name for name in names if split.fullmatch(name)]
            if f"{whole}.index.json" in names and _all(files, split):
                return [f"{whole}.index.json", *sorted(files)]
            if whole in names:
                return [whole]
    return []


def _part(names: Names, folder: str, stems: Sequence[str]) -> tuple[list[str], list[str]]:
    config = f"{folder}config.json"
    weights = weights_among(names, folder, stems)
    missing = [] if config in names else [config]
    missing += [] if weights else [f"{folder}{stems[0]}.safetensors (or .bin)"]
    return [*([config] if config in names else []), *weights], missing


def _all(files: Sequence[str], split: re.Pattern[str]) -> bool:
    """Whether the files that a part was split into are all there, as they count themselves."""
    counts = {int(found[1]) for file in files if (found := split.fullmatch(file))}
    return counts == {len(files)}


def _complete(chosen: Sequence[str], missing: Sequence[str]) -> list[str]:
    if missing:
        raise CheckpointError(f"these are not in it: {listed(list(missing))}")
    return list(dict.fromkeys(chosen))
