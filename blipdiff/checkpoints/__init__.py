"""Models on disk, in every layout they were published in: load, save, convert."""

import warnings
from pathlib import Path
from typing import Any, Literal

import torch

from blipdiff.checkpoints import diffusers_layout, lavis_layout
from blipdiff.checkpoints.additions import Additions, added
from blipdiff.checkpoints.detect import found
from blipdiff.checkpoints.finetuned import cached_subject, overlaid
from blipdiff.checkpoints.needed import ANY, Wanted
from blipdiff.conditioning.subject import SubjectEmbedding
from blipdiff.devices import STORED, AskedDtype, dtype_for
from blipdiff.errors import CheckpointError, ConfigError
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.models.identity import fingerprint

__all__ = ["Additions", "SaveLayout", "convert", "fingerprint", "load_model", "load_model_and_subject", "save_model"]

SaveLayout = Literal["diffusers", "lavis"]


def load_model(
    source: str | Path,
    *,
    dtype: AskedDtype = None,
    device: torch.device | str = "cpu",
    download: bool = False,
    qformer_tokenizer: str | Path | None = None,
    configs_from: str | Path | None = None,
    base: str | Path | None = None,
    additions: Additions | None = None,
    wanted: Wanted = ANY,
) -> BlipDiffusion:
    """A model from "mini", a folder in the hub's or LAVIS's layout, a LAVIS archive or fine-tuned file, or a hub id.

    `dtype` None or "auto" is the fastest on `device`, "stored" that of the file. `qformer_tokenizer` is a folder with
    vocab.txt, `configs_from` a hub-layout folder that lends sizes and tokenizers to a LAVIS checkpoint, `base` the
    model under a fine-tuned file, `additions` what goes on it: LoRAs and the like, `wanted` which of its files.
    Raises: CheckpointError.
    """
    if additions:
        model = load_model(
            source,
            dtype=STORED,
            download=download,
            qformer_tokenizer=qformer_tokenizer,
            configs_from=configs_from,
            base=base,
            wanted=wanted,
        )
        return added(model, additions, dtype=dtype_for(dtype, device), device=device, download=download)
    return load_model_and_subject(
        source,
        dtype=dtype,
        device=device,
        download=download,
        qformer_tokenizer=qformer_tokenizer,
        configs_from=configs_from,
        base=base,
        wanted=wanted,
    )[0]


def load_model_and_subject(
    source: str | Path,
    *,
    dtype: AskedDtype = None,
    device: torch.device | str = "cpu",
    download: bool = False,
    qformer_tokenizer: str | Path | None = None,
    configs_from: str | Path | None = None,
    base: str | Path | None = None,
    category: str = "subject",
    wanted: Wanted = ANY,
) -> tuple[BlipDiffusion, SubjectEmbedding | None]:
    """As `load_model`, with the subject that a fine-tuned LAVIS checkpoint was trained on, if it holds one.

    The checkpoint does not say the subject's `category`. Raises: CheckpointError.
    """
    shared: dict[str, Any] = {
        "dtype": dtype_for(dtype, device),
        "device": device,
        "qformer_tokenizer": None if qformer_tokenizer is None else Path(qformer_tokenizer),
    }
    lender = None if configs_from is None else Path(configs_from)
    words = shared["qformer_tokenizer"]
    with found(
        source, download=download, check=lambda folder: diffusers_layout.check(folder, words), wanted=wanted
    ) as model:
        if model.layout == "diffusers":
            return diffusers_layout.load(model.place, **shared, name=model.name, wanted=wanted), None
        if model.layout == "lavis":
            loaded = lavis_layout.load(model.place, **shared, configs_from=lender, name=model.name)
            cache = model.place / lavis_layout.CACHE
            return loaded, cached_subject(cache, loaded, category) if cache.is_file() else None
        if base is None:
            raise CheckpointError(
                f"{model.place} is a fine-tuned checkpoint: it holds only what was trained. "
                "Give the model that it was trained from as its base."
            )
        under = load_model(
            base, **shared | {"dtype": shared["dtype"] or STORED}, download=download, configs_from=lender
        )
        return overlaid(under, model.place, category)


def save_model(model: BlipDiffusion, folder: str | Path, layout: SaveLayout = "diffusers") -> None:
    """The model as a folder, whole or not at all.

    Raises: OutputError when the place cannot be written, ConfigError for an unknown layout.
    """
    writers = {"diffusers": diffusers_layout.save, "lavis": lavis_layout.save}
    if layout not in writers:
        raise ConfigError(f"The layout '{layout}' is not known; expected one of: {', '.join(writers)}.")
    words = [one.name for one in model.additions if one.kind == "embedding"]
    if words:
        warnings.warn(
            f"A model's folder has no place for embeddings; give those of {', '.join(words)} when it is loaded.",
            stacklevel=2,
        )
    writers[layout](model, Path(folder))


def convert(
    source: str | Path,
    target: str | Path,
    *,
    layout: SaveLayout = "diffusers",
    dtype: AskedDtype = STORED,
    download: bool = False,
    qformer_tokenizer: str | Path | None = None,
    configs_from: str | Path | None = None,
    base: str | Path | None = None,
) -> Path:
    """Any model that `load_model` reads, written to `target` in one of the two layouts; gives the folder.

    Raises: CheckpointError, OutputError, ConfigError for an unknown dtype.
    """
    model = load_model(
        source,
        dtype=STORED if dtype is None else dtype,
        download=download,
        qformer_tokenizer=qformer_tokenizer,
        configs_from=configs_from,
        base=base,
    )
    save_model(model, target, layout)
    return Path(target)
