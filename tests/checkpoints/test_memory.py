"""What a model needs of memory is told before it is loaded."""

from pathlib import Path

import pytest
import torch

from blipdiff.checkpoints import load_model, memory
from blipdiff.checkpoints.detect import found
from blipdiff.checkpoints.memory import Memory, free_memory, needed_memory, own_side, peak_bytes, row_memory, sentence
from blipdiff.sampling.cost import own_size


@pytest.fixture(scope="module")
def mini() -> Path:
    with found("mini") as model:
        return model.place


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_weights_are_those_of_the_loaded_model(mini: Path, dtype: torch.dtype) -> None:
    model = load_model("mini", dtype=dtype)
    nets = (model.subject_encoder, model.text_encoder, model.unet, model.vae)
    held = sum(one.numel() * one.element_size() for net in nets for one in net.parameters())
    assert needed_memory(mini, dtype).weights == pytest.approx(held, rel=0.001)
    assert (own_side(mini), own_side(mini)) == own_size(model)


def test_a_step_takes_more_for_more_and_larger_pictures_and_half_in_half_precision(mini: Path) -> None:
    one = needed_memory(mini, torch.float32)
    assert needed_memory(mini, torch.bfloat16).drawing == pytest.approx(one.drawing / 2, rel=0.01)
    assert needed_memory(mini, torch.float32, pictures=4).drawing > 1.3 * one.drawing
    larger = needed_memory(mini, torch.float32, side=256).drawing
    assert one.drawing < larger
    assert 3 * larger < needed_memory(mini, torch.float32, side=512).drawing < 4.5 * larger


def test_the_peak_counts_what_lives_at_the_same_time() -> None:
    def three_in_turn() -> object:
        first = torch.empty(1000, device="meta")
        second = first + 1
        del first
        return second * 2

    assert peak_bytes(three_in_turn) == 2 * 4000


def test_attention_is_counted_without_its_scores() -> None:
    def attend() -> object:
        rows = torch.empty(1, 1, 4096, 8, device="meta")
        return torch.nn.functional.scaled_dot_product_attention(rows, rows, value=rows)

    assert peak_bytes(attend) == 2 * 4096 * 8 * 4


def test_a_row_takes_what_its_networks_take_without_their_weights(mini: Path) -> None:
    model = load_model("mini", dtype=torch.float32)
    row = row_memory(model.unet, model.vae)
    assert needed_memory(mini, torch.float32).drawing / 2.5 < row <= needed_memory(mini, torch.float32).drawing
    half = load_model("mini", dtype=torch.bfloat16)
    assert row_memory(half.unet, half.vae) == pytest.approx(row / 2, rel=0.01)


def test_a_container_leaves_what_its_limit_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    whole = free_memory(torch.device("cpu"))
    (tmp_path / "memory.max").write_text("5000\n")
    (tmp_path / "memory.current").write_text("2000\n")
    assert free_memory(torch.device("cpu")) == 3000 < whole
    (tmp_path / "memory.stat").write_text("anon 900\ninactive_file 700\nactive_file 300\n")
    assert free_memory(torch.device("cpu")) == 3700, "pages of files are taken back"
    (tmp_path / "memory.stat").write_text("nothing to read")
    assert free_memory(torch.device("cpu")) == 3000
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory(torch.device("cpu")) > 3000


def test_a_sentence_says_what_is_too_little_for_what() -> None:
    need, processor = Memory(3 * 10**9, 10**9), torch.device("cpu")
    assert sentence("big", need, 4 * 10**9, processor) is None
    hardly = sentence("big", need, 3_500_000_000, processor)
    assert hardly == (
        "big takes about 4.0 GB to draw, and 3.5 GB are free on this machine: ask for one picture at a time and a "
        "small size, or end other programs first."
    )
    assert "too little to load it" in str(sentence("big", need, 10**9, processor))
