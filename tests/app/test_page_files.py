"""Files that come to the page, and what is shown of them."""

from pathlib import Path

import pytest
from PIL import Image

from app.ui import markup
from app.ui.files import readable_settings
from app.ui.subjects import Tile, category_of, looked_through
from blipdiff.conditioning.subject import SubjectPhoto
from pipelines.studio import Studio
from tests.support.tiny_models import photo, tiny_model


@pytest.fixture(scope="module")
def studio() -> Studio:
    return Studio(tiny_model())


@pytest.fixture
def dog(tmp_path: Path) -> str:
    photo().save(tmp_path / "dog.png")
    return str(tmp_path / "dog.png")


def test_files_are_looked_through_one_by_one(dog: str, studio: Studio, tmp_path: Path) -> None:
    text, card = tmp_path / "notes.png", tmp_path / "cat.safetensors"
    text.write_text("no picture")
    studio.subject([SubjectPhoto(photo(), "cat")]).save(card)
    found = looked_through([str(text), dog, str(card), dog, dog, dog])
    assert found.paths == (dog, str(card), dog, dog)
    assert [tile.category for tile in found.tiles] == [None, "cat", None, None]
    assert len(found.complaints) == 2
    assert "notes.png" in found.complaints[0]
    assert not any(str(tmp_path) in complaint for complaint in found.complaints)


def test_names_and_words_cannot_become_html() -> None:
    evil = '<script>alert("x")</script>'
    pieces = (
        markup.heading({evil: evil}, evil),
        markup.subjects([Tile(evil, Image.new("RGB", (8, 8)), evil)]),
        markup.message(evil, evil),
        markup.progress(evil, 1, 2),
    )
    assert not any("<script" in piece for piece in pieces)


def test_a_subjects_numbers_are_only_counted_in_what_is_shown() -> None:
    metadata = {"seed": 1, "job": {"prompt": "a dog " * 200, "inputs": [{"rows": "A" * 65000}]}}
    shown = readable_settings(metadata)
    assert shown["job"]["inputs"] == [{"rows": "in the file, 65 kB"}]
    assert shown["job"]["prompt"] == metadata["job"]["prompt"]  # type: ignore[index]


def test_a_bundled_photo_is_named_by_its_file() -> None:
    assert [category_of(Path(name)) for name in ("red_teapot-2.png", "dog.png")] == ["red teapot", "dog"]
