"""The layout of the original code (LAVIS): one file for each part, no sizes; and its fine-tuned checkpoints."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from blipdiff.checkpoints import configs
from blipdiff.checkpoints.agreements import agreed
from blipdiff.checkpoints.configs import read_json, write_json
from blipdiff.checkpoints.diffusers_layout import guidance_of, insert_at_of
from blipdiff.checkpoints.key_rules import old_vae_name, to_hub, to_lavis
from blipdiff.checkpoints.parts import fingerprinted, load_part, load_text_encoder, load_vae
from blipdiff.checkpoints.scheduler_fields import scheduler_config
from blipdiff.checkpoints.vocabularies import (
    category_tokenizer,
    prompt_tokenizer,
    save_category_tokenizer,
    save_prompt_tokenizer,
)
from blipdiff.checkpoints.weights import Rename, stored_shapes
from blipdiff.errors import CheckpointError
from blipdiff.images import PhotoSettings
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.models.sizes import SubjectEncoderSizes, TextSizes
from blipdiff.outputs import check_replaceable, files_of, written_folder
from blipdiff.ranges import USUAL_GUIDANCE

TRUNK = "clip_vit_L.pth"
SETTINGS = "settings.json"  # what the layout has no place for: only where it differs from the published model's
CACHE = Path("ctx_embeddings_cache") / "ctx_embeddings_cache.pt"


def load(
    folder: Path,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
    qformer_tokenizer: Path | None = None,
    configs_from: Path | None = None,
    name: str | None = None,
) -> BlipDiffusion:
    """The model in a LAVIS folder.

    Sizes come from config.json files beside the weights, else from `configs_from` (a folder in the hub's layout,
    which also lends its tokenizers), else they are those of the published model.
    Raises: CheckpointError for anything missing, damaged, of another shape or not finite.
    """
    lent = [] if configs_from is None else [configs_from]
    sizes = _subject_encoder_sizes(folder, configs_from)
    encoder, seen = fingerprinted(sizes, _subject_files(folder), _used(sizes.vision.depth), dtype, device)
    text = _config(folder, configs_from, "text_encoder")
    text_sizes = TextSizes() if text is None else configs.text_encoder_sizes(text)
    unet = _config(folder, configs_from, "unet") or configs.SD15_UNET
    vae = _config(folder, configs_from, "vae") or configs.SD15_VAE
    scheduler = _config(folder, configs_from, "scheduler", "scheduler_config.json") or configs.PNDM
    own = read_json(folder / SETTINGS) if (folder / SETTINGS).is_file() else {}
    return agreed(
        BlipDiffusion(
            subject_encoder=encoder,
            text_encoder=load_text_encoder(folder / "text_encoder", dtype, device, sizes=text_sizes),
            prompt_tokenizer=prompt_tokenizer(folder, lent),
            category_tokenizer=category_tokenizer(
                folder,
                sizes.qformer.vocabulary,
                qformer_tokenizer,
                besides=[place / "qformer_tokenizer" for place in lent],
            ),
            unet=load_part(folder / "unet", UNet2DConditionModel, "U-Net", dtype, device, config=unet),
            vae=load_vae(folder / "vae", dtype, device, config=vae),
            scheduler_config=scheduler_config(scheduler),
            photo=configs.photo_settings({"size": sizes.vision.picture}, own),
            subject_fingerprint=seen,
            insert_at=insert_at_of(own),
            guidance=guidance_of(own),
            name=name or folder.absolute().name,
        )
    )


def save(model: BlipDiffusion, folder: Path) -> None:
    """The model as a LAVIS folder, under the names that the original reads; sizes and tokenizers lie beside for us.

    Raises: OutputError when the place cannot be written, and CheckpointError for a model with a ControlNet.
    """
    if model.controlnet is not None:
        raise CheckpointError("The LAVIS layout has no place for a ControlNet; save in the diffusers layout.")
    encoder, text = model.subject_encoder, model.text_encoder
    with written_folder(folder) as place:
        if own := _own_settings(model):
            write_json(place / SETTINGS, own)
        write_json(place / "blip_model" / "config.json", configs.subject_encoder_config(encoder.sizes))
        write_json(place / "text_encoder" / "config.json", configs.text_encoder_config(text.sizes))
        write_json(place / "scheduler" / "scheduler_config.json", model.scheduler_config)
        model.unet.save_config(place / "unet")
        model.vae.save_config(place / "vae")
        save_prompt_tokenizer(model.prompt_tokenizer, place / "tokenizer")
        save_category_tokenizer(model.category_tokenizer, place / "qformer_tokenizer")
        configs.forget_places(place)
        weights = _weights(model)
        check_replaceable(folder, {*files_of(place), *weights})  # before gigabytes are written beside it
        for name, tensors in weights.items():
            _save_tensors(tensors, place / name)


def _weights(model: BlipDiffusion) -> dict[str, dict[str, Tensor]]:
    """The tensors under the original's names, by the files that hold them."""
    encoder, text = model.subject_encoder, model.text_encoder
    subject = {name: _without_batch(name, value) for name, value in encoder.state_dict().items()}
    projection = {name.partition(".")[2]: value for name, value in subject.items() if name.startswith("proj_layer.")}
    blip = {to_lavis(name) or name: value for name, value in subject.items() if not name.startswith("proj_layer.")}
    blip["Qformer.bert.embeddings.position_ids"] = torch.arange(encoder.sizes.qformer.positions)[None]
    words = dict(text.state_dict())
    words["text_model.embeddings.position_ids"] = torch.arange(text.sizes.positions)[None]
    return {
        "blip_model/blip_weight.pt": blip,
        "proj_layer/proj_weight.pt": projection,
        "text_encoder/pytorch_model.bin": words,
        "unet/diffusion_pytorch_model.bin": dict(model.unet.state_dict()),
        "vae/diffusion_pytorch_model.bin": {old_vae_name(name): one for name, one in model.vae.state_dict().items()},
    }


