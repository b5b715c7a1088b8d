"""Alignment, windows and word weights against the numbers of the original code.

Recorded with LAVIS 506965b (torch 2.13.0, CPU), "fixed": without the filler words that the original leaves in the text
beside the subject. Whole numbers, so equality.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from blipdiff.attention.alignment import align
from blipdiff.attention.prompt_to_prompt import PromptToPrompt, Refine, Reweight
from blipdiff.conditioning.layout import TokenLayout
from blipdiff.models.blip_diffusion import BlipDiffusion
from blipdiff.models.tokenizers import prompt_ids
from blipdiff.moment import Moment, Window
from blipdiff.transformers_types import CLIPTokenizer

PAIRS = range(12)


@pytest.fixture(scope="module")
def recorded(shared: Path) -> dict[str, Tensor]:
    return load_file(shared / "editing" / "alignment.safetensors")


@pytest.fixture(scope="module")
def pairs(shared: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((shared / "editing" / "manifest.json").read_text())["alignment"]
    return found


def layout(tokenizer: CLIPTokenizer, text: str, *, subject: bool = False) -> TokenLayout:
    tokens = tokenizer.convert_ids_to_tokens(prompt_ids(tokenizer, text, 61 if subject else 77))
    return TokenLayout.of(tokens, subject_at=2 if subject else None, subject_slots=16)


@pytest.mark.parametrize("number", PAIRS)
def test_every_recorded_alignment_is_matched(
    number: int, editing_model: BlipDiffusion, recorded: dict[str, Tensor], pairs: list[dict[str, Any]]
) -> None:
    pair, tokenizer = pairs[number], editing_model.prompt_tokenizer
    source = layout(tokenizer, pair["source_prompt"])
    found = align(source, layout(tokenizer, pair["edited_prompt"], subject=True))
    assert list(found.sources) == recorded[f"{pair['name']}.mapper"].tolist()
    assert list(found.aligned) == recorded[f"{pair['name']}.alphas"].bool().tolist()


@pytest.mark.parametrize("number", PAIRS)
def test_every_recorded_word_is_found_where_it_was(
    number: int, editing_model: BlipDiffusion, pairs: list[dict[str, Any]]
) -> None:
    pair = pairs[number]
    source = layout(editing_model.prompt_tokenizer, pair["source_prompt"])
    assert list(source.slots(pair["src_subject"])) == pair["source_word_inds_per_word"]


@pytest.mark.parametrize("stop", [0.2, 0.8, 1.0])
@pytest.mark.parametrize("steps", [10, 50])
def test_cross_attention_is_replaced_at_the_same_calls(steps: int, stop: float, recorded: dict[str, Tensor]) -> None:
    calls = recorded[f"cross_alpha_steps{steps}_{stop:.1f}"]
    held = [Window(0.0, stop).holds(Moment(index, len(calls), torch.tensor(0))) for index in range(len(calls))]
    assert held == calls.bool().tolist()


def test_a_words_own_window_holds_at_the_same_calls(editing_model: BlipDiffusion, recorded: dict[str, Tensor]) -> None:
    calls = recorded["cross_alpha_steps10_dict"]
    plain = layout(editing_model.prompt_tokenizer, "a dog sit")
    own = dict.fromkeys(plain.slots("dog"), Window(0.0, 0.4))
    tap = PromptToPrompt((Refine(align(plain, plain)),), cross_window=Window(0.0, 0.8), slot_windows=own)
    held = torch.stack([tap.held(Moment(index, 11, torch.tensor(0)), 77) for index in range(11)])
    assert torch.equal(held, calls.bool())


def test_a_word_is_reweighted_in_the_same_slots(editing_model: BlipDiffusion, recorded: dict[str, Tensor]) -> None:
    plain = layout(editing_model.prompt_tokenizer, "a cat sit on a sofa")
    ones = torch.ones(1, 2, 3, 77)
    weighted = Reweight(dict.fromkeys(plain.slots("cat"), 2.0))(ones, ones)
    assert torch.equal(weighted, recorded["equalizer_cat_2"].expand_as(ones))
