"""`blipdiff cut-out`, and cards with and without the photo."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from blipdiff.conditioning.subject import SubjectEmbedding
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
