"""A disk that takes no more while a subject is learned and its card is written: a sentence, and nothing is lost."""

from pathlib import Path

import pytest
import torch

from blipdiff.conditioning.subject import SubjectEmbedding
from blipdiff.errors import OutputError
from pipelines.personalize.learning import Learning
from pipelines.personalize.request import PersonalizeRequest
from pipelines.personalize.run import material, read_photos
from pipelines.studio import Studio
from tests.support.disks import largest_file
from tests.support.learned import view
from tests.support.tiny_models import tiny_model

LITTLE = 2**12  # bytes: a log takes them, a state does not


@pytest.fixture(scope="module")
def studio() -> Studio:
    return Studio(tiny_model())


def learning(studio: Studio, folder: Path) -> Learning:
    request = PersonalizeRequest(category="dog", steps=8, batch=2, rate=0.05, seed=3)
    photos = read_photos(studio, [view(0)], request.category, request.fit)
    return Learning(studio.model, request, material(studio.model, photos, request), folder)


@pytest.mark.parametrize("stop", [2, 7], ids=["rows", "weights"])
def test_a_full_disk_while_it_learns_is_said_and_it_goes_on_bit_for_bit(
    studio: Studio, stop: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.personalize.learning._SAVED_EVERY", 0.0)
    whole = learning(studio, tmp_path / "whole")
    for _ in whole.steps():
        pass
    for number, _ in enumerate(learning(studio, tmp_path / "full").steps()):
        if number == stop:
            break
    with largest_file(LITTLE), pytest.raises(OutputError, match="The last whole state is kept"):
        for _ in learning(studio, tmp_path / "full").steps():
            pass
    again = learning(studio, tmp_path / "full")
    for _ in again.steps():
        pass
    one, two = whole.card(), again.card()
    assert torch.equal(one.tokens, two.tokens)
    assert [a.weights.fingerprint for a in one.weights] == [a.weights.fingerprint for a in two.weights]


def test_a_card_that_does_not_fit_leaves_the_one_before(studio: Studio, tmp_path: Path) -> None:
    found, path = learning(studio, tmp_path / "run"), tmp_path / "rex.safetensors"
    found.material.start.save(path)
    kept = path.read_bytes()
    for _ in found.steps():
        pass
    with largest_file(LITTLE), pytest.raises(OutputError, match="cannot be written"):
        found.card().save(path)
    assert path.read_bytes() == kept
    assert SubjectEmbedding.load(path).category == "dog"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["rex.safetensors", "run"]
