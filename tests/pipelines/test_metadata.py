"""What is read back from a picture's file, and what is refused."""

import json
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from blipdiff.errors import ConfigError, ImageError
from pipelines.metadata import METADATA_VERSION, library_versions, read_metadata
from pipelines.pictures import save_picture
from tests.support.pictures import picture


def with_text(path: Path, text: str) -> Path:
    info = PngInfo()
    info.add_text("blipdiff", text)
    Image.new("RGB", (8, 8)).save(path, pnginfo=info)
    return path


def test_a_picture_without_metadata_says_so(tmp_path: Path) -> None:
    path = save_picture(picture(), tmp_path / "a.png", metadata=False)
    with pytest.raises(ConfigError, match="carries no settings"):
        read_metadata(path)
    picture().image.save(tmp_path / "b.jpg")
    with pytest.raises(ConfigError, match="carries no settings"):
        read_metadata(tmp_path / "b.jpg")


def test_metadata_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    newer = json.dumps(picture().metadata() | {"version": METADATA_VERSION + 1})
    with pytest.raises(ConfigError, match="newer blipdiff"):
        read_metadata(with_text(tmp_path / "a.png", newer))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        '{"version": true}',
        '{"version": 0}',
        '{"version": 1}',
        '{"version": 1, "seed": NaN}',
        "__import__('os').system('true')",
        "[" * 100_000,
        '{"version": ' + "9" * 5000 + "}",
        json.dumps({"version": 1, "request": [], "seed": "7", "index": 0, "size": [], "model": {}, "versions": {}}),
        json.dumps({"version": 1, "request": {}, "seed": 7, "size": [], "model": {}, "versions": {}}),
        json.dumps({"version": 2, "job": [], "seed": 7, "size": [], "model": {}, "versions": {}}),
        json.dumps({"version": 2, "request": {}, "index": 0, "seed": 7, "size": [], "model": {}, "versions": {}}),
    ],
)
def test_damaged_metadata_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"damaged|carries no settings"):
        read_metadata(with_text(tmp_path / "a.png", text))


def test_metadata_beyond_any_reason_is_refused(tmp_path: Path) -> None:
    info = PngInfo()
    info.add_text("blipdiff", " " * 50_000_000, zip=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png", pnginfo=info)
    with pytest.raises((ConfigError, ImageError)):
        read_metadata(tmp_path / "a.png")


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("hello")
    with pytest.raises(ImageError):
        read_metadata(tmp_path / "a.png")
    with pytest.raises(ImageError):
        read_metadata(tmp_path / "none.png")


def test_versions_name_what_computes_the_picture() -> None:
    assert {"python", "torch", "diffusers", "transformers"} <= set(library_versions())
