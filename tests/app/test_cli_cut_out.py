"""`blipdiff cut-out`, and cards with and without the photo."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from blipdiff.conditioning.subject import SubjectEmbedding
from pipelines.inputs import layers_of
from pipelines.metadata import read_metadata
from tests.support.command_line import Command

pytest_plugins = ["tests.support.command_fixtures"]


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    image = Image.new("RGB", (64, 48), "white")
    ImageDraw.Draw(image).ellipse((16, 8, 47, 39), fill="red")
    path = tmp_path / "my dog.png"
    image.save(path)
    return path


def test_a_photo_becomes_a_cut_out(blipdiff: Command, picture: Path, tmp_path: Path) -> None:
    answer = blipdiff("cut-out", picture, "--output", tmp_path / "dog.png", "--json").answer
    assert (answer["way"], answer["sure"], answer["size"]) == ("plain ground", True, [32, 32])
    with Image.open(answer["cut_out"]) as found:
        assert found.mode == "RGBA" and np.asarray(found)[0, 0, 3] == 0 and np.asarray(found)[16, 16, 3] == 255


def test_what_shows_no_subject_is_refused_in_a_sentence(blipdiff: Command, tmp_path: Path) -> None:
    empty = tmp_path / "empty.png"
    Image.new("RGBA", (32, 32)).save(empty)
    ended = blipdiff("cut-out", empty, "--output", tmp_path / "out.png")
    assert ended.code != 0 and "No subject was found" in ended.err and not (tmp_path / "out.png").exists()
    assert blipdiff("cut-out", empty, "--segmenter", "nowhere").code != 0


def test_a_card_has_the_photo_unless_it_shall_not(blipdiff: Command, picture: Path, model: Path) -> None:
    asked = ("encode", picture, "--category", "dog", "--model", model, "--json")
    for more, has in (((), True), (("--no-photo",), False)):
        answer = blipdiff(*asked, *more).answer
        assert answer["photo"] == has
        assert (SubjectEmbedding.load(answer["card"]).cut_out is not None) == has


def test_a_cut_outs_mask_can_be_given(blipdiff: Command, picture: Path, model: Path, tmp_path: Path) -> None:
    half = Image.new("L", (64, 48))
    half.paste(255, (0, 0, 32, 48))
    half.save(tmp_path / "half.png")
    card = blipdiff(
        "encode", picture, "--category", "dog", "--model", model, "--cut-out", tmp_path / "half.png", "--json"
    ).answer["card"]  # fmt: skip
    assert SubjectEmbedding.load(card).cut_out.size == (32, 48)
    short = ("--model", model, "--steps", 2, "--count", 1, "--detail", 0.8, "--output", tmp_path, "--json")
    for command in (
        ("generate", "--subject", picture, "--category", "dog", "--cut-out", tmp_path / "half.png"),
        ("scene", "--prompt", "a {dog}", "--subject", f"dog={picture}", "--cut-out", f"dog={tmp_path / 'half.png'}"),
    ):
        [drawn] = blipdiff(*command, *short).answer["pictures"]
        kept = read_metadata(drawn["path"])["job"]["inputs"]["subject"][0]["cut_out"]
        assert layers_of(kept, "it").size == (11, 16)
    wrong = blipdiff("generate", "--subject", picture, "--category", "dog", "--cut-out", picture, *short)
    assert wrong.code != 0 and "mask" in wrong.err
    other = blipdiff("scene", "--prompt", "a {dog}", "--subject", f"dog={picture}", "--cut-out", "cat=x.png", *short)
    assert other.code != 0 and "no subject is bound" in other.err