def _own_settings(model: BlipDiffusion) -> dict[str, Any]:
    """The settings in which a model differs from the published one, under the names of `model_index.json`."""
    usual = PhotoSettings()
    found: dict[str, tuple[Any, Any]] = {
        "guidance_scale": (model.guidance, USUAL_GUIDANCE),
        "ctx_begin_pos": (model.insert_at, 2),
        "mean": (model.photo.mean, usual.mean),
        "std": (model.photo.std, usual.std),
    }
    return {name: own for name, (own, published) in found.items() if own != published}


def _subject_files(folder: Path) -> list[Path]:
    """The files of the Q-Former and the projection; and of the vision trunk, where the Q-Former's lacks it.

    Raises: CheckpointError when the trunk is nowhere.
    """
    paths = [folder / "blip_model" / "blip_weight.pt", folder / "proj_layer" / "proj_weight.pt"]
    names = stored_shapes(paths, to_hub)
    if "query_tokens" not in names or any(name.startswith("visual_encoder.encoder.") for name in names):
        return paths
    trunk = folder / "blip_model" / TRUNK
    if not trunk.is_file():
        raise CheckpointError(
            f"{paths[0]} has no vision trunk: the tensors of CLIP ViT-L/14 were left out when it was saved. "
            f"Put the original's {TRUNK} beside it."
        )
    return [*paths, trunk]


def _used(depth: int) -> Rename:
    """The hub's names, without the last block of a whole CLIP, which the method does not use."""

    def rename(name: str) -> str | None:
        hub = to_hub(name)
        return None if hub is not None and hub.startswith(f"visual_encoder.encoder.layers.{depth}.") else hub

    return rename


def _subject_encoder_sizes(folder: Path, configs_from: Path | None) -> SubjectEncoderSizes:
    if (folder / "blip_model" / "config.json").is_file():
        return configs.subject_encoder_sizes(read_json(folder / "blip_model" / "config.json"))
    if configs_from is not None:
        return configs.subject_encoder_sizes(read_json(configs_from / "qformer" / "config.json"))
    return SubjectEncoderSizes()


def _config(folder: Path, configs_from: Path | None, part: str, file: str = "config.json") -> dict[str, Any] | None:
    for place in (folder, configs_from):
        if place is not None and (place / part / file).is_file():
            return read_json(place / part / file)
    return None


def _without_batch(name: str, value: Tensor) -> Tensor:
    """LAVIS keeps the trunk's class row and positions without leading axes of length 1."""
    if re.fullmatch(r"visual_encoder\.embeddings\.class_embedding", name):
        return value.reshape(-1)
    return value[0] if name == "visual_encoder.embeddings.position_embedding" else value


def _save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.save({name: _alone(value) for name, value in tensors.items()}, path)
    except RuntimeError as reason:  # what torch raises on a full disk
        raise OSError(str(reason).splitlines()[0]) from reason


def _alone(value: Tensor) -> Tensor:
    """A tensor that owns exactly its storage: torch.save would write the whole mapped file for a part of it."""
    value = value.detach().cpu().contiguous()
    return value if value.untyped_storage().nbytes() == value.nbytes else value.clone()
