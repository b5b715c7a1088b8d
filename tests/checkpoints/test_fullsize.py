"""The full-size model on the meta device: every name, every shape and every count as published."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from torch import nn

from blipdiff.checkpoints.configs import SD15_UNET, SD15_VAE, subject_encoder_sizes
from blipdiff.checkpoints.key_rules import is_position_ids, to_hub, to_lavis
from blipdiff.models.context_text_encoder import ContextTextEncoder
from blipdiff.models.sizes import SubjectEncoderSizes, TextSizes
from blipdiff.models.subject_encoder import SubjectEncoder


@pytest.fixture(scope="module")
def published(shared: Path) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads((shared / "parity" / "fullsize_keys.json").read_text())
    return found


def shapes(net: nn.Module) -> dict[str, list[int]]:
    return {name: list(value.shape) for name, value in net.state_dict().items()}


def count(net: nn.Module) -> int:
    return sum(value.numel() for value in net.parameters())


def test_the_subject_encoder_has_the_published_names_and_shapes(published: Mapping[str, Any]) -> None:
    with torch.device("meta"):
        encoder = SubjectEncoder(SubjectEncoderSizes())
    assert shapes(encoder) == {name: shape for name, shape in published["qformer"] if not is_position_ids(name)}
    counts = published["parameter_counts"]
    assert count(encoder) == counts["qformer (all)"]
    assert count(encoder.visual_encoder) == counts["qformer.visual_encoder"]
    assert count(encoder.proj_layer) == counts["qformer.proj_layer"]


def test_the_text_encoder_has_the_published_names_and_shapes(published: Mapping[str, Any]) -> None:
    with torch.device("meta"):
        encoder = ContextTextEncoder(TextSizes())
    assert shapes(encoder) == {name: shape for name, shape in published["text_encoder"] if not is_position_ids(name)}
    assert count(encoder) == published["parameter_counts"]["text_encoder"]


def test_the_parts_of_diffusers_have_the_published_counts(published: Mapping[str, Any]) -> None:
    counts = published["parameter_counts"]
    with torch.device("meta"):
        assert count(UNet2DConditionModel.from_config(dict(SD15_UNET))) == counts["unet"]
        assert count(AutoencoderKL.from_config(dict(SD15_VAE))) == counts["vae"]
        assert count(ControlNetModel.from_config({"cross_attention_dim": 768})) == counts["controlnet"]


def test_the_lavis_names_are_mapped_both_ways(published: Mapping[str, Any]) -> None:
    with torch.device("meta"):
        own = SubjectEncoder(SubjectEncoderSizes()).state_dict()
    mapped = set()
    for hub, file, lavis, shape in published["qformer_to_lavis"]["rows"]:
        if is_position_ids(hub):
            assert to_hub(lavis) is None
            continue
        in_file = lavis if file.startswith("blip_model") else f"proj_layer.{lavis}"
        assert to_lavis(hub) == in_file
        assert to_hub(lavis) == hub
        assert to_hub(f"blip.{lavis}" if file.startswith("blip_model") else in_file) == hub
        assert [n for n in shape if n != 1] == [n for n in own[hub].shape if n != 1]
        mapped.add(hub)
    assert mapped == set(own)


@pytest.mark.parametrize("writer", ["4.31.0", "4.33.2"])
def test_the_published_configurations_give_the_published_sizes(writer: str, shared: Path) -> None:
    samples = shared / "parity" / "hub_config_samples"
    config = json.loads((samples / f"qformer_config_written_by_transformers_{writer}.json").read_text())
    if writer == "4.33.2":  # sparse: it leaves out what was its library's default, the trunk's eps among it
        with pytest.warns(UserWarning, match="eps"):
            sizes = subject_encoder_sizes(config)
    else:
        sizes = subject_encoder_sizes(config)
    assert sizes == SubjectEncoderSizes()
