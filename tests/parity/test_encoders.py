"""The encoders against the numbers of diffusers' port.

Recorded with diffusers 0.33.1, transformers 4.53.3, torch 2.13.0 on a CPU, one thread, float32. Tolerance 1e-5:
the same computation in another order of summation; a missing mask or a wrong activation costs 0.014 to 3.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from blipdiff.checkpoints import load_model
from blipdiff.conditioning.subject import SubjectEmbedding, SubjectPhoto
from blipdiff.images import picture_tensor, subject_pixels
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.models.tokenizers import category_ids, prompt_ids

BASE = ("reps20", "reps1", "strength", "no_cfg", "neg_default", "batch2", "one_ref_two_prompts")
CONTROLNET = ("reps20", "reps1", "no_cfg")
TOLERANCE = 1e-5

Golden = dict[str, Tensor]


@pytest.fixture(
    scope="module",
    params=["blipdiffusion-tiny", "blipdiffusion-tiny-bin", "blipdiffusion-controlnet-tiny", "lavis-tiny"],
)
def model(request: pytest.FixtureRequest, shared: Path) -> BlipDiffusion:
    parity = shared / "parity"
    lender = parity / "blipdiffusion-tiny" if request.param == "lavis-tiny" else None
    return load_model(parity / request.param, configs_from=lender, dtype="stored")


@pytest.fixture(scope="module")
def golden(shared: Path) -> Mapping[str, Golden]:
    parity = shared / "parity"
    return {part: load_file(parity / f"golden_{part}.safetensors") for part in ("base", "controlnet")}


@pytest.fixture(scope="module")
def cases(shared: Path) -> Mapping[str, Any]:
    meta = json.loads((shared / "parity" / "meta.json").read_text())
    return {"base": meta["plain"], "controlnet": meta["controlnet"], "tokenizers": meta["tokenizers"]}


ALL = [("base", name) for name in BASE] + [("controlnet", name) for name in CONTROLNET]
pytestmark = pytest.mark.filterwarnings("error")


def photos(numbers: Golden, count: int) -> list[Image.Image]:
    """The recorded photos; the peer drops an alpha channel, which is opaque here."""
    return [Image.fromarray(numbers[f"input.reference_image_{n}"][..., :3].contiguous().numpy()) for n in range(count)]


def pixels(model: BlipDiffusion, numbers: Golden, name: str) -> Tensor:
    count = 2 if name == "batch2" else 1
    return torch.stack([subject_pixels(photo, model.photo, fit="squash") for photo in photos(numbers, count)])


def close(ours: Tensor, theirs: Tensor) -> bool:
    return ours.shape == theirs.shape and float((ours - theirs).abs().max()) <= TOLERANCE


def test_photos_become_the_same_pixels(model: BlipDiffusion, golden: Mapping[str, Golden]) -> None:
    numbers = golden["base"]
    assert close(pixels(model, numbers, "batch2"), numbers["batch2.pixel_values"])


@pytest.mark.parametrize(("part", "name"), ALL)
@torch.no_grad()
def test_every_recorded_state_of_the_qformer_is_matched(
    part: str, name: str, model: BlipDiffusion, golden: Mapping[str, Golden], cases: Mapping[str, Any]
) -> None:
    numbers, encoder = golden[part], model.subject_encoder
    categories = cases[part][name]["source_subject_category"]
    ids, mask = category_ids(model.category_tokenizer, categories, encoder.sizes.qformer.positions)
    assert torch.equal(ids, numbers[f"{name}.qformer.input_ids"])
    assert torch.equal(mask, numbers[f"{name}.qformer.attention_mask"])
    features = encoder.visual_encoder(pixels(model, numbers, name))
    assert close(features, numbers[f"{name}.qformer.image_embeds"])
    features = features.expand(len(ids), -1, -1)
    queries = encoder.query_tokens.expand(len(ids), -1, -1)
    rows = encoder.embeddings(ids, queries)
    assert close(rows, numbers[f"{name}.qformer.embedding_output"])
    seen = torch.cat([mask.new_ones(len(ids), 16), mask], dim=1).bool()[:, None, None, :]
    assert close(encoder.encoder.layer[0](rows, features, 16, seen), numbers[f"{name}.qformer.layer0"])
    last = encoder.encoder(rows, features, 16, seen)
    assert close(last, numbers[f"{name}.qformer.last_hidden_state"])
    assert close(encoder.proj_layer(last[:, :16]), numbers[f"{name}.subject_embeds"])


@pytest.mark.parametrize(("part", "name"), ALL)
def test_subjects_and_prompts_are_matched_through_the_model(
    part: str, name: str, model: BlipDiffusion, golden: Mapping[str, Golden], cases: Mapping[str, Any]
) -> None:
    numbers, case = golden[part], cases[part][name]
    categories, prompts = case["source_subject_category"], case["built_prompts"]
    taken = photos(numbers, 2 if name == "batch2" else 1) * (1 if name == "batch2" else len(prompts))
    pairs = [SubjectPhoto(photo, category) for photo, category in zip(taken, categories, strict=True)]
    subjects = [model.encode_subject(pair, fit="squash") for pair in pairs]
    assert close(torch.stack([subject.tokens for subject in subjects]), numbers[f"{name}.subject_embeds"])
    assert close(model.encode_photos(pairs, fit="squash"), numbers[f"{name}.subject_embeds"])
    assert close(model.encode_prompts(prompts, subjects).embeddings, numbers[f"{name}.text_embeds_ctx"])
    assert close(model.encode_prompts(prompts).embeddings, numbers[f"{name}.text_embeds_no_ctx"])
    negative = model.encode_prompts([case["neg_prompt"]] * len(prompts)).embeddings
    if f"{name}.neg_embeds" in numbers:
        assert close(negative, numbers[f"{name}.neg_embeds"])


@pytest.mark.parametrize(("part", "name"), ALL)
def test_prompts_become_the_same_ids(
    part: str, name: str, model: BlipDiffusion, golden: Mapping[str, Golden], cases: Mapping[str, Any]
) -> None:
    numbers, case = golden[part], cases[part][name]
    words = case["built_prompts"]
    for key, texts, length in (
        ("prompt_ids", words, 61),
        ("prompt_ids_no_ctx", words, 77),
        ("neg_ids", [case["neg_prompt"]] * len(words), 77),
    ):
        ids = [prompt_ids(model.prompt_tokenizer, text, length) for text in texts]
        assert torch.equal(torch.tensor(ids), numbers[f"{name}.{key}"]), key


def test_the_tokenizers_agree_on_every_recorded_text(model: BlipDiffusion, cases: Mapping[str, Any]) -> None:
    for entry in cases["tokenizers"]:
        assert model.prompt_tokenizer(entry["text"]).input_ids == entry["clip"], entry["text"]
        assert model.category_tokenizer(entry["text"]).input_ids == entry["bert"], entry["text"]


def test_a_control_map_is_resized_as_the_peer_does(golden: Mapping[str, Golden]) -> None:
    numbers = golden["controlnet"]
    control = Image.fromarray(numbers["input.conditioning_image"].numpy())
    for name in CONTROLNET:
        assert torch.equal(picture_tensor(control, (64, 128))[None], numbers[f"{name}.control_cond"])


def test_a_subject_is_kept_on_the_way_to_a_card_and_back(
    model: BlipDiffusion, golden: Mapping[str, Golden], tmp_path: Path
) -> None:
    subject = model.encode_subject(SubjectPhoto(photos(golden["base"], 1)[0], "dog"), fit="squash")
    again = SubjectEmbedding.load(subject.save(tmp_path / "dog.safetensors"))
    ours, theirs = model.encode_prompts(["a dog"], [subject]), model.encode_prompts(["a dog"], [again])
    assert torch.equal(ours.embeddings, theirs.embeddings)
