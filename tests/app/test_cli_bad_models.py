"""Damaged or foreign models and cards on the command line: one clear sentence, nothing fetched."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from blipdiff.conditioning.subject import SubjectEmbedding
from tests.support.command_line import Command
from tests.support.refusals import assert_refused, files_below

pytest_plugins = ["tests.support.command_fixtures"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nowhere", "There is no model at nowhere"),
        ("a/b/c", "There is no model at"),
        ("", "model"),
        ("nobody/no-such-model", "is not on this machine, and nothing is fetched"),
        ("Salesforce/blipdiffusion", "is not on this machine, and nothing is fetched"),
    ],
)
def test_a_model_that_is_not_here_is_named_and_nothing_is_fetched(
    name: str, words: str, generate: Command, tmp_path: Path
) -> None:
    assert_refused(generate("--model", name), words)
    assert files_below(tmp_path / "hub") == []


@pytest.fixture
def own_model(model: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model that a test may damage."""
    return Path(shutil.copytree(model, tmp_path / "own"))


def spoil(path: Path, name: str, value: float) -> None:
    tensors = {key: tensor.clone() for key, tensor in load_file(path).items()}
    tensors[name].fill_(value)
    save_file(tensors, path)


MODEL_FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no weights": (lambda folder: (folder / "unet/diffusion_pytorch_model.safetensors").unlink(), "no weights"),
    "no config": (lambda folder: (folder / "qformer/config.json").unlink(), "config.json is missing"),
    "no vocabulary": (lambda folder: shutil.rmtree(folder / "qformer_tokenizer"), "vocab.txt"),
    "no tokenizer": (lambda folder: shutil.rmtree(folder / "tokenizer"), "vocab.json"),
    "no scheduler": (lambda folder: shutil.rmtree(folder / "scheduler"), "scheduler_config.json is missing"),
    "no index": (lambda folder: (folder / "model_index.json").unlink(), "is no model"),
    "empty folder": (lambda folder: (shutil.rmtree(folder), folder.mkdir()), "is no model"),
    "a file instead": (lambda folder: (shutil.rmtree(folder), folder.write_text("no")), "is no model"),
    "swapped": (
        lambda folder: shutil.copy(
            folder / "text_encoder/model.safetensors", folder / "unet/diffusion_pytorch_model.safetensors"
        ),
        "were files swapped",
    ),
    "truncated": (
        lambda folder: os.truncate(folder / "unet/diffusion_pytorch_model.safetensors", 5_000),
        "is damaged",
    ),
    "not a number": (
        lambda folder: spoil(
            folder / "text_encoder/model.safetensors", "text_model.final_layer_norm.weight", float("nan")
        ),
        "holds not-a-number or infinite values",
    ),
    "damaged json": (lambda folder: (folder / "vae/config.json").write_text("{"), "is not readable JSON"),
}


@pytest.mark.parametrize("fault", MODEL_FAULTS)
def test_a_damaged_model_is_named(fault: str, generate: Command, own_model: Path) -> None:
    damage, words = MODEL_FAULTS[fault]
    damage(own_model)
    assert_refused(generate("--model", own_model), words)


def test_weights_that_explode_are_told_before_a_black_picture_is_saved(generate: Command, own_model: Path) -> None:
    spoil(own_model / "unet" / "diffusion_pytorch_model.safetensors", "conv_out.bias", 1e38)
    assert_refused(generate("--model", own_model, "--dtype", "float32"), "infinite or not-a-number")


@pytest.fixture
def card(made: tuple[Path, Path], tmp_path: Path) -> Path:
    """A card that a test may damage."""
    (tmp_path / "cards").mkdir()
    return Path(shutil.copy(made[1], tmp_path / "cards"))


def test_a_damaged_card_is_named(generate: Command, card: Path) -> None:
    whole = card.read_bytes()
    for content in (b"", b"hello", whole[:40], whole[: len(whole) // 2], b"\xff" * 100, os.urandom(2_000)):
        card.write_bytes(content)
        assert_refused(generate("--subject", card), "dog.safetensors is damaged, or it is not a subject card")
    card.unlink()
    assert_refused(generate("--subject", card), "cannot be read")


def test_a_card_that_is_not_a_number_is_refused(generate: Command, card: Path) -> None:
    subject = SubjectEmbedding.load(card)
    subject.tokens[0, 0] = float("nan")
    subject.save(card)
    assert_refused(generate("--subject", card), "not-a-number")


def test_weights_given_as_a_card_are_refused(generate: Command, model: Path) -> None:
    assert_refused(generate("--subject", model / "vae" / "diffusion_pytorch_model.safetensors"), "is no subject card")


def test_a_card_of_another_model_is_refused(generate: Command, card: Path, models: Callable[[int], Path]) -> None:
    ended = generate("--subject", card, "--model", models(1))
    assert_refused(ended, "was made by the model")
    assert "Encode the photo again" in ended.err


def test_a_card_of_other_rows_is_refused(generate: Command, card: Path) -> None:
    subject = SubjectEmbedding.load(card)
    for rows in (1, 3, 5, 40):
        SubjectEmbedding(subject.tokens[:1].repeat(rows, 1), "dog", fingerprint=subject.fingerprint).save(card)
        for guidance in (7.5, 1):
            assert_refused(generate("--subject", card, "--guidance", guidance), "rows")


def test_a_card_must_be_named_so_that_it_is_known_as_one(blipdiff: Command, model: Path, dog: Path) -> None:
    ended = blipdiff("encode", dog, "--category", "dog", "--model", model, "--output", "dog.png")
    assert_refused(ended, ".safetensors")
