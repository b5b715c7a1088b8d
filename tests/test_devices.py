"""Device and dtype: chosen in one place, and what cannot be is said."""

from dataclasses import replace

import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor2_0

from blipdiff.attention.tiled import TiledProcessor
from blipdiff.devices import (
    DTYPES,
    Placement,
    accelerated_parts,
    attends_slowly,
    has_fast_bfloat16,
    memory_format,
    placement,
    uses_xformers,
)
from blipdiff.errors import ConfigError
from blipdiff.sampling.acceleration import accelerate, attention_kernel
from tests.support.tiny_models import tiny_controlnet, tiny_model

CPU = torch.device("cpu")
no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")


@no_gpu
def test_without_a_gpu_the_processor_is_chosen_in_the_precision_it_is_fast_in() -> None:
    if torch.backends.mps.is_available():
        pytest.skip("there is Apple's GPU here")
    wanted = torch.bfloat16 if has_fast_bfloat16() else torch.float32
    assert placement() == Placement(CPU, wanted)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_what_is_asked_for_is_what_is_given(dtype: str) -> None:
    place = placement("cpu", dtype)
    assert place == Placement(CPU, DTYPES[dtype])
    assert place.dtype_name == dtype


def test_every_dtype_has_the_name_it_is_chosen_by() -> None:
    assert [Placement(CPU, dtype).dtype_name for dtype in DTYPES.values()] == list(DTYPES)


@pytest.mark.parametrize("dtype", ["int8", "float64", "", "BFLOAT16", "torch.float32"])
def test_an_unknown_dtype_is_refused_with_those_there_are(dtype: str) -> None:
    with pytest.raises(ConfigError, match="choose auto, float32, bfloat16, float16"):
        placement("cpu", dtype)


@pytest.mark.parametrize("device", ["tpu", "", "gpu", "cpu:", "cuda:x", "cpu cpu", "🐶", "CPU"])
def test_an_unknown_device_is_refused(device: str) -> None:
    with pytest.raises(ConfigError, match="choose auto, cpu, cuda, cuda:1 or mps"):
        placement(device)


@no_gpu
@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:9", "cpu:1", "cpu:7", "meta", "xpu", "mps"])
def test_a_device_that_is_not_here_is_refused(device: str) -> None:
    if device == "mps" and torch.backends.mps.is_available():
        pytest.skip("there is Apple's GPU here")
    with pytest.raises(ConfigError, match=r"not available here|CUDA devices here"):
        placement(device)


def test_what_is_accelerated_is_told_in_words() -> None:
    parts = accelerated_parts()
    assert set(parts) == {"CUDA", "Apple MPS", "bfloat16 on the processor", "threads", "attention"}
    assert all(isinstance(value, str) and value for value in parts.values())
    assert ("hardware" in parts["bfloat16 on the processor"]) == has_fast_bfloat16()


def test_the_memory_format_is_that_of_the_device() -> None:
    assert memory_format(CPU) == torch.channels_last
    assert memory_format(torch.device("cuda")) == torch.channels_last
    assert memory_format(torch.device("mps")) == torch.contiguous_format


def test_xformers_is_never_used_on_a_processor() -> None:
    assert uses_xformers(CPU) is False
    assert uses_xformers(torch.device("mps")) is False


def test_acceleration_reports_what_it_switched_on_and_changes_no_value() -> None:
    model = tiny_model()
    weights = {name: weight.clone() for name, weight in model.unet.state_dict().items()}
    report = accelerate(model, placement("cpu", "float32"))
    assert (report.device, report.dtype, report.memory_format) == ("cpu", "float32", "channels_last")
    assert report.attention == "scaled_dot_product_attention"
    assert all(torch.equal(weight, weights[name]) for name, weight in model.unet.state_dict().items())
    assert model.unet.conv_in.weight.is_contiguous(memory_format=torch.channels_last)
    assert model.vae.decoder.conv_in.weight.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("slow", [True, False])
def test_attention_by_tiles_is_for_bfloat16_where_the_fused_kernel_is_slow(
    slow: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: slow, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False, raising=False)
    model = replace(tiny_model(), controlnet=tiny_controlnet())
    assert accelerate(model, placement("cpu", "float32")).attention == "scaled_dot_product_attention"
    assert {type(one) for one in model.unet.attn_processors.values()} == {AttnProcessor2_0}
    report = accelerate(model, placement("cpu", "bfloat16"))
    assert report.attention == ("tiled products" if slow else "scaled_dot_product_attention")
    for net in (model.unet, model.vae, model.controlnet):
        assert net is not None
        kinds = {type(one) for one in net.attn_processors.values()}
        assert kinds == {TiledProcessor if slow else AttnProcessor2_0}


def test_tile_registers_serve_the_fused_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True, raising=False)
    assert has_fast_bfloat16()
    assert not attends_slowly()
    assert attention_kernel(placement("cpu", "bfloat16")) == "scaled_dot_product_attention"


def test_a_controlnet_is_accelerated_with_its_model() -> None:
    model = replace(tiny_model(), controlnet=tiny_controlnet())
    accelerate(model, placement("cpu", "float32"))
    assert model.controlnet is not None
    assert model.controlnet.conv_in.weight.is_contiguous(memory_format=torch.channels_last)
