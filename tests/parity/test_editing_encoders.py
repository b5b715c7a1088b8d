"""The encoders against the numbers of the original code.

Recorded with LAVIS 506965b (diffusers 0.16.0, transformers 4.33.2, torch 2.13.0 on a CPU, float32). Tolerance 1e-4
as given with the recordings, of values up to 4.6; a wrong epsilon of the trunk or a missing mask costs 0.016 to 3.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from blipdiff.conditioning.mixing import mix
from blipdiff.conditioning.subject import SubjectEmbedding, SubjectPhoto
from blipdiff.images import open_picture, subject_pixels
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.models.tokenizers import category_ids, prompt_ids

SUBJECTS = {
    "a_dog": ("a", "dog"),
    "b_cat": ("b", "cat"),
    "b_dog": ("b", "dog"),
    "a_dress": ("a", "dress"),
    "a_twoword": ("a", "black cat"),
}
TEXTS = ("uncond_empty", "uncond_neg", "plain", "ctx", "ctx_reps20", "ctx_shipped_fillers")
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def recorded(shared: Path) -> Mapping[str, Tensor]:
    folder = shared / "editing"
    return load_file(folder / "subject.safetensors") | load_file(folder / "text.safetensors")


@pytest.fixture(scope="module")
def texts(shared: Path) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads((shared / "editing" / "manifest.json").read_text())["text"]
    return found


def close(ours: Tensor, theirs: Tensor) -> bool:
    return ours.shape == theirs.shape and float((ours - theirs).abs().max()) <= TOLERANCE


def encoded(model: BlipDiffusion, shared: Path, name: str) -> SubjectEmbedding:
    photo, category = SUBJECTS[name]
    picture = open_picture(shared / "editing" / "inputs" / f"subject_{photo}.png")
    return model.encode_subject(SubjectPhoto(picture, category), fit="crop")


@pytest.mark.parametrize("name", SUBJECTS)
@torch.no_grad()
def test_every_recorded_state_of_the_subject_encoder_is_matched(
    name: str, editing_model: BlipDiffusion, recorded: Mapping[str, Tensor], shared: Path
) -> None:
    encoder, (photo, category) = editing_model.subject_encoder, SUBJECTS[name]
    picture = open_picture(shared / "editing" / "inputs" / f"subject_{photo}.png")
    pixels = subject_pixels(picture, editing_model.photo, fit="crop")[None]
    ids, mask = category_ids(editing_model.category_tokenizer, [category], encoder.sizes.qformer.positions)
    assert close(encoder.visual_encoder(pixels), recorded[f"{name}.vit"])
    assert close(encoder.queries_after(pixels, ids, mask), recorded[f"{name}.multimodal"])
    assert close(encoded(editing_model, shared, name).tokens[None], recorded[f"{name}.ctx"])


@pytest.mark.parametrize(
    ("name", "weights"), [("mix_equal", (1.0, 1.0)), ("mix_30_70", (0.3, 0.7)), ("mix_100_0", (1.0, 0.0))]
)
def test_mixes_of_two_subjects_are_matched(
    name: str,
    weights: tuple[float, float],
    editing_model: BlipDiffusion,
    recorded: Mapping[str, Tensor],
    shared: Path,
) -> None:
    parts = [encoded(editing_model, shared, "a_dog"), encoded(editing_model, shared, "b_cat")]
    assert close(mix(list(zip(parts, weights, strict=True))).tokens[None], recorded[name])


@pytest.mark.parametrize("name", TEXTS)
def test_every_recorded_text_is_matched(
    name: str,
    editing_model: BlipDiffusion,
    recorded: Mapping[str, Tensor],
    texts: Mapping[str, Any],
    shared: Path,
) -> None:
    case = texts[name]
    ids = prompt_ids(editing_model.prompt_tokenizer, case["text"], case["max_length"])
    assert torch.equal(torch.tensor([ids]), recorded[f"{name}.ids"])
    subject = encoded(editing_model, shared, "a_dog") if case["subject"] else None
    ours = editing_model.encode_prompts([case["text"]], [subject]).embeddings
    assert close(ours, recorded[f"{name}.embeds"])
