"""The hub's folder layout ("Salesforce/blipdiffusion"): one folder for each part, model_index.json beside them."""

import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from torch import nn

from blipdiff.checkpoints import configs
from blipdiff.checkpoints.agreements import agreed, check_words
from blipdiff.checkpoints.configs import read_json, write_json
from blipdiff.checkpoints.detail_adapter import (
    ADAPTER_FILES,
    FOLDER,
    detail_adapter_sizes,
    load_detail_adapter,
    save_detail_adapter,
)
from blipdiff.checkpoints.fields import check as check_fields
from blipdiff.checkpoints.needed import ANY, Wanted, check_variant
from blipdiff.checkpoints.part_fields import INDEX
from blipdiff.checkpoints.parts import (
    known_config,
    load_controlnet,
    load_part,
    load_subject_encoder,
    load_text_encoder,
    load_vae,
)
from blipdiff.checkpoints.scheduler_fields import scheduler_config
from blipdiff.checkpoints.step_tables import STEPS_FILE, step_tables, write_step_tables
from blipdiff.checkpoints.vocabularies import (
    category_tokenizer,
    prompt_tokenizer,
    save_category_tokenizer,
    save_prompt_tokenizer,
)
from blipdiff.checkpoints.weights import merged_tensors, save_weights
from blipdiff.errors import CheckpointError
from blipdiff.images import PhotoSettings
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.models.sizes import SubjectEncoderSizes
from blipdiff.outputs import check_replaceable, files_of, written_folder
from blipdiff.ranges import MOST_GUIDANCE, USUAL_GUIDANCE


def load(
    folder: Path,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
    qformer_tokenizer: Path | None = None,
    name: str | None = None,
    wanted: Wanted = ANY,
) -> BlipDiffusion:
    """The model in a folder; weights stay memory-mapped where dtype and device are those of the file.

    Raises: CheckpointError for anything missing, damaged, of another shape or not finite.
    """
    check_configs(folder)
    _check_variant(folder, wanted)
    index = read_json(folder / "model_index.json")
    encoder, seen = load_subject_encoder(folder / "qformer", dtype, device, wanted=wanted)
    photo = _photo(folder, index, encoder.sizes)
    schedule = scheduler_config(read_json(folder / "scheduler" / "scheduler_config.json"))
    return agreed(
        BlipDiffusion(
            subject_encoder=encoder,
            text_encoder=load_text_encoder(folder / "text_encoder", dtype, device, wanted=wanted),
            prompt_tokenizer=prompt_tokenizer(folder),
            category_tokenizer=category_tokenizer(folder, encoder.sizes.qformer.vocabulary, qformer_tokenizer),
            unet=load_part(folder / "unet", UNet2DConditionModel, "U-Net", dtype, device, wanted=wanted),
            vae=load_vae(folder / "vae", dtype, device, wanted=wanted),
            scheduler_config=schedule,
            step_tables=step_tables(folder, schedule),
            photo=photo,
            subject_fingerprint=seen,
            insert_at=insert_at_of(index),
            guidance=guidance_of(index),
            name=name or folder.absolute().name,
            controlnet=load_controlnet(folder / "controlnet", dtype, device, wanted=wanted)
            if (folder / "controlnet").is_dir()
            else None,
            detail_adapter=load_detail_adapter(folder / FOLDER, dtype, device) if (folder / FOLDER).is_dir() else None,
        )
    )


def check(folder: Path, qformer_tokenizer: Path | None = None) -> None:
    """Passes when the small files of a model's folder are right, whether its weights are there yet or not.

    Raises: CheckpointError, as `load`.
    """
    words, categories = check_configs(folder)
    check_words(prompt_tokenizer(folder), words, "prompts")
    check_words(category_tokenizer(folder, categories, qformer_tokenizer), categories, "categories")


def check_configs(folder: Path) -> tuple[int, int]:
    """How many words the text encoder and the Q-Former know, when every configuration in the folder is right.

    Raises: CheckpointError naming the first field that is not.
    """
    index = read_json(folder / "model_index.json")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is left out is told when the part is loaded
        encoder = configs.subject_encoder_sizes(read_json(folder / "qformer" / "config.json"))
    _photo(folder, index, encoder)
    insert_at_of(index)
    guidance_of(index)
    text = configs.text_encoder_sizes(read_json(folder / "text_encoder" / "config.json"))
    vae = read_json(folder / "vae" / "config.json")
    known_config(configs.without_derived(vae), configs.vae_class(vae), folder / "vae", "VAE")
    known_config(read_json(folder / "unet" / "config.json"), UNet2DConditionModel, folder / "unet", "U-Net")
    if (folder / "controlnet").is_dir():
        known_config(
            read_json(folder / "controlnet" / "config.json"), ControlNetModel, folder / "controlnet", "ControlNet"
        )
    if (folder / FOLDER).is_dir():
        detail_adapter_sizes(read_json(folder / FOLDER / "config.json"))
    step_tables(folder, scheduler_config(read_json(folder / "scheduler" / "scheduler_config.json")))
    return text.vocabulary, encoder.qformer.vocabulary


