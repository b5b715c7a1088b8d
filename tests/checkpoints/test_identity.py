"""The fingerprints tell models apart, and nothing else."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel

from blipdiff.checkpoints import convert, load_model, save_model
from blipdiff.devices import Placement
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.models.identity import Fingerprint, ModelIdentity, fingerprint, known_fingerprint
from blipdiff.sampling.acceleration import accelerate


def weights() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "a": torch.randn(40, 30, generator=generator),
        "b": torch.randn(7, generator=generator),
        "c": torch.ones(()),
    }


def test_it_is_sixteen_hexadecimal_digits_and_the_same_each_time() -> None:
    first = fingerprint(weights())
    assert len(first) == 16
    assert int(first, 16) >= 0
    assert fingerprint(weights()) == first


def test_the_order_and_a_bfloat16_copy_do_not_matter() -> None:
    backwards = dict(reversed(weights().items()))
    assert fingerprint(backwards) == fingerprint(weights())
    assert fingerprint({name: value.bfloat16() for name, value in weights().items()}) == fingerprint(weights())


def test_values_names_and_shapes_matter() -> None:
    own = weights()
    others = [
        own | {"a": own["a"] * 1.05},
        own | {"a": own["a"].reshape(30, 40)},
        {"z" if name == "b" else name: value for name, value in own.items()},
        {name: value for name, value in own.items() if name != "c"},
    ]
    assert len({fingerprint(other) for other in [own, *others]}) == 5


def test_an_empty_tensor_is_no_obstacle() -> None:
    assert fingerprint({"a": torch.zeros(0)}) != fingerprint({})


def test_the_order_of_memory_does_not_matter() -> None:
    weight = torch.randn(8, 6, 3, 3, generator=torch.Generator().manual_seed(0))
    last = weight.to(memory_format=torch.channels_last)
    assert not last.is_contiguous()
    assert fingerprint({"a": last}) == fingerprint({"a": weight})


def test_a_fingerprint_grows_without_a_change_of_the_old_one() -> None:
    own = weights()
    first = Fingerprint().added(own)
    assert first.added({"a": own["a"] * 2}).digest() != first.digest() == fingerprint(own)


# The model's


RECORDED = {
    "mini": "65e12da14046e78e",
    "blipdiffusion-tiny": "380a877f9c77fa02",
    "blipdiffusion-tiny-bin": "380a877f9c77fa02",
    "blipdiffusion-controlnet-tiny": "380a877f9c77fa02",
    "lavis-tiny": "380a877f9c77fa02",
}


@pytest.mark.parametrize("name", RECORDED)
def test_subject_cards_of_earlier_versions_still_fit(name: str, shared: Path) -> None:
    lender = shared / "parity" / "blipdiffusion-tiny" if name == "lavis-tiny" else None
    model = load_model(name if name == "mini" else shared / "parity" / name, configs_from=lender)
    assert (model.subject_fingerprint, model.identity.subject) == (RECORDED[name],) * 2


def test_one_checkpoint_is_one_model_in_every_layout(shared: Path) -> None:
    base = shared / "parity" / "blipdiffusion-tiny"
    first, *others = (load_model(shared / "parity" / name, configs_from=base) for name in RECORDED if name != "mini")
    assert [other.identity for other in others] == [first.identity] * 3


@pytest.mark.filterwarnings("ignore:float16 is slow")
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "stored"])
def test_dtype_and_memory_format_do_not_matter(dtype: str, tiny_folder: Path) -> None:
    model = load_model(tiny_folder, dtype="float32")
    own = model.identity
    other = load_model(tiny_folder, dtype=dtype)
    assert other.identity == own
    accelerate(other, Placement(other.device, other.unet.dtype))
    assert other.identity == own
    assert model.moved(dtype=torch.bfloat16).identity == own


def test_a_finetune_of_any_one_tensor_is_another_model(tiny_folder: Path) -> None:
    model = load_model(tiny_folder, dtype="float32")
    own, told = known_fingerprint(model.unet), model.identity.told()
    for name, weight in model.unet.state_dict().items():
        changed = weight * 1.001 if weight.any() else weight + 1e-3
        assert own.added({name: changed}).digest() != own.digest(), name
    with torch.no_grad():
        model.unet.conv_out.bias.mul_(1.001)
    assert model.identity.differing(told) == ["U-Net"]


CHANGES: dict[str, Callable[[BlipDiffusion], BlipDiffusion]] = {
    "U-Net": lambda model: replace(model, unet=UNet2DConditionModel.from_config(model.unet.config)),
    "text encoder": lambda model: replace(model, insert_at=3),
    "VAE": lambda model: replace(model, vae=type(model.vae).from_config({**model.vae.config, "scaling_factor": 0.5})),
    "scheduler settings": lambda model: replace(model, scheduler_config={**model.scheduler_config, "steps_offset": 1}),
}


@pytest.mark.parametrize("part", CHANGES)
def test_the_part_that_differs_is_told(part: str, tiny: BlipDiffusion) -> None:
    other = CHANGES[part](tiny)
    assert other.identity.model != tiny.identity.model
    assert other.identity.subject == tiny.identity.subject
    assert other.identity.differing(tiny.identity.told()) == [part]
    assert tiny.identity.differing(tiny.identity.told()) == []


def test_another_scheduler_is_another_model_and_defaults_written_out_are_none(tiny: BlipDiffusion) -> None:
    ddim = replace(tiny, scheduler_config={**tiny.scheduler_config, "_class_name": "DDIMScheduler"})
    full = replace(tiny, scheduler_config={**tiny.scheduler_config, "steps_offset": 0, "_diffusers_version": "0.1"})
    assert ddim.identity.differing(tiny.identity.told()) == ["scheduler settings"]
    assert full.identity == tiny.identity


def test_metadata_without_parts_or_with_more() -> None:
    own = ModelIdentity("a", {"unet": "b"})
    assert own.differing({"fingerprint": "a"}) == []
    assert own.differing({"identity": "c", "parts": [3]}) == ["U-Net"]
    assert own.differing(ModelIdentity("a", {"unet": "b", "LoRA chalk": "d"}).told()) == ["LoRA chalk"]


def test_what_is_written_is_the_same_model(tiny: BlipDiffusion, tmp_path: Path) -> None:
    save_model(tiny, tmp_path / "hub")
    save_model(tiny, tmp_path / "lavis", "lavis")
    convert(tmp_path / "lavis", tmp_path / "again")
    for name in ("hub", "lavis", "again"):
        assert load_model(tmp_path / name).identity == tiny.identity, name
    mini = load_model("mini", dtype="stored")
    save_model(mini, tmp_path / "mini")
    assert load_model(tmp_path / "mini").identity == mini.identity


def test_a_finetuned_file_is_one_model_in_every_dtype(tiny: BlipDiffusion, tiny_folder: Path, tmp_path: Path) -> None:
    name, weight = next(iter(tiny.unet.state_dict().items()))
    torch.save({f"unet.{name}": weight * 1.001}, tmp_path / "checkpoint_1.pth")
    full, half = (
        load_model(tmp_path / "checkpoint_1.pth", base=tiny_folder, dtype=dtype) for dtype in ("float32", "bfloat16")
    )
    assert half.identity == full.identity
    assert full.identity.differing(tiny.identity.told()) == ["U-Net"]
    save_model(full, tmp_path / "whole")
    assert load_model(tmp_path / "whole").identity == full.identity


def test_weights_that_return_are_the_model_again(tiny_folder: Path) -> None:
    model = load_model(tiny_folder, dtype="bfloat16")
    own, layer = model.identity, model.unet.conv_in
    model.unet.conv_in = torch.nn.Conv2d(4, 8, 3, padding=1)
    assert model.identity.differing(own.told()) == ["U-Net"]
    model.unet.conv_in = layer
    assert model.identity == own


def test_offloaded_weights_are_known_as_they_were(tiny_folder: Path) -> None:
    model = load_model(tiny_folder)
    own = model.identity
    model.unet.to("meta")
    assert model.identity == own
