"""Models that the recorded numbers were made with."""

from pathlib import Path

import pytest
from diffusers import UNet2DConditionModel

from blipdiff.checkpoints.configs import read_json
from blipdiff.checkpoints.key_rules import to_hub
from blipdiff.checkpoints.parts import fingerprinted, load_part, load_text_encoder, load_vae
from blipdiff.checkpoints.vocabularies import category_tokenizer, prompt_tokenizer
from blipdiff.images import PhotoSettings
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.models.sizes import QFormerSizes, SubjectEncoderSizes, VisionSizes


@pytest.fixture(scope="session")
def editing_model(shared: Path) -> BlipDiffusion:
    """The tiny model of the editing recordings: its Q-Former is under LAVIS's names, with a config.json of its own."""
    folder = shared / "editing" / "model"
    lavis = folder / "lavis_blip"
    config = read_json(lavis / "config.json")
    vit, words = config["vit"], config["qformer"]
    sizes = SubjectEncoderSizes(
        vision=VisionSizes(
            width=vit["width"],
            depth=vit["layers"],
            heads=vit["heads"],
            mlp_width=4 * vit["width"],
            patch=vit["patch_size"],
            picture=vit["image_size"],
            activation=vit["act"],
        ),
        qformer=QFormerSizes(
            width=words["hidden_size"],
            depth=words["layers"],
            heads=words["heads"],
            mlp_width=words["intermediate_size"],
            vocabulary=words["vocab_size"],
            positions=64,  # as the file has it; config.json is silent
            queries=words["num_query_tokens"],
            eps=words["layer_norm_eps"],
        ),
    )
    encoder, seen = fingerprinted(sizes, [lavis / "model.safetensors"], to_hub, None, "cpu")
    return BlipDiffusion(
        subject_encoder=encoder,
        text_encoder=load_text_encoder(folder / "text_encoder"),
        prompt_tokenizer=prompt_tokenizer(folder),
        category_tokenizer=category_tokenizer(folder, sizes.qformer.vocabulary, lavis),
        unet=load_part(folder / "unet", UNet2DConditionModel, "U-Net"),
        vae=load_vae(folder / "vae"),
        scheduler_config=read_json(folder / "scheduler" / "scheduler_config.json"),
        photo=PhotoSettings(),
        subject_fingerprint=seen,
        name="editing",
    )
