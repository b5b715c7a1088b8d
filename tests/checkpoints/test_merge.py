"""Another base under BLIP-Diffusion: exact where it must be, streamed from files, refused where it does not fit."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from blipdiff.checkpoints import load_model, save_model
from blipdiff.checkpoints.additions import Additions
from blipdiff.checkpoints.base_swap import Base, Strengths
from blipdiff.checkpoints.merge import merge
from blipdiff.errors import CheckpointError, ConfigError, OutputError
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.models.step_tables import StepTable, StepTables
from tests.support.brought import sd_tensors, write_checkpoint, write_sd_folder
from tests.support.command_line import at_call
from tests.support.tiny_models import tiny_model


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, the original under it, and a look, in all layouts."""
    folder = tmp_path_factory.mktemp("bases")
    model, other = tiny_model(0), tiny_model(1)
    save_model(model, folder / "blip")
    write_checkpoint(sd_tensors(other), folder / "original.safetensors")
    look = sd_tensors(other, 0.1)
    write_checkpoint(look, folder / "look.safetensors")
    write_checkpoint(look, folder / "look.ckpt")
    write_sd_folder(other, look, folder / "look")
    return folder


def nets(model: BlipDiffusion) -> dict[str, dict[str, torch.Tensor]]:
    return {"unet": model.unet.state_dict(), "text_encoder": model.text_encoder.state_dict()}


def bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.view(torch.int32)


@pytest.mark.parametrize("custom", ["original.safetensors"])
def test_the_original_as_base_gives_the_model_back_bit_for_bit(place: Path, tmp_path: Path, custom: str) -> None:
    base = Base(str(place / custom), str(place / "original.safetensors"))
    merge(place / "blip", base, tmp_path / "same")
    same, own = load_model(tmp_path / "same", dtype="stored"), load_model(place / "blip", dtype="stored")
    for part, tensors in nets(own).items():
        found = nets(same)[part]
        assert list(found) == list(tensors)
        assert all(torch.equal(bits(found[name]), bits(value)) for name, value in tensors.items())
    assert same.identity == own.identity


@pytest.mark.parametrize("custom", ["look.safetensors", "look.ckpt", "look"])
@pytest.mark.parametrize("strength", [0.0, 0.6, 1.0])
def test_the_difference_is_added(place: Path, tmp_path: Path, custom: str, strength: float) -> None:
    base = Base(str(place / custom), str(place / "original.safetensors"), Strengths(strength))
    merge(place / "blip", base, tmp_path / "new")
    new, blip = nets(load_model(tmp_path / "new", dtype="stored")), nets(tiny_model(0))
    look, original = sd_tensors(tiny_model(1), 0.1), sd_tensors(tiny_model(1))
    for part, tensors in blip.items():
        for name, own in tensors.items():
            wanted = look[part][name] + strength * (own - original[part][name])
            assert float((new[part][name] - wanted).abs().max()) < 1e-6, name
    assert strength == 0 or not torch.equal(new["unet"]["conv_in.weight"], look["unet"]["conv_in.weight"])


def test_single_blocks_have_strengths_of_their_own(place: Path, tmp_path: Path) -> None:
    strengths = Strengths.of(["1", "unet=0.5", "up_blocks.1=0", "mid_block=1"])
    merge(place / "blip", Base(str(place / "look"), str(place / "original.safetensors"), strengths), tmp_path / "new")
    new, blip = nets(load_model(tmp_path / "new", dtype="stored")), nets(tiny_model(0))
    look, original = sd_tensors(tiny_model(1), 0.1), sd_tensors(tiny_model(1))
    for name, own in blip["unet"].items():
        strength = 0.0 if name.startswith("up_blocks.1.") else 1.0 if name.startswith("mid_block.") else 0.5
        wanted = look["unet"][name] + strength * (own - original["unet"][name])
        assert float((new["unet"][name] - wanted).abs().max()) < 1e-6, name


def test_loading_with_a_base_gives_what_merging_wrote(place: Path, tmp_path: Path) -> None:
    base = Base(str(place / "look.safetensors"), str(place / "original.safetensors"), Strengths(0.7))
    merge(place / "blip", base, tmp_path / "new")
    loaded = load_model(place / "blip", dtype="float32", additions=Additions(base=base))
    written = load_model(tmp_path / "new", dtype="float32")
    for part, tensors in nets(written).items():
        assert all(torch.equal(nets(loaded)[part][name], value) for name, value in tensors.items())
    assert loaded.identity.parts["unet"] == written.identity.parts["unet"]
    assert set(loaded.identity.parts) - set(written.identity.parts) == {"base look at 0.7"}


def test_steps_that_were_fitted_to_another_unet_are_left_behind(place: Path, tmp_path: Path) -> None:
    tables = StepTables((StepTable((999,), {1.0: (((0.5, 0.5),),)}),), {"exact": 1, "balanced": 1, "fast": 1})
    save_model(replace(tiny_model(0), step_tables=tables), tmp_path / "fitted")
    base = Base(str(place / "look.safetensors"), str(place / "original.safetensors"))
    merge(tmp_path / "fitted", base, tmp_path / "new")
    assert load_model(tmp_path / "fitted").step_tables == tables
    assert load_model(tmp_path / "new").step_tables is None
    assert load_model(tmp_path / "fitted", additions=Additions(base=base)).step_tables is None


def test_a_folder_with_other_things_is_told_before_anything_is_merged(place: Path, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "notes.txt").write_text("precious")
    base = Base(str(place / "look"), str(place / "original.safetensors"))
    with (
        at_call("checkpoints/streamed.py", "write_streamed", 1, lambda: pytest.fail("merging began")),
        pytest.raises(OutputError, match="holds other things"),
    ):
        merge(place / "blip", base, tmp_path / "new")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["notes.txt"]


def test_the_index_tells_both_parents_and_their_licences(place: Path, tmp_path: Path) -> None:
    base = Base(str(place / "look"), str(place / "original.safetensors"))
    note = merge(place / "blip", base, tmp_path / "new")
    told = json.loads((tmp_path / "new" / "model_index.json").read_text())["merged"]
    assert told == json.loads(json.dumps(note))
    assert told["base"]["licence"] == "creativeml-openrail-m"
    assert told["subject_model"]["licence"] == "not told; see where it came from"
    assert len({told[name]["unet"] for name in ("base", "subject_model", "original")}) == 3
    assert str(place) not in json.dumps(told)


def test_a_base_without_a_text_encoder_changes_the_unet_alone(place: Path, tmp_path: Path) -> None:
    only = write_checkpoint({"unet": sd_tensors(tiny_model(1), 0.1)["unet"]}, tmp_path / "unet.safetensors")
    note = merge(place / "blip", Base(str(only), str(place / "original.safetensors")), tmp_path / "new")
    assert note["parts"] == ["unet"]
    new, blip = nets(load_model(tmp_path / "new", dtype="stored")), nets(tiny_model(0))
    assert all(torch.equal(new["text_encoder"][name], value) for name, value in blip["text_encoder"].items())


def test_the_original_is_asked_for(place: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="give its folder, file or hub id with --original, or allow --download"):
        merge(place / "blip", Base(str(place / "look")), tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("given", [["strong"], ["3"], ["-0.1"], ["nan"], ["up_block.1=0.5"], ["up_blocks.1=x"]])
def test_a_strength_is_a_number_for_a_block_that_there_is(given: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"goes from 0|is none|There is no block"):
        Strengths.of(given)
