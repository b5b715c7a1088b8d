"""`blipdiff personalize` and `export` on a tiny model: photos become cards, and bad ones a sentence."""

from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors import safe_open

from blipdiff.conditioning.subject import SubjectEmbedding
from tests.support.command_line import Command
from tests.support.learned import view

pytest_plugins = ["tests.support.command_fixtures"]

FEW = ("--steps", 2, "--batch", 2, "--rate", 0.05, "--category", "dog")


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"rex{number}.png" for number in range(2)]
    for number, path in enumerate(paths):
        view(number).save(path)
    return paths


@pytest.fixture
def personalize(blipdiff: Command, model: Path) -> Command:
    return lambda *given: blipdiff("personalize", *given, *FEW, "--model", model)


def test_photos_become_a_card_that_generate_takes_and_exports_for_others(
    personalize: Command, blipdiff: Command, photos: list[Path], model: Path, tmp_path: Path
) -> None:
    card = tmp_path / "rex.safetensors"
    ended = personalize(*photos, "--output", card, "--samples", tmp_path / "samples", "--rank", 4)
    assert (ended.code, ended.out.split()) == (0, [str(card)])
    assert "GB of memory" in ended.err
    assert not card.with_suffix(".run").exists()
    assert sorted(path.suffix for path in (tmp_path / "samples").iterdir()) == [".png", ".png"]
    ended = blipdiff("generate", "--subject", card, "--steps", 2, "--count", 1, "--model", model, "--json")
    assert ended.code == 0, ended.err
    picture = ended.answer["pictures"][0]["path"]
    assert "give the card of it" in blipdiff("generate", "--like", picture, "--model", model).err
    assert blipdiff("generate", "--like", picture, "--subject", card, "--model", model).code == 0
    if SubjectEmbedding.load(card).weights:
        ended = blipdiff("export", card, "--format", "kohya")
        assert ended.code == 0
        with safe_open(ended.out.strip(), "pt") as file:
            assert any(name.endswith(".lora_down.weight") for name in file.keys())  # noqa: SIM118
    assert "choose one of: diffusers, kohya" in blipdiff("export", card, "--format", "onnx").err


def test_a_folder_of_folders_is_one_subject_after_the_other(
    personalize: Command, photos: list[Path], tmp_path: Path
) -> None:
    for name, path in zip(("rex", "mia"), photos, strict=True):
        (tmp_path / "all" / name).mkdir(parents=True)
        path.rename(tmp_path / "all" / name / path.name)
    ended = personalize(tmp_path / "all", "--output", tmp_path / "cards", "--method", "embedding", "--json")
    assert [Path(one["card"]).name for one in ended.answer["cards"]] == ["mia.safetensors", "rex.safetensors"]
    again = personalize(tmp_path / "all", "--output", tmp_path / "cards", "--method", "embedding", "--json")
    assert again.answer["cards"] == []
    assert "is there already" in again.answer["notices"][0]


def test_a_photo_that_cannot_be_read_is_named_and_left_out(
    personalize: Command, photos: list[Path], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(photos[0].read_bytes()[:60])
    ended = personalize(photos[0], broken, "--method", "embedding", "--json")
    assert ended.code == 0
    assert any("broken.png" in text and "left out" in text for text in ended.answer["notices"])
    assert any("one photo" in text for text in ended.answer["notices"])
    assert "None of the 1 photos can be read" in personalize(broken).err


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (lambda photos, place: (*photos, "--output", place / "rex.png"), "is known by its ending .safetensors"),
        (lambda photos, place: (*photos * 101,), "at most 200 are taken"),
        (lambda photos, place: (place,), "holds no photos"),
        (lambda photos, place: (*photos, "--method", "dreambooth"), "choose one of: embedding, lora, full"),
    ],
    ids=["ending", "many", "none", "method"],
)
def test_what_cannot_be_learned_is_told_in_a_sentence(
    personalize: Command, photos: list[Path], tmp_path: Path, given: Callable[..., tuple], said: str
) -> None:
    place = tmp_path / "empty"
    place.mkdir()
    ended = personalize(*given(photos, place))
    assert ended.code != 0
    assert said in ended.err
    assert list(place.iterdir()) == []
