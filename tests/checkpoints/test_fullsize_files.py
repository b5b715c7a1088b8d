"""Files of full size, without memory for them: every name of Stable Diffusion 1.5 finds its place."""

from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import nn

from blipdiff.checkpoints.configs import SD15_UNET, SD15_VAE
from blipdiff.checkpoints.given_files import GivenFile
from blipdiff.checkpoints.kinds import kind_of
from blipdiff.checkpoints.lora_names import changes_in
from blipdiff.checkpoints.single_file import text_encoder_in, unet_in, vae_in
from blipdiff.models.context_text_encoder import ContextTextEncoder
from blipdiff.models.sizes import TextSizes
from tests.support.original_names import to_ldm_unet, to_ldm_vae


@pytest.fixture(scope="module")
def nets() -> dict[str, nn.Module]:
    with torch.device("meta"):
        return {
            "unet": UNet2DConditionModel(**SD15_UNET),
            "text_encoder": ContextTextEncoder(TextSizes()),
            "vae": AutoencoderKL(**SD15_VAE),
        }


def test_a_checkpoint_in_one_file_is_all_of_its_parts(nets: dict[str, nn.Module]) -> None:
    own = {part: net.state_dict() for part, net in nets.items()}
    file = {f"model.diffusion_model.{name}": one for name, one in to_ldm_unet(own["unet"], 2).items()}
    file |= {f"cond_stage_model.transformer.{name}": one for name, one in own["text_encoder"].items()}
    file |= {f"first_stage_model.{name}": one for name, one in to_ldm_vae(own["vae"]).items()}
    assert len(file) == 686 + 196 + 248
    known = (  # names that the published file has
        "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight",
        "model.diffusion_model.output_blocks.5.2.conv.weight",
        "model.diffusion_model.middle_block.2.out_layers.3.bias",
        "first_stage_model.encoder.mid.attn_1.q.weight",
        "first_stage_model.decoder.up.3.upsample.conv.weight",
    )
    assert set(known) <= set(file)
    assert kind_of(file).text == "a checkpoint of Stable Diffusion 1.5"
    for found, part in (
        (unet_in(file, nets["unet"].config), "unet"),
        (text_encoder_in(file), "text_encoder"),
        (vae_in(file, 4), "vae"),
    ):
        assert {name: tuple(one.shape) for name, one in found.items()} == {
            name: tuple(one.shape) for name, one in own[part].items()
        }


def test_a_lora_of_every_layer_finds_each_of_them(nets: dict[str, nn.Module]) -> None:
    wanted: dict[str, list[str]] = {"unet": [], "text_encoder": []}
    file: dict[str, torch.Tensor] = {}
    for part, names in wanted.items():
        for name, layer in nets[part].named_modules():
            if isinstance(layer, nn.Linear | nn.Conv2d):
                names.append(name)
                stem = f"lora_{'unet' if part == 'unet' else 'te'}_{name.replace('.', '_')}"
                file |= {f"{stem}.lora_down.weight": torch.ones(1, 1), f"{stem}.lora_up.weight": torch.ones(1, 1)}
    found = changes_in(GivenFile(Path("all.safetensors"), file), {part: nets[part] for part in wanted})
    assert {part: list(changes) for part, changes in found.items()} == wanted
    assert len(file) == 2 * (len(wanted["unet"]) + len(wanted["text_encoder"]))
