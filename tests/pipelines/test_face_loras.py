"""LoRAs in the diffusers face: on U-Net and text encoder, as diffusers' own pipeline has them, gone without a trace."""

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from blipdiff.checkpoints.lora import Lora, with_loras
from blipdiff.errors import CheckpointError
from pipelines import BlipDiffusionPipeline
from tests.support.brought import (
    ALPHA,
    RANK,
    Factors,
    by_hand,
    factors,
    same_pictures,
    sd_pipeline,
    write_diffusers,
    write_kohya,
    write_old_diffusers,
    write_peft,
)
from tests.support.face import close, differ, draw
from tests.support.studios import state
from tests.support.tiny_models import tiny_model

pytest_plugins = ["tests.support.face_fixtures"]

pytest.importorskip("peft")


@pytest.mark.parametrize("write", [write_kohya, write_diffusers, write_old_diffusers, write_peft])
def test_a_lora_acts_on_both_nets_as_merged_weights_do(
    pipe: BlipDiffusionPipeline, tmp_path: Path, write: Callable[[Factors, Path], Path]
) -> None:
    source = write(factors(pipe.model), tmp_path / ("one" if write is write_peft else "one.safetensors"))
    plain = draw(pipe)
    with with_loras(pipe.model, [Lora(str(source))]):
        wanted = draw(pipe)
    assert differ(wanted, plain)
    pipe.load_lora_weights(source, adapter_name="mine")
    assert pipe.get_list_adapters() == {"unet": ["mine"], "text_encoder": ["mine"]}
    assert pipe.get_active_adapters() == ["mine"]
    assert close(draw(pipe), wanted)


def test_each_net_can_have_a_weight_of_its_own(pipe: BlipDiffusionPipeline, tmp_path: Path) -> None:
    given = factors(pipe.model)
    pipe.load_lora_weights(write_kohya(given, tmp_path / "a.safetensors"), adapter_name="mine")
    ids = torch.tensor([[1, 2, 3]])
    full = pipe.text_encoder(ids)
    pipe.set_adapters("mine", {"unet": 1.0, "text_encoder": 0.0})
    assert close(pipe.text_encoder(ids), tiny_model().text_encoder(ids), 1e-6)
    assert differ(pipe.text_encoder(ids), full)
    pipe.disable_lora()
    assert torch.equal(pipe.text_encoder(ids), tiny_model().text_encoder(ids))


@pytest.mark.parametrize("fused", [False, True])
def test_unloading_leaves_the_same_bits(pipe: BlipDiffusionPipeline, tmp_path: Path, fused: bool) -> None:
    before, plain = state(pipe.model), draw(pipe)
    pipe.load_lora_weights(write_kohya(factors(pipe.model), tmp_path / "a.safetensors"))
    if fused:
        pipe.fuse_lora()
        assert differ(draw(pipe), plain)
    pipe.unload_lora_weights()
    after = state(pipe.model)
    assert {key: one[-1] if "()" not in key and isinstance(one, tuple) else 0 for key, one in after.items()} == {
        key: one[-1] if "()" not in key and isinstance(one, tuple) else 0 for key, one in before.items()
    }
    assert torch.equal(draw(pipe), plain)


def test_a_lora_that_does_not_fit_leaves_nothing_active(pipe: BlipDiffusionPipeline, tmp_path: Path) -> None:
    path = write_kohya(factors(pipe.model), tmp_path / "a.safetensors")
    tensors = load_file(path)
    name = next(name for name in tensors if "lora_te" in name and "lora_down" in name)
    save_file(tensors | {name: tensors[name][:, :1].contiguous()}, path)
    plain = draw(pipe)
    with pytest.raises((CheckpointError, RuntimeError)):
        pipe.load_lora_weights(path)
    assert pipe.get_list_adapters() == {}
    assert torch.equal(draw(pipe), plain)


def test_a_pipeline_with_an_adapter_beside_its_weights_is_not_saved(
    pipe: BlipDiffusionPipeline, tmp_path: Path
) -> None:
    pipe.load_lora_weights(write_kohya(factors(pipe.model), tmp_path / "a.safetensors"))
    with pytest.raises(CheckpointError, match=r"call fuse_lora\(\) first to save merged weights"):
        pipe.save_pretrained(tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_fused_pipeline_is_saved_with_merged_weights(pipe: BlipDiffusionPipeline, tmp_path: Path) -> None:
    given = factors(pipe.model)
    wanted = by_hand(pipe.model, given, ALPHA / RANK)
    pipe.load_lora_weights(write_kohya(given, tmp_path / "a.safetensors"))
    pipe.fuse_lora()
    pipe.save_pretrained(tmp_path / "model")
    again = BlipDiffusionPipeline.from_pretrained(tmp_path / "model", torch_dtype="stored", device="cpu")
    for (net, name), weight in wanted.items():
        assert close(getattr(again, net).get_submodule(name).weight, weight, 1e-6)


def test_two_adapters_are_added_and_one_is_deleted(pipe: BlipDiffusionPipeline, tmp_path: Path) -> None:
    given = factors(pipe.model)
    path = write_kohya(given, tmp_path / "a.safetensors")
    pipe.load_lora_weights(path, adapter_name="one")
    alone = draw(pipe)
    pipe.load_lora_weights(path, adapter_name="two")
    pipe.set_adapters(["one", "two"], [0.5, 0.5])
    assert close(draw(pipe), alone)
    pipe.delete_adapters("two")
    pipe.set_adapters("one", 1.0)
    assert close(draw(pipe), alone)
    assert pipe.get_list_adapters() == {"unet": ["one"], "text_encoder": ["one"]}


@pytest.mark.parametrize("write", [write_kohya, write_old_diffusers])
def test_diffusers_own_pipeline_draws_the_same_with_it(tmp_path: Path, write: Callable[[Factors, Path], Path]) -> None:
    model = tiny_model()
    source = write(factors(model), tmp_path / "one.safetensors")
    theirs = sd_pipeline(model)
    before = same_pictures(model, theirs, "a dog on a beach")
    assert before < 1e-5
    theirs.load_lora_weights(str(source))
    assert same_pictures(model, theirs, "a dog on a beach") > 1e-3
    with with_loras(copy.copy(model), [Lora(str(source))]) as ours:
        assert same_pictures(ours, theirs, "a dog on a beach") < 1e-5
