"""LoRAs under the original's names of layers, LoHa, LoKr and convolutions in three parts: equal to other code."""

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from blipdiff.checkpoints.lora import Lora, with_loras
from blipdiff.checkpoints.lora_products import product
from blipdiff.checkpoints.original_names import original_unet_name
from blipdiff.errors import CheckpointError
from blipdiff.models.blip_diffusion import BlipDiffusion
from tests.support.brought import ALPHA, RANK, by_hand, factors, write_kohya
from tests.support.original_names import to_ldm_unet
from tests.support.studios import state
from tests.support.tiny_models import tiny_model

LINEAR = "down_blocks.0.attentions.0.transformer_blocks.0.ff.net.2"
CONV = "down_blocks.0.resnets.0.conv1"


@pytest.fixture
def model() -> BlipDiffusion:
    return tiny_model()


def weight_of(model: BlipDiffusion, name: str) -> Tensor:
    return model.unet.get_submodule(name).weight.detach().clone()  # type: ignore[union-attr, operator]


def test_layers_may_have_the_names_of_the_original(model: BlipDiffusion, tmp_path: Path) -> None:
    given = factors(model, ends=("to_q", "to_out.0", "conv1", "q_proj"))
    path = write_kohya(given, tmp_path / "one.safetensors")
    names = {f"{name}.weight": torch.zeros(1) for net, name in given if net == "unet"}
    renamed = dict(zip(names, to_ldm_unet(names | {"up_blocks.1.attentions.0.x": torch.zeros(1)}, 1), strict=False))
    stems = {
        f"lora_unet_{own.removesuffix('.weight').replace('.', '_')}": other.removesuffix(".weight").replace(".", "_")
        for own, other in renamed.items()
    }
    tensors = {}
    for name, one in load_file(path).items():
        stem, _, rest = name.partition(".")
        tensors[f"lora_unet_{stems[stem]}.{rest}" if stem in stems else name] = one
    assert any("input_blocks_1_1_transformer" in name for name in tensors)
    assert any("output_blocks" in name for name in tensors)
    save_file(tensors, path)
    wanted = by_hand(model, given, ALPHA / RANK)
    with with_loras(model, [Lora(str(path))]):
        for (net, name), one in wanted.items():
            found = {"unet": model.unet, "text_encoder": model.text_encoder}[net].get_submodule(name).weight
            assert float((found - one).abs().max()) < 1e-6


def test_every_name_of_full_size_goes_back_as_diffusers_converts_it() -> None:
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

    with torch.device("meta"):
        net = UNet2DConditionModel(cross_attention_dim=768)
    own = net.state_dict()
    stored = {f"model.diffusion_model.{original_unet_name(name, 2, {1, 2, 3})}": one for name, one in own.items()}
    assert len(stored) == len(own) == 686
    theirs = convert_ldm_unet_checkpoint(stored, dict(net.config))
    assert set(theirs) == set(own)
    assert all(theirs[name] is own[name] for name in own)


def pieces_of(layer: nn.Module) -> dict[str, Tensor]:
    """PEFT's own parameters of one adapter, with values that are not nothing."""
    found = {}
    for name, one in layer.named_parameters():
        if name.startswith(("hada_", "lokr_")):
            nn.init.normal_(one, std=0.5)
            found[name.split(".")[0]] = one.detach().clone()
    return found


@pytest.mark.parametrize("kind", ["LoHa", "LoKr"])
@pytest.mark.parametrize("of", ["linear", "conv", "tucker"])
def test_lohas_and_lokrs_add_what_peft_adds(model: BlipDiffusion, tmp_path: Path, kind: str, of: str) -> None:
    peft = pytest.importorskip("peft")
    name = LINEAR if of == "linear" else CONV
    settings: dict[str, Any] = {"r": 2, "alpha": 3.0, "target_modules": [name], "init_weights": False}
    settings["use_effective_conv2d"] = of == "tucker"
    if kind == "LoKr":
        settings |= {"r": 1, "decompose_both": of == "linear"}  # whole matrices have no rank, which PEFT overlooks
    torch.manual_seed(0)
    other = tiny_model().unet
    peft.inject_adapter_in_model(getattr(peft, f"{kind}Config")(**settings), other)
    layer = other.get_submodule(name)
    pieces = pieces_of(layer)
    wanted = weight_of(model, name) + layer.get_delta_weight("default").detach().reshape(weight_of(model, name).shape)
    stem = f"lora_unet_{name.replace('.', '_')}"
    tensors = {f"{stem}.{piece}": one.contiguous() for piece, one in pieces.items()} | {
        f"{stem}.alpha": torch.tensor(3.0)
    }
    save_file(tensors, tmp_path / "one.safetensors")
    before = state(model)
    with with_loras(model, [Lora(str(tmp_path / "one.safetensors"))]):
        assert float((weight_of(model, name) - wanted).abs().max()) < 1e-6
        assert float((wanted - tiny_model().unet.get_submodule(name).weight).abs().max()) > 1e-2
    assert state(model) == before


def test_a_lokr_of_two_whole_matrices_is_their_kronecker_product(model: BlipDiffusion, tmp_path: Path) -> None:
    own = weight_of(model, LINEAR)
    one, two = torch.randn(2, 4), torch.randn(own.shape[0] // 2, own.shape[1] // 4)
    stem = f"lora_unet_{LINEAR.replace('.', '_')}"
    tensors = {f"{stem}.lokr_w1": one, f"{stem}.lokr_w2": two, f"{stem}.alpha": torch.tensor(9e9)}
    save_file(tensors, tmp_path / "one.safetensors")  # such an alpha says nothing
    with with_loras(model, [Lora(str(tmp_path / "one.safetensors"))]):
        assert torch.allclose(weight_of(model, LINEAR), own + torch.kron(one, two), atol=1e-6)


def test_a_convolution_in_three_parts_is_one_after_the_other() -> None:
    down, mid, up = torch.randn(2, 5, 1, 1), torch.randn(2, 2, 3, 3), torch.randn(6, 2, 1, 1)
    pixels = torch.randn(1, 5, 8, 8)
    step = nn.functional.conv2d(nn.functional.conv2d(pixels, down), mid, padding=1)
    found = nn.functional.conv2d(pixels, product({"down": down, "mid": mid, "up": up}), padding=1)
    assert torch.allclose(found, nn.functional.conv2d(step, up), atol=1e-4)


@pytest.mark.parametrize(
    ("pieces", "said"),
    [
        ({"hada_w1_a": (8, 2), "hada_w1_b": (2, 32)}, "only one half is in it"),
        ({"lokr_w1_a": (2, 2), "lokr_w2": (4, 8)}, "only one half is in it"),
        ({"lokr_w1": (2, 2), "lokr_w2": (4, 4)}, "made for another model"),
        ({"hada_w1_a": (8, 2), "hada_w1_b": (3, 32), "hada_w2_a": (8, 2), "hada_w2_b": (2, 32)}, "not belong together"),
    ],
    ids=lambda one: one if isinstance(one, str) else next(iter(one)),
)  # fmt: skip
def test_what_is_not_whole_is_told(
    model: BlipDiffusion, tmp_path: Path, pieces: dict[str, tuple[int, ...]], said: str
) -> None:
    stem = f"lora_unet_{LINEAR.replace('.', '_')}"
    save_file({f"{stem}.{name}": torch.ones(shape) for name, shape in pieces.items()}, tmp_path / "one.safetensors")
    with pytest.raises(CheckpointError, match=said), with_loras(model, [Lora(str(tmp_path / "one.safetensors"))]):
        pass
