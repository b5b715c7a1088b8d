"""Another VAE: from a folder, a file in either naming, or the one inside a checkpoint; as diffusers draws with it."""

from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderTiny
from safetensors.torch import save_file

from blipdiff.checkpoints import load_model, save_model
from blipdiff.checkpoints.additions import Additions, with_vae
from blipdiff.errors import CheckpointError
from blipdiff.models.blip_diffusion import BlipDiffusion
from tests.support.brought import same_pictures, sd_pipeline, sd_tensors, write_checkpoint
from tests.support.original_names import to_ldm_vae
from tests.support.tiny_models import tiny_model


def written(other: BlipDiffusion, layout: str, place: Path) -> Path:
    if layout in ("folder", "pipeline"):
        folder = place / "vae" if layout == "pipeline" else place / "own"
        other.vae.save_pretrained(folder)
        return place if layout == "pipeline" else folder
    path = place / f"{layout}.safetensors"
    tensors = other.vae.state_dict()
    if layout == "checkpoint":
        return write_checkpoint(sd_tensors(other), path)
    named = {name: one.contiguous() for name, one in to_ldm_vae(tensors).items()} if layout == "original" else tensors
    save_file(named, path)
    return path


@pytest.mark.parametrize("layout", ["folder", "pipeline", "original", "diffusers", "checkpoint"])
def test_every_layout_draws_as_diffusers_with_that_vae(tmp_path: Path, layout: str) -> None:
    model, other = tiny_model(0), tiny_model(1)
    found = with_vae(model, str(written(other, layout, tmp_path)))
    assert {
        name: float((value - other.vae.state_dict()[name]).abs().max())
        for name, value in found.vae.state_dict().items()
    } == dict.fromkeys(other.vae.state_dict(), 0.0)
    theirs = sd_pipeline(model)
    theirs.vae = other.vae
    assert same_pictures(found, theirs, "a dog on a beach") < 1e-5
    assert same_pictures(model, theirs, "a dog on a beach") > 1e-3


def test_it_comes_with_a_loaded_model_and_changes_its_identity(tmp_path: Path) -> None:
    save_model(tiny_model(0), tmp_path / "model")
    source = written(tiny_model(1), "original", tmp_path)
    plain = load_model(tmp_path / "model", dtype="float32")
    other = load_model(tmp_path / "model", dtype="float32", additions=Additions.of(vae=source))
    assert plain.identity.differing(other.identity.told()) == ["VAE"]
    half = load_model(tmp_path / "model", dtype="bfloat16", additions=Additions.of(vae=source))
    assert half.vae.dtype == torch.bfloat16
    assert half.identity == other.identity


def test_a_tiny_vae_takes_the_place_of_a_large_one_only_at_its_own_scale(tmp_path: Path) -> None:
    AutoencoderTiny().save_pretrained(tmp_path / "taesd")
    with pytest.raises(CheckpointError, match="makes latents of another size"):
        with_vae(tiny_model(), str(tmp_path / "taesd"))


def test_a_file_without_an_encoder_is_none(tmp_path: Path) -> None:
    tensors = {name: one.contiguous() for name, one in to_ldm_vae(tiny_model().vae.state_dict()).items()}
    save_file({name: one for name, one in tensors.items() if "decoder" in name}, tmp_path / "half.safetensors")
    with pytest.raises(CheckpointError, match="with its encoder and its decoder"):
        with_vae(tiny_model(), str(tmp_path / "half.safetensors"))


def test_a_tiny_vae_of_its_scale_draws_as_diffusers_with_it(tmp_path: Path) -> None:
    model = tiny_model()
    sides = {f"{half}_block_out_channels": (8, 8) for half in ("encoder", "decoder")}
    blocks = {f"num_{half}_blocks": (1, 1) for half in ("encoder", "decoder")}
    torch.manual_seed(0)
    tiny = AutoencoderTiny(**sides, **blocks).eval()
    tiny.save_pretrained(tmp_path / "taesd")
    found = with_vae(model, str(tmp_path / "taesd"))
    theirs = sd_pipeline(model)
    theirs.vae = tiny
    assert same_pictures(found, theirs, "a dog on a beach") < 1e-5
