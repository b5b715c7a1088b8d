"""Folders that are incomplete, mixed up, damaged or dangerous: each fault is named."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from blipdiff.checkpoints import load_model
from blipdiff.checkpoints.configs import read_json, write_json
from blipdiff.errors import CheckpointError


def edit_weights(path: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    tensors = {name: value.clone() for name, value in load_file(path).items()}
    change(tensors)
    save_file(tensors, path)


@pytest.mark.parametrize(
    "name",
    [
        "model_index.json",
        "scheduler/scheduler_config.json",
        "qformer/config.json",
        "qformer/model.safetensors",
        "text_encoder/model.safetensors",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/config.json",
        "image_processor/preprocessor_config.json",
    ],
)
def test_a_missing_file_is_named(name: str, tiny_folder: Path) -> None:
    (tiny_folder / name).unlink()
    with pytest.raises(CheckpointError, match=r"missing|no weights|no model"):
        load_model(tiny_folder, dtype="stored")


@pytest.mark.parametrize(
    ("part", "wrong", "words"),
    [
        ("qformer/model", "unet/diffusion_pytorch_model", "those of a U-Net; were files swapped"),
        ("unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model", "those of a VAE; were files swapped"),
        ("text_encoder/model", "qformer/model", "those of a Q-Former; were files swapped"),
        ("vae/diffusion_pytorch_model", "text_encoder/model", "those of a text encoder; were files swapped"),
    ],
)
def test_swapped_weights_are_recognised(part: str, wrong: str, words: str, tiny_folder: Path) -> None:
    shutil.copy(tiny_folder / f"{wrong}.safetensors", tiny_folder / f"{part}.safetensors")
    with pytest.raises(CheckpointError, match=words):
        load_model(tiny_folder, dtype="stored")


def test_swapped_configurations_are_recognised(tiny_folder: Path) -> None:
    shutil.copy(tiny_folder / "unet" / "config.json", tiny_folder / "vae" / "config.json")
    with pytest.raises(CheckpointError, match="UNet2DConditionModel"):
        load_model(tiny_folder, dtype="stored")


def test_missing_unexpected_and_misshaped_tensors_are_named(tiny_folder: Path) -> None:
    def spoil(tensors: dict[str, Tensor]) -> None:
        del tensors["conv_in.bias"]
        tensors["conv_out.weight"] = torch.zeros(3, 3)
        tensors["surplus"] = torch.zeros(2)

    edit_weights(tiny_folder / "unet" / "diffusion_pytorch_model.safetensors", spoil)
    with pytest.raises(CheckpointError) as caught:
        load_model(tiny_folder, dtype="stored")
    message = str(caught.value)
    assert "1 missing: conv_in.bias" in message
    assert "1 unexpected: surplus" in message
    assert "1 of another shape: conv_out.weight [3, 3] instead of" in message


def test_only_the_first_ten_names_are_listed(tiny_folder: Path) -> None:
    edit_weights(
        tiny_folder / "unet" / "diffusion_pytorch_model.safetensors",
        lambda tensors: [tensors.pop(name) for name in list(tensors)[:15]],
    )
    with pytest.raises(CheckpointError, match=r"15 missing: .* and 5 more"):
        load_model(tiny_folder, dtype="stored")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_weights_that_are_no_numbers_are_named(value: float, dtype: torch.dtype | None, tiny_folder: Path) -> None:
    edit_weights(
        tiny_folder / "text_encoder" / "model.safetensors",
        lambda tensors: tensors["text_model.final_layer_norm.weight"].fill_(value),
    )
    with pytest.raises(CheckpointError, match=r"final_layer_norm\.weight holds not-a-number"):
        load_model(tiny_folder, dtype=dtype)


def test_values_too_large_for_half_precision_are_named(tiny_folder: Path) -> None:
    edit_weights(
        tiny_folder / "unet" / "diffusion_pytorch_model.safetensors",
        lambda tensors: tensors["conv_in.bias"].fill_(1e6),
    )
    with pytest.raises(CheckpointError, match=r"conv_in\.bias has values too large"):
        load_model(tiny_folder, dtype=torch.float16)


def test_damaged_files_are_refused(tiny_folder: Path) -> None:
    path = tiny_folder / "unet" / "diffusion_pytorch_model.safetensors"
    whole = path.read_bytes()
    for content, words in [
        (whole[: len(whole) // 2], "damaged"),
        (b"", "damaged"),
        (b"hello", "damaged"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS"),
    ]:
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=words):
            load_model(tiny_folder, dtype="stored")
    path.write_bytes(whole)
    (tiny_folder / "unet" / "config.json").write_text("{ not json")
    with pytest.raises(CheckpointError, match="not readable JSON"):
        load_model(tiny_folder, dtype="stored")


class Danger:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("this must never be printed",))


def test_a_pickle_that_runs_code_is_not_opened(tiny_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tiny_folder / "qformer" / "model.safetensors").unlink()
    torch.save({"query_tokens": Danger()}, tiny_folder / "qformer" / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="not opened"):
        load_model(tiny_folder, dtype="stored")
    assert "never" not in capsys.readouterr().out


def test_impossible_configurations_are_refused(tiny_folder: Path) -> None:
    index = tiny_folder / "model_index.json"
    for changes, words in [({"ctx_begin_pos": "two"}, "ctx_begin_pos"), ({"mean": ["red"]}, "'mean' in")]:
        before = index.read_text()
        write_json(index, read_json(index) | changes)
        with pytest.raises(CheckpointError, match=words):
            load_model(tiny_folder, dtype="stored")
        index.write_text(before)
    path = tiny_folder / "unet" / "config.json"
    write_json(path, read_json(path) | {"block_out_channels": [7, 9]})
    with pytest.raises(CheckpointError):
        load_model(tiny_folder, dtype="stored")
