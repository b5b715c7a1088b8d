"""ControlNets in single files: as lllyasviel and others publish them, by their names, and what is none."""

from pathlib import Path

import pytest
import torch
from diffusers import ControlNetModel
from diffusers.loaders.single_file_utils import convert_controlnet_checkpoint
from safetensors.torch import save, save_file
from torch import Tensor

from blipdiff.checkpoints.controls import control_fingerprint, control_place, load_control, save_control
from blipdiff.checkpoints.given_control import given_control
from blipdiff.checkpoints.original_names import original_control_name
from blipdiff.control.net_names import map_of_control
from blipdiff.diffusers_types import ControlNet
from blipdiff.errors import CheckpointError
from tests.support.original_names import to_ldm_control
from tests.support.tiny_models import tiny_controlnet, tiny_model

SD15_HINTS = 6


def written(net: ControlNet, path: Path, *, prefix: str = "control_model.", original: bool = True) -> Path:
    """The net in one file; beside it in a .pth what training has left there."""
    named = to_ldm_control(net.state_dict(), net.config.layers_per_block) if original else net.state_dict()
    tensors = {f"{prefix}{name}": value.contiguous() for name, value in named.items()}
    if path.suffix == ".safetensors":
        save_file(tensors, path)
    else:
        torch.save({"state_dict": tensors | {"model.diffusion_model.out.2.bias": torch.ones(4)}}, path)
    return path


def settings(net: ControlNet) -> dict[str, object]:
    told = {key: list(value) if isinstance(value, tuple) else value for key, value in net.config.items()}
    return {key: value for key, value in told.items() if not key.startswith("_")}


@pytest.mark.parametrize(
    ("name", "prefix", "original"),
    [
        ("control_v11p_sd15_canny.pth", "control_model.", True),
        ("control_sd15_canny_fp16.safetensors", "control_model.", True),
        ("control_v11p_sd15_canny_pruned.safetensors", "", True),
        ("diffusion_pytorch_model.safetensors", "", False),
    ],
)
def test_a_file_is_the_net_that_its_folder_is(tmp_path: Path, name: str, prefix: str, original: bool) -> None:
    net = tiny_controlnet()
    path = written(net, tmp_path / name, prefix=prefix, original=original)
    found = load_control(path, unet_config=tiny_model().unet.config)
    assert settings(found) == settings(net)
    assert all(torch.equal(value, found.state_dict()[key]) for key, value in net.state_dict().items())
    save_control(net, tmp_path / "folder")
    assert control_fingerprint(path) == control_fingerprint(tmp_path / "folder")
    assert load_control(path, dtype=torch.bfloat16, unet_config=tiny_model().unet.config).dtype == torch.bfloat16


def test_a_folder_with_one_file_in_it_is_that_file(tmp_path: Path) -> None:
    path = written(tiny_controlnet(), tmp_path / "net.safetensors")
    assert control_place(tmp_path) == path
    written(tiny_controlnet(), tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match=r"give one of its files: net.safetensors, other.safetensors"):
        control_place(tmp_path)
    save_control(tiny_controlnet(), tmp_path / "folder")
    inner = tmp_path / "folder" / "diffusion_pytorch_model.safetensors"
    assert control_place(inner) == tmp_path / "folder"  # where its configuration lies


def test_every_name_of_full_size_is_the_one_that_diffusers_gives() -> None:
    with torch.device("meta"):
        net = ControlNetModel(cross_attention_dim=768)
    names = net.state_dict()
    stored = {original_control_name(name, 2, SD15_HINTS): value for name, value in names.items()}
    assert stored["input_hint_block.14.weight"].shape == (320, 256, 3, 3)
    assert len(stored) == len(names) == 340
    theirs = convert_controlnet_checkpoint(dict(stored), {"layers_per_block": 2})
    assert {name for name, value in theirs.items() if value is not None} == set(names)
    assert all(theirs[name] is stored[original_control_name(name, 2, SD15_HINTS)] for name in names)


def test_diffusers_reads_the_same_net_of_a_file(tmp_path: Path) -> None:
    shape = {"block_out_channels": (32, 32, 32, 32), "cross_attention_dim": 16, "attention_head_dim": 8}
    torch.manual_seed(0)
    net = ControlNetModel(**shape).eval()
    net.save_pretrained(tmp_path / "folder")
    path = written(net, tmp_path / "control_v11p_sd15_canny.safetensors")
    theirs = ControlNetModel.from_single_file(str(path), config=str(tmp_path / "folder"), local_files_only=True)
    ours = load_control(path)
    asked = (torch.randn(1, 4, 16, 16), torch.tensor(500), torch.randn(1, 7, 16), torch.rand(1, 3, 128, 128))
    with torch.no_grad():
        mine, wanted = (one(*asked, return_dict=False) for one in (ours, theirs.eval()))
    assert all(torch.equal(a, b) for a, b in zip(mine[0], wanted[0], strict=True)) and torch.equal(mine[1], wanted[1])


def test_a_shuffle_net_pools_what_it_sees(tmp_path: Path) -> None:
    path = written(tiny_controlnet(), tmp_path / "control_v11e_sd15_shuffle.pth")
    assert load_control(path, unet_config=tiny_model().unet.config).config.global_pool_conditions is True


