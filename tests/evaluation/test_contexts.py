"""The classifier of contexts learns from composites, keeps what it learned, and refuses what it cannot read."""

from pathlib import Path

import numpy as np
import pytest
import torch

from blipdiff.data import PairLibrary
from blipdiff.errors import CheckpointError
from blipdiff.evaluation import ContextClassifier, train_context_classifier
from blipdiff.evaluation.contexts import library_key, names_scene


@pytest.fixture(scope="module")
def trained(library: PairLibrary) -> ContextClassifier:
    pytest.importorskip("efficientnet_lite_pytorch")
    *_, last = train_context_classifier(library, pictures=300)
    assert last.classifier is not None
    return last.classifier


def test_a_few_hundred_pictures_teach_most_scenes(library: PairLibrary, trained: ContextClassifier) -> None:
    pairs = [library.draw(place, 77, "source") for place in range(60)]
    named = trained.classify([pair.target for pair in pairs])
    plain = [scene == pair.scene for (scene, _), pair in zip(named, pairs, strict=True) if pair.style is None]
    assert np.mean(plain) > 0.6  # of 36 scenes


def test_a_saved_classifier_names_the_same(library: PairLibrary, trained: ContextClassifier, tmp_path: Path) -> None:
    trained.save(tmp_path / "classifier.safetensors")
    loaded = ContextClassifier.load(tmp_path / "classifier.safetensors")
    pictures = [library.draw(place, 8).target for place in range(70)]
    assert loaded.classify(pictures) == trained.classify(pictures)
    assert (loaded.scenes, loaded.styles, loaded.library) == (trained.scenes, trained.styles, library_key(library))


def test_training_repeats_itself_and_leaves_the_global_generator_alone(
    library: PairLibrary, trained: ContextClassifier
) -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one, other = ([*train_context_classifier(library, pictures=40, seed=1)][-1].classifier for _ in range(2))
    assert torch.rand(1) == expected
    assert one is not None
    assert other is not None
    assert torch.equal(one.head.hidden.weight, other.head.hidden.weight)


def test_pictures_of_any_size_are_named(library: PairLibrary, trained: ContextClassifier) -> None:
    assert len(trained.classify([np.zeros((256, 200, 3), np.uint8), np.zeros((64, 64, 3), np.uint8)])) == 2


def test_a_plain_colour_is_not_told_by_a_style_without_colours() -> None:
    assert not names_scene("plain red", "sepia")
    assert names_scene("plain red", "pixel art")
    assert names_scene("plain red", None)
    assert names_scene("forest", "sepia")


@pytest.mark.parametrize("content", [b"", b"not a classifier", b"\x08\0\0\0\0\0\0\0{}      "])
def test_a_damaged_file_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "classifier.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="classifier"):
        ContextClassifier.load(path)
    with pytest.raises(CheckpointError):
        ContextClassifier.load(tmp_path / "absent.safetensors")