def save(model: BlipDiffusion, folder: Path) -> None:
    """The model as a folder that `load` and diffusers' own loaders read: whole, or not at all.

    Raises: OutputError when the place cannot be written or holds something else.
    """
    for net in (model.unet, model.text_encoder):
        merged_tensors(net)
    weights = _weights(model)
    with written_folder(folder) as place:
        _save_small(model, place)
        check_replaceable(folder, _names(model, place))  # before gigabytes are written beside it
        for name, net in weights.items():
            save_weights(net, place / name)
        if model.detail_adapter is not None:
            save_detail_adapter(model.detail_adapter, place / FOLDER)
        configs.forget_places(place)


def check_place(model: BlipDiffusion, folder: Path) -> None:
    """Passes where `save` can take the place of `folder`, asked before long work. Raises: OutputError where it cannot.

    The steps that are yet to be fitted to the model are counted in.
    """
    with tempfile.TemporaryDirectory() as place:
        _save_small(model, Path(place))
        check_replaceable(folder, {*_names(model, Path(place)), STEPS_FILE})


def _weights(model: BlipDiffusion) -> dict[str, nn.Module]:
    """The networks by the files that hold them."""
    stored = "diffusion_pytorch_model.safetensors"
    parts = {"unet": model.unet, "vae": model.vae, "controlnet": model.controlnet}
    return {
        "qformer/model.safetensors": model.subject_encoder,
        "text_encoder/model.safetensors": model.text_encoder,
        **{f"{name}/{stored}": part for name, part in parts.items() if part is not None},
    }


def _names(model: BlipDiffusion, place: Path) -> set[str]:
    """The files that `save` writes: those that stand in `place` already, and the large ones."""
    adapter = () if model.detail_adapter is None else ADAPTER_FILES
    return {*files_of(place), *_weights(model), *adapter}


def _save_small(model: BlipDiffusion, place: Path) -> None:
    """Everything but the weights."""
    index = configs.model_index(
        model.insert_at, model.scheduler_config, model.vae, with_controlnet=model.controlnet is not None
    )
    if model.guidance != USUAL_GUIDANCE:
        index["guidance_scale"] = model.guidance
    write_json(place / "model_index.json", index)
    write_json(place / "image_processor" / "preprocessor_config.json", configs.photo_config(model.photo))
    write_json(place / "scheduler" / "scheduler_config.json", model.scheduler_config)
    if model.step_tables is not None:
        write_step_tables(model.step_tables, place / STEPS_FILE)
    save_prompt_tokenizer(model.prompt_tokenizer, place / "tokenizer")
    save_category_tokenizer(model.category_tokenizer, place / "qformer_tokenizer")
    write_json(place / "qformer" / "config.json", configs.subject_encoder_config(model.subject_encoder.sizes))
    write_json(place / "text_encoder" / "config.json", configs.text_encoder_config(model.text_encoder.sizes))
    for name, part in (("unet", model.unet), ("vae", model.vae), ("controlnet", model.controlnet)):
        if part is not None:
            part.save_config(place / name)
    path = place / "vae" / "config.json"
    write_json(path, configs.without_derived(read_json(path)))


def _check_variant(folder: Path, wanted: Wanted) -> None:
    try:
        check_variant([path.relative_to(folder).as_posix() for path in folder.glob("*/*")], wanted)
    except CheckpointError as reason:
        raise CheckpointError(f"{folder} does not do: {reason}.") from None


def _photo(folder: Path, index: Mapping[str, Any], sizes: SubjectEncoderSizes) -> PhotoSettings:
    photo = configs.photo_settings(read_json(folder / "image_processor" / "preprocessor_config.json"), index)
    if photo.side != sizes.vision.picture:
        raise CheckpointError(
            f"The picture settings say {photo.side} pixels a side, the vision trunk takes {sizes.vision.picture}; "
            "the files belong to different checkpoints."
        )
    return photo


def insert_at_of(index: Mapping[str, Any]) -> int:
    """The slot of the subject's first row. Raises: CheckpointError for what is no place."""
    check_fields(index, INDEX, "model_index.json")
    return int(index.get("ctx_begin_pos", 2))


def guidance_of(index: Mapping[str, Any]) -> float:
    """The guidance that serves the model best. Raises: CheckpointError for what is no scale."""
    scale = index.get("guidance_scale", USUAL_GUIDANCE)
    if isinstance(scale, bool) or not isinstance(scale, int | float) or not 0 <= scale <= MOST_GUIDANCE:
        raise CheckpointError(f"'guidance_scale' of the checkpoint is {scale!r}; it goes from 0 to {MOST_GUIDANCE:g}.")
    return float(scale)
