"""The safety checker: off unless asked for, the flags that diffusers' own has, blurred and told."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from transformers import CLIPConfig

from blipdiff.checkpoints import save_model
from blipdiff.checkpoints.additions import Additions
from blipdiff.errors import CheckpointError
from pipelines.metadata import read_metadata
from pipelines.safety import SafetyCheck
from pipelines.studio import Studio
from tests.support.command_line import Command
from tests.support.studios import picture_of, pixels, run
from tests.support.tiny_models import photo, tiny_model

pytest_plugins = ["tests.support.command_fixtures"]


def checker(folder: Path, *, threshold: float, care: float = 2.0, seed: int = 0) -> Path:
    """A tiny one that flags what is nearer than `threshold` to any of its concepts."""
    torch.manual_seed(seed)
    sizes = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision = sizes | {"image_size": 16, "patch_size": 8, "initializer_factor": 8.0}
    net = StableDiffusionSafetyChecker(CLIPConfig(vision_config=vision, projection_dim=6))
    torch.nn.init.normal_(net.concept_embeds)
    torch.nn.init.normal_(net.special_care_embeds)
    torch.nn.init.constant_(net.concept_embeds_weights, threshold)
    torch.nn.init.constant_(net.special_care_embeds_weights, care)
    net.eval().save_pretrained(folder)
    return folder


def studio(folder: Path, **asked: Any) -> Studio:
    additions = Additions.of(**asked) if asked else None
    return Studio.open(folder, device="cpu", dtype="float32", additions=additions)


@pytest.mark.parametrize("care", [2.0, -1.0])
def test_it_flags_what_diffusers_own_flags(tmp_path: Path, care: float) -> None:
    found = set()
    for threshold in (0.4, 0.7, 0.8, 0.9):
        own = SafetyCheck(checker(tmp_path / f"{threshold}", threshold=threshold, care=care))
        for seed in range(6):
            pixels_ = own._processor(photo(seed), return_tensors="pt").pixel_values
            _, (flag,) = own._net(clip_input=pixels_, images=[np.ones((2, 2, 3))])
            score = own.score(photo(seed))
            if abs(score) > 1e-3:  # diffusers rounds
                assert (score > 0) == flag
                found.add(flag)
    assert found == {True, False}


def test_a_flagged_picture_is_blurred_and_told_and_others_are_as_they_were(tmp_path: Path) -> None:
    save_model(tiny_model(), tmp_path / "model")
    plain = picture_of(studio(tmp_path / "model"))
    calm = picture_of(studio(tmp_path / "model", safety=checker(tmp_path / "calm", threshold=1.5)))
    strict = studio(tmp_path / "model", safety=checker(tmp_path / "strict" / "safety_checker", threshold=-1.5).parent)
    blurred = picture_of(strict)
    assert "safety" not in plain.metadata()
    assert (pixels(calm) == pixels(plain)).all()
    assert calm.metadata()["safety"]["blurred"] is False and calm.metadata()["safety"]["score"] < 0
    assert pixels(blurred).std() < pixels(plain).std() / 2
    assert blurred.metadata()["safety"] == {"checker": "strict", "score": blurred.safety["score"], "blurred": True}
    previews = [getattr(event, "previews", ()) for event in run(strict, preview_every=1)]
    assert not any(previews)


def test_one_line_switches_it_on_and_a_wrong_folder_is_named(
    blipdiff: Command, model: Path, dog: Path, tmp_path: Path
) -> None:
    asked = ("generate", "--model", model, "--subject", dog, "--category", "dog", "--steps", 2, "--count", 1)
    ended = blipdiff(*asked, "--safety", checker(tmp_path / "strict", threshold=-1.5))
    assert ended.code == 0, ended.err
    assert read_metadata(ended.pictures[0])["safety"]["blurred"] is True
    assert blipdiff(*asked, "--safety", model, "--output", "none").code == 2
    with pytest.raises(CheckpointError, match="nothing is fetched unless asked"):
        SafetyCheck("CompVis/none-such")