@pytest.mark.parametrize(
    ("name", "drawn"),
    [
        ("control_v11p_sd15_canny.pth", "canny"),
        ("control_v11f1p_sd15_depth_fp16.safetensors", "depth"),
        ("control_v11p_sd15_normalbae.pth", "normals"),
        ("control_v11p_sd15_lineart.pth", "lineart"),
        ("control_v11p_sd15s2_lineart_anime.pth", "lineart-anime"),
        ("control_v11p_sd15_mlsd.pth", "mlsd"),
        ("control_v11p_sd15_openpose.pth", "pose"),
        ("control_v11p_sd15_scribble.pth", "scribble"),
        ("control_v11p_sd15_seg.pth", "segmentation"),
        ("control_v11p_sd15_softedge.pth", "soft-edge"),
        ("control_v11p_sd15_inpaint.pth", "inpaint"),
        ("control_v11f1e_sd15_tile.pth", "tile"),
        ("control_v11e_sd15_ip2p.pth", "none"),
        ("control_v11e_sd15_shuffle.pth", "none"),
        ("lllyasviel/sd-controlnet-hed", "hed"),
        ("C:\\nets\\control_v1p_sd15_qrcode_monster.safetensors", "none"),
        ("my_own_net.safetensors", None),
        ("edgar_based.safetensors", None),
        ("mini-depth", "relief"),
    ],
)
def test_a_nets_name_tells_which_map_it_reads(name: str, drawn: str | None) -> None:
    assert map_of_control(name) == drawn
    if name != "mini-depth":
        assert map_of_control(f"/nets/{name}") == drawn


def t(*shape: int) -> Tensor:
    return torch.ones(*shape)


HINT = {
    "control_model.input_hint_block.0.weight": t(16, 3, 3, 3),
    "control_model.input_blocks.0.0.weight": t(8, 4, 3, 3),
}
WORDS = "control_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
EXPECTED = "a ControlNet for Stable Diffusion 1.5 was expected"


@pytest.mark.parametrize(
    ("name", "kind", "content", "expected"),
    [
        ("xl.safetensors", "a ControlNet for Stable Diffusion XL", HINT | {WORDS: t(8, 2048)}, EXPECTED),
        (
            "xl2.safetensors",
            "a ControlNet for Stable Diffusion XL",
            {"controlnet_cond_embedding.conv_in.weight": t(8, 3, 3, 3), "add_embedding.linear_1.weight": t(8, 8)},
            EXPECTED,
        ),
        ("sd21.safetensors", "a ControlNet for Stable Diffusion 2", HINT | {WORDS: t(8, 1024)}, EXPECTED),
        (
            "union.safetensors",
            "a ControlNet union for Stable Diffusion XL",
            {
                "task_embedding": t(6, 8),
                "controlnet_cond_embedding.conv_in.weight": t(8, 3, 3, 3),
                "control_add_embedding.linear_1.weight": t(8, 8),
            },
            EXPECTED,
        ),
        (
            "flux.safetensors",
            "a ControlNet of a transformer model",
            {"controlnet_x_embedder.weight": t(8, 8), "controlnet_blocks.0.weight": t(8, 8)},
            EXPECTED,
        ),
        (
            "t2i.safetensors",
            "a T2I-Adapter",
            {"adapter.body.0.resnets.0.block1.weight": t(8, 8, 3, 3)},
            "its folder in diffusers' layout",
        ),
        (
            "lllite.safetensors",
            "a ControlLLLite for Stable Diffusion XL",
            {"lllite_unet_input_blocks_4_1_attn1_to_q.down.0.weight": t(8, 8)},
            EXPECTED,
        ),
        (
            "controllora.safetensors",
            "a Control-LoRA",
            {
                "lora_controlnet": t(1),
                "input_hint_block.0.weight": t(16, 3, 3, 3),
                "input_blocks.1.0.emb_layers.1.up": t(8, 8),
            },
            EXPECTED,
        ),
        ("lora.safetensors", "a LoRA for Stable Diffusion 1.5", {"lora_unet_x.lora_down.weight": t(2, 768)}, EXPECTED),
        (
            "checkpoint.safetensors",
            "a checkpoint of Stable Diffusion 1.5",
            {"model.diffusion_model.input_blocks.0.0.weight": t(8, 4, 3, 3)},
            EXPECTED,
        ),
        ("vae.safetensors", "a VAE", {"encoder.down.0.block.0.conv1.weight": t(8, 8, 3, 3)}, EXPECTED),
        (
            "ip.safetensors",
            "an IP-Adapter",
            {"ip_adapter.1.to_k_ip.weight": t(8, 8), "image_proj.norm.weight": t(8)},
            EXPECTED,
        ),
        ("words.safetensors", "an embedding for Stable Diffusion 1.5", {"emb_params": t(2, 768)}, EXPECTED),
        (
            "diff.safetensors",
            "kept as its difference from a base",
            HINT | {WORDS: t(8, 768), "difference": t(1)},
            EXPECTED,
        ),
        ("part.safetensors", "only in part", HINT, EXPECTED),
        ("odd.safetensors", "weights that are not known here", {"my.weight": t(2, 3, 4)}, EXPECTED),
        (
            "short.safetensors",
            "no whole ControlNet of Stable Diffusion 1.5",
            HINT | {WORDS: t(8, 768), "control_model.input_blocks.1.0.in_layers.2.weight": t(32, 32, 3, 3)},
            "missing: ",
        ),
        ("empty.pth", "an empty file", b"", "a weights file was expected"),
        ("page.pth", "a web page", b"<!DOCTYPE html>", "a weights file was expected"),
        ("cut.safetensors", "a whole file in safetensors", save(HINT)[:300], "damaged"),
    ],
)
def test_a_wrong_file_is_named(
    tmp_path: Path, name: str, kind: str, content: bytes | dict[str, Tensor], expected: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else save(content))
    with pytest.raises(CheckpointError) as found:
        given_control(path)
    text = str(found.value)
    assert kind in text and expected in text and name in text
    assert "\n" not in text and len(text) < 700
