"""OpenVINO in the diffusers face: switched on and off, equal to torch, torch's where a call looks inside."""

import sys
from pathlib import Path

import pytest
import torch

from blipdiff.errors import ConfigError, MissingDependencyError
from blipdiff.sampling.openvino_engine.library import NAME
from pipelines import BlipDiffusionPipeline
from tests.support.face import close, draw
from tests.support.openvino_nets import needs_openvino
from tests.support.studios import counted
from tests.support.tiny_models import cut_out, photo, tiny_controlnet

pytest_plugins = ["tests.support.face_fixtures"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("converted")


@needs_openvino
def test_pictures_are_equal_and_torchs_networks_are_never_called(pipe: BlipDiffusionPipeline, folder: Path) -> None:
    exact = draw(pipe)
    pipe.enable_openvino(cache_dir=folder)
    with counted(pipe.unet) as unet, counted(pipe.vae.decoder) as vae:
        found = draw(pipe)
    assert (unet, vae) == ([], [])
    assert close(found, exact)
    pipe.disable_openvino()
    with counted(pipe.unet) as unet:
        assert torch.equal(draw(pipe), exact)
    assert unet


@needs_openvino
def test_control_nets_are_computed_too_one_or_several(controlled: BlipDiffusionPipeline, folder: Path) -> None:
    several = BlipDiffusionPipeline(
        **{**controlled.components, "controlnet": [controlled.controlnet, tiny_controlnet(2)]}
    )
    for one, maps in ((controlled, photo(4)), (several, [photo(4), photo(5)])):
        exact = draw(one, control_image=maps)
        one.enable_openvino(folder)
        nets = [one.controlnet] if one is controlled else list(one.controlnet.nets)
        with counted(nets[-1].controlnet_mid_block) as calls:
            assert close(draw(one, control_image=maps), exact)
        assert calls == []


@needs_openvino
def test_a_call_that_reads_details_is_torchs_to_the_bit(pipe: BlipDiffusionPipeline, folder: Path) -> None:
    asked = {"reference_image": cut_out(), "reference_detail": 0.8, "output_type": "latent"}
    exact = draw(pipe, **asked)
    pipe.enable_openvino(folder)
    with counted(pipe.unet) as calls:
        assert torch.equal(draw(pipe, **asked), exact)
    assert calls


@needs_openvino
def test_changed_weights_are_torchs_with_a_warning_until_it_is_asked_for_again(
    pipe: BlipDiffusionPipeline, folder: Path
) -> None:
    pipe.enable_openvino(folder)
    draw(pipe)
    with torch.no_grad():
        pipe.unet.conv_out.weight.mul_(1.5)  # as a LoRA does that is fused
    with pytest.warns(UserWarning, match="its weights were changed since"):
        changed = draw(pipe)
    pipe.enable_openvino(folder)
    with counted(pipe.unet) as calls:
        assert close(draw(pipe), changed)
    assert calls == []


def test_where_it_is_absent_it_says_what_to_install(
    pipe: BlipDiffusionPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = draw(pipe)
    monkeypatch.setitem(sys.modules, NAME, None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'blipdiff\[openvino\]'"):
        pipe.enable_openvino()
    assert torch.equal(draw(pipe), exact)


@needs_openvino
def test_a_dtype_that_it_does_not_know_is_refused(pipe: BlipDiffusionPipeline) -> None:
    pipe.unet.to(torch.float16)
    with pytest.raises(ConfigError, match="in float32 and bfloat16; this is float16 on cpu"):
        pipe.enable_openvino()
