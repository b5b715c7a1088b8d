"""Generation, inversion and edits against the latents of the original code.

Recorded with LAVIS 506965b (diffusers 0.16.0, transformers 4.33.2, torch 2.13.0 on a CPU, float32) on a tiny random
model, in the "fixed" form: without its filler words, with its inversion prompt and its words of several tokens put
right. Tolerances as given with the recordings, absolute on latents of up to 44: 1e-2 for edits, 1e-3 for inversion
and generation; masks exactly. Wrong windows, thresholds or alignments are 0.18 to 19 away.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from blipdiff.attention.maps import mask, soft_mask
from blipdiff.conditioning.guidance import Guidance
from blipdiff.conditioning.mixing import mix
from blipdiff.conditioning.prompt import build_prompt, repeat_prompt
from blipdiff.conditioning.subject import SubjectEmbedding, SubjectPhoto
from blipdiff.images import open_picture
from blipdiff.latents import noise
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.sampling.schedulers import build_scheduler, set_timesteps
from pipelines.edit.invert import Inversion, PhotoSource, invert_photo
from pipelines.edit.plan import EncodedEdit, encode_edit, plan_edit
from pipelines.edit.request import EditRequest
from pipelines.plan import SamplingPlan, execute

GENERATED = ["lb030", "lb015", "nolb", "nocontrol", "crossonly", "selfonly", "cross04_self02_lb050", "subwords"]
GENERATED = [f"gte_fixed_{name}" for name in (*GENERATED, "twowords", "samesubject_seed43")]
PHOTOS = [f"edit_fixed_{name}" for name in ("lb030", "lb015_tryon", "lb048", "nolb")]
PLAIN = ["zero_shot_reps20", "zero_shot_reps1", "zero_shot_reps1_w1", "mix_equal_reps1", "mix_30_70_reps1"]
NEGATIVE = "over exposure lowres blurry deformed"


@pytest.fixture(scope="module")
def recorded(shared: Path) -> Mapping[str, Tensor]:
    names = ("inputs", "generate", "generate_then_edit", "inversion", "edit")
    files = [load_file(shared / "editing" / f"{name}.safetensors") for name in names]
    return {key: value for file in files for key, value in file.items()}


@pytest.fixture(scope="module")
def cases(shared: Path) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads((shared / "editing" / "manifest.json").read_text())["cases"]
    return found


@pytest.fixture(scope="module")
def model(editing_model: BlipDiffusion) -> BlipDiffusion:
    """The original's PNDM starts at timestep 0, its DDIM at 1."""
    return replace(editing_model, scheduler_config={**editing_model.scheduler_config, "steps_offset": 0})


def farthest(ours: Tensor, theirs: Tensor) -> float:
    assert ours.shape == theirs.shape
    return float((ours - theirs).abs().max())


def subject_of(model: BlipDiffusion, shared: Path, category: str, photo: str = "subject_a") -> SubjectEmbedding:
    picture = open_picture(shared / "editing" / "inputs" / f"{photo}.png")
    return model.encode_subject(SubjectPhoto(picture, category), fit="crop")


def encoded_case(model: BlipDiffusion, shared: Path, case: Mapping[str, Any]) -> EncodedEdit:
    request = EditRequest(
        source=case["src_subject"],
        target=case["tgt_subject"],
        prompt=case["prompt"],
        negative=case["negative_prompt"],
        steps=case["num_inference_steps"],
        guidance=case["guidance_scale"],
        scheduler=case["scheduler"],
        cross_stop=case["cross_replace_steps"],
        self_stop=case["self_replace_steps"],
        mask_threshold=case["lb_threshold"],
        local_blend=case["local_blend"],
        inversion="ddim",
        hold_source=False,
        strength=0.5,
        blend_words="source",
        mask_map="plain",
    )
    return encode_edit(model, request, subject_of(model, shared, case["cond_subject"]))


@pytest.mark.parametrize("name", GENERATED)
def test_every_recorded_edit_of_a_generated_picture_is_matched(
    name: str, model: BlipDiffusion, shared: Path, recorded: Mapping[str, Tensor], cases: Mapping[str, Any]
) -> None:
    case = cases[name]
    encoded = encoded_case(model, shared, case)
    plan = plan_edit(model, encoded, case["seed"])
    start = recorded[case["initial_latents"][1]]
    sampling = replace(plan.sampling, latents=start.repeat(2, 1, 1, 1))
    if name == "gte_fixed_lb030":
        texts = torch.cat([encoded.negative.embeddings, encoded.positive.embeddings])  # type: ignore[union-attr]
        assert farthest(texts, recorded[f"{name}.text"]) <= 1e-4
    compare(name, case, encoded, model, sampling, plan.store, recorded, [0, 1, 4, 8, 10])


