"""Photos described by BLIP, BLIP-2 and InstructBLIP, on small random networks."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import BlipForConditionalGeneration, BlipForImageTextRetrieval

from blipdiff.data.captioner import captioned_and_filtered
from blipdiff.devices import placement
from blipdiff.errors import CheckpointError, ConfigError
from blipdiff.images import subject_pixels
from blipdiff.language.captioners import load_matcher
from blipdiff.language.describing import BlipPair, asked_engine, captioner_in, load_describing, matcher_in
from blipdiff.models.describer import SURE
from tests.support.command_line import Command
from tests.support.tiny_engines import save_blip, save_blip_2, save_instructblip
from tests.support.tiny_models import photo

pytest_plugins = ["tests.support.command_fixtures"]
PLACE = placement("cpu", "float32")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("describing")
    save_blip(BlipForConditionalGeneration, place / "captioner")
    save_blip(BlipForImageTextRetrieval, place / "matcher")
    save_blip_2(place / "blip-2", "t5")
    save_instructblip(place / "instructblip")
    return place


def options(name: str, folders: Path) -> list[object]:
    parts = ("captioner", "matcher") if name == "blip" else ("weights",)
    return [word for part in parts for word in (f"--{part}", folders / (part if name == "blip" else name))]


@pytest.mark.parametrize("name", ["blip", "blip-2", "instructblip"])
def test_the_command_describes_by_each_engine(blipdiff: Command, folders: Path, tmp_path: Path, name: str) -> None:
    photo(5, (40, 30)).save(tmp_path / "photo.png")
    command = [
        "describe",
        tmp_path / "photo.png",
        "--engine",
        name,
        "--count",
        3,
        "--device",
        "cpu",
        "--dtype",
        "float32",
    ]
    ended = blipdiff(*command, *options(name, folders), "--text", "a dog", "--json")
    assert ended.code == 0, ended.err
    chances = [chance for _, chance in ended.answer["categories"]]
    assert 1 <= len(chances) <= 3
    assert chances == sorted(chances, reverse=True)
    assert all(0 <= chance <= 1 for chance in (*chances, ended.answer["match"]))
    assert ended.answer["text"] == "a dog"
    said = blipdiff(*command, *options(name, folders))
    assert (said.code, "bundled describer" in said.out) == (0, False)


def test_blips_names_are_the_nearest_by_contrast_that_match_best(folders: Path) -> None:
    matcher = load_matcher(folders / "matcher")
    names = ("dog", "cat", "snow", "grass", "dog on grass")
    pair = BlipPair(captioner_in(folders / "captioner", PLACE), matcher, names)  # type: ignore[arg-type]
    found = pair.named(photo(1), 5)
    matches = matcher.matches(photo(1), [f"a photo of a {name}" for name in names])
    assert dict(found) == pytest.approx(dict(zip(names, matches, strict=True)))


def test_contrast_is_that_of_transformers(folders: Path) -> None:
    matcher, texts = load_matcher(folders / "matcher"), ["a dog", "a cat in the snow"]
    words = matcher.tokenizer(texts, padding=True, return_tensors="pt")
    pixels = subject_pixels(photo(1), matcher.photo, fit="squash")[None]
    with torch.no_grad():
        theirs = matcher.network(
            input_ids=words.input_ids, attention_mask=words.attention_mask, pixel_values=pixels, use_itm_head=False
        ).itm_score[0]
    torch.testing.assert_close(matcher.likenesses(photo(1), texts), theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["blip-2", "instructblip"])
def test_captions_are_drawn_and_filtered_by_an_engine_too(folders: Path, name: str) -> None:
    captioner, matcher = captioner_in(folders / name, PLACE), matcher_in(folders / name, PLACE)
    kept = captioned_and_filtered(photo(2), ["a dog on grass"], captioner, matcher, count=4, least=0.0, seed=3)
    assert kept.refused == 0
    assert "a dog on grass" in kept.captions
    again = captioned_and_filtered(photo(2), ["a dog on grass"], captioner, matcher, count=4, least=0.0, seed=3)
    assert again == kept


def test_what_cannot_describe_is_said(blipdiff: Command, folders: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no describing engine 'blip-vqa'"):
        load_describing("blip-vqa", place=PLACE)
    with pytest.raises(CheckpointError, match="neither BLIP-2 nor InstructBLIP"):
        asked_engine(folders / "matcher", PLACE)
    with pytest.raises(CheckpointError, match=r"blip-image-captioning-large, about 1.9 GB"):
        load_describing("blip", place=PLACE)
    Image.new("RGB", (20, 20)).save(tmp_path / "photo.png")
    ended = blipdiff("describe", tmp_path / "photo.png", "--weights", folders / "blip-2")
    assert (ended.code, "has no weights" in ended.err) == (2, True)


def test_the_bundled_describer_describes_through_the_same_face() -> None:
    describing = load_describing("mini-describe", place=PLACE)
    assert len(describing.named(photo(0, (64, 64)), 4)) == 4
    assert len(describing.captions(photo(0, (64, 64)), 3)) == 3  # type: ignore[call-arg]
    assert describing.named(photo(0, (64, 64)), 1)[0][1] < SURE
