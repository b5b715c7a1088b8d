"""Bad pictures and odd words on the command line: one clear sentence, exit code 2, nothing half-written."""

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.metadata import read_metadata
from tests.support.command_line import Command
from tests.support.refusals import assert_refused, files_below
from tests.support.tiny_models import photo

pytest_plugins = ["tests.support.command_fixtures"]


# Pictures


def png(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")


def exif_rotated(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    photo().save(path, exif=exif)


GOOD: dict[str, Callable[[Path], object]] = {
    "cmyk.jpg": lambda path: photo().convert("CMYK").save(path),
    "deep.png": lambda path: Image.fromarray(np.full((20, 30), 40000, np.uint16)).save(path),
    "deep.tiff": lambda path: Image.fromarray(np.full((20, 30), 40000, np.uint16)).save(path),
    "palette.png": lambda path: photo().quantize(8).save(path),
    "palette.gif": lambda path: photo().save(path),
    "rotated.jpg": exif_rotated,
    "animated.gif": lambda path: photo().save(path, save_all=True, append_images=[photo(1), photo(2)], duration=50),
    "animated.webp": lambda path: photo().save(path, save_all=True, append_images=[photo(1)], duration=50),
    "clear.png": lambda path: photo().convert("RGBA").save(path),
    "all_clear.png": lambda path: Image.new("RGBA", (20, 20), (0, 0, 0, 0)).save(path),
    "grey.png": lambda path: photo().convert("L").save(path),
    "black_and_white.png": lambda path: photo().convert("1").save(path),
    "strip.png": lambda path: photo(0, (4000, 9)).save(path),
    "smallest.png": lambda path: photo(0, (8, 8)).save(path),
}


@pytest.mark.parametrize("name", GOOD)
def test_pictures_of_every_kind_are_subjects(name: str, generate: Command, tmp_path: Path) -> None:
    GOOD[name](tmp_path / name)
    ended = generate("--subject", tmp_path / name)
    assert ended.code == 0, ended.err
    assert len(ended.pictures) == 1


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "corrupt.png": (lambda path: path.write_bytes(png(40, 40)[:33] + os.urandom(500)), "corrupt.png"),
    "truncated.jpg": (lambda path: (photo(0, (400, 400)).save(path), os.truncate(path, 900)), "damaged or cut off"),
    "truncated.png": (lambda path: (photo(0, (400, 400)).save(path), os.truncate(path, 900)), "damaged or cut off"),
    "bomb.png": (lambda path: path.write_bytes(png(60_000, 60_000)), "above 100 megapixels"),
    "pixel.png": (lambda path: photo(0, (1, 1)).save(path), "1 x 1 pixels shows nothing"),
    "text.png": (lambda path: path.write_text("Dear Sir or Madam, this is no picture."), "is not a picture"),
    "page.png": (lambda path: path.write_text("<!DOCTYPE html><html>404</html>"), "is not a picture"),
    "empty.png": (lambda path: path.touch(), "is an empty file"),
    "folder.png": (lambda path: path.mkdir(), "is not a file"),
    "missing.png": (lambda path: None, "There is no picture at"),
    "program.eps": (lambda path: path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n"), "is not a picture"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_picture_is_named(name: str, generate: Command, blipdiff: Command, tmp_path: Path) -> None:
    make, words = BAD[name]
    make(tmp_path / name)
    assert_refused(generate("--subject", tmp_path / name), words)


def test_encode_refuses_what_is_no_picture_and_writes_no_card(blipdiff: Command, model: Path, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("hello")
    ended = blipdiff("encode", tmp_path / "text.png", "--category", "dog", "--model", model)
    assert_refused(ended, "is not a picture")


# Words


@pytest.mark.parametrize(
    "prompt",
    ["", " \t\n", "x" * 10_000, "beach " * 1_700, "🐶🏖️🎉" * 30, "ein Hund über 猫 שלום", "<|endoftext|>", "%s{}\\"],
)
def test_any_words_make_a_picture(prompt: str, generate: Command) -> None:
    ended = generate("--prompt", prompt, "--negative", prompt)
    assert ended.code == 0, ended.err
    assert read_metadata(ended.pictures[0])["job"]["request"]["prompt"] == prompt


@pytest.mark.parametrize("option", ["--prompt", "--negative", "--category", "--target"])
@pytest.mark.parametrize(("text", "code"), [("on\x00a beach", "0000"), ("\x1b[31mred", "001B"), ("\udcff", "DCFF")])
def test_control_characters_are_named(option: str, text: str, code: str, generate: Command) -> None:
    assert_refused(generate(option, text), f"the control character U+{code}")


@pytest.mark.parametrize("category", ["", "  ", "\n"])
def test_an_empty_category_is_asked_for(category: str, generate: Command) -> None:
    assert_refused(generate("--category", category), "--category")


@pytest.mark.parametrize("category", ["x" * 10_000, "dog " * 1_000])
def test_an_endless_category_is_refused(category: str, generate: Command) -> None:
    ended = generate("--category", category)
    assert_refused(ended, "in a word or two")
    assert len(ended.err) < 400


@pytest.mark.parametrize("category", ["🐶", "../../dog", "a/b", "con", "-rf", "𝒜" * 90, "犬" * 20])
def test_a_category_is_never_a_path(category: str, generate: Command) -> None:
    ended = generate("--category", category, "--output", "out")
    assert ended.code == 0, ended.err
    assert [path.parent for path in ended.pictures] == [Path("out")]
    assert len(files_below(Path())) == 1