@pytest.mark.parametrize("name", PHOTOS)
def test_every_recorded_edit_of_a_photo_is_matched(
    name: str, editing_model: BlipDiffusion, shared: Path, recorded: Mapping[str, Tensor], cases: Mapping[str, Any]
) -> None:
    case = cases[name]
    encoded = encoded_case(editing_model, shared, case)
    photo = PhotoSource(Image.new("RGB", (512, 512)), recorded[f"{name}.x0"], None)
    steps = invert_photo(editing_model, encoded.request, encoded.positive, photo)
    way = (photo.latents, *(step.latents for step in steps))
    assert farthest(way[-1], recorded[f"{name}.inverted"]) <= 1e-3
    if name == "edit_fixed_lb030":
        assert farthest(torch.stack(way), recorded[f"{name}.inversion_steps"]) <= 1e-3
        assert farthest(encoded.positive.embeddings[:1], recorded[f"{name}.inversion_text"]) <= 1e-4
    plan = plan_edit(editing_model, encoded, Inversion(photo, way))
    compare(name, case, encoded, editing_model, plan.sampling, plan.store, recorded, [0, 1, 4, 8, 9])


def compare(
    name: str,
    case: Mapping[str, Any],
    encoded: EncodedEdit,
    model: BlipDiffusion,
    sampling: SamplingPlan,
    store: Any,
    recorded: Mapping[str, Tensor],
    shown: list[int],
) -> None:
    kept, latents = 0, sampling.latents
    for step in execute(model.unet, sampling):
        latents = step.latents
        if f"{name}.steps" in recorded and step.index in shown:
            assert farthest(latents, recorded[f"{name}.steps"][kept]) <= 1e-2
            kept += 1
        if case["local_blend"]:
            attention, slots = store.mean()[0], encoded.blend_slots[0]
            cut = mask(attention, slots, (16, 16), case["lb_threshold"])
            assert torch.equal(cut, recorded[f"{name}.mask16"][step.index].float())
            if f"{name}.soft16" in recorded:
                assert farthest(soft_mask(attention, slots, (16, 16)), recorded[f"{name}.soft16"][step.index]) <= 1e-4
    assert farthest(latents, recorded[f"{name}.final"]) <= 1e-2


@pytest.mark.parametrize("steps", [10, 20])
def test_the_recorded_inversions_are_matched(
    steps: int, editing_model: BlipDiffusion, recorded: Mapping[str, Tensor]
) -> None:
    request = EditRequest(source="cat", prompt="sit on a sofa", steps=steps, inversion="ddim")
    words = editing_model.encode_prompts(["a cat sit on a sofa"])
    photo = PhotoSource(Image.new("RGB", (512, 512)), recorded["x0"], None)
    *_, last = invert_photo(editing_model, request, words, photo)
    assert farthest(last.latents, recorded[f"inv{steps}"]) <= 1e-3


@pytest.mark.parametrize("name", PLAIN)
def test_every_recorded_generation_is_matched(
    name: str, model: BlipDiffusion, shared: Path, recorded: Mapping[str, Tensor], cases: Mapping[str, Any]
) -> None:
    case = cases[f"generate_{name}"]
    categories = case["cond_subject"] if isinstance(case["cond_subject"], list) else [case["cond_subject"]]
    parts = [
        subject_of(model, shared, category, photo)
        for category, photo in zip(categories, case["subject_images"], strict=True)
    ]
    subject = mix(list(zip(parts, case["ratio"] or [1.0], strict=True)))
    text = repeat_prompt(build_prompt(case["tgt_subject"], case["prompt"]), reps=case["prompt_reps"])
    guidance = Guidance.even(
        model.encode_prompts([text], [subject]), model.encode_prompts([NEGATIVE]), case["guidance_scale"]
    )
    scheduler = build_scheduler("pndm", model.scheduler_config)
    set_timesteps(scheduler, case["num_inference_steps"])
    *_, last = execute(model.unet, SamplingPlan(guidance, noise(case["seed"], (4, 64, 64)), scheduler))
    assert farthest(last.latents, recorded[name]) <= 1e-3
