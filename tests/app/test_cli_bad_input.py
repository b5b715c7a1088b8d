"""Bad input on the command line: one clear sentence, exit code 2, no traceback, nothing half-written."""

import json
import os
import resource
import shutil
import signal
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file

from blipdiff.conditioning.subject import SubjectEmbedding
from blipdiff.ranges import LARGEST_SEED
from pipelines.results import read_metadata
from tests.pipelines.command_line import Command, Ended, at_call, with_metadata
from tests.pipelines.tiny_models import photo

pytest_plugins = ["tests.pipelines.command_fixtures"]


def files_below(*folders: Path) -> list[Path]:
    return [path for folder in folders for path in folder.rglob("*") if path.is_file()]


def assert_refused(ended: Ended, words: str, *, written: Path | None = None) -> None:
    assert ended.code == 2, ended
    assert ended.out == ""
    assert "Traceback" not in ended.err
    assert ended.err.startswith("blipdiff: "), ended.err
    assert ended.err.count("\n") == 1 or "is damaged or not safe to unpack" in ended.err, ended.err
    assert words in ended.err
    assert files_below(written or Path()) == []


def assert_not_understood(ended: Ended, words: str) -> None:
    assert ended.code == 2, ended
    assert ended.out == ""
    assert "Traceback" not in ended.err
    assert words in " ".join(ended.err.split())
    assert files_below(Path()) == []


@pytest.fixture
def generate(blipdiff: Command, model: Path, dog: Path) -> Command:
    """generate("--seed", 7): one picture in two steps, of the dog and by the tiny model unless others are given."""

    def run(*arguments: object) -> Ended:
        own = {"--model": model, "--subject": dog, "--category": "dog", "--count": 1, "--steps": 2}
        kept = [item for pair in own.items() if pair[0] not in arguments for item in pair]
        return blipdiff("generate", *kept, *arguments)

    return run


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
    assert read_metadata(ended.pictures[0])["request"]["prompt"] == prompt


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


# Numbers


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--seed", -1), "Seed is -1"),
        (("--seed", 2**63), "Seed is 9223372036854775808"),
        (("--seed", LARGEST_SEED, "--count", 2), "pass the largest seed"),
        (("--seed", "9" * 400), "Seed is 999"),
        (("--count", 0), "Pictures is 0"),
        (("--count", 65), "Pictures is 65"),
        (("--steps", 0), "Steps is 0"),
        (("--steps", 1001), "Steps is 1001"),
        (("--guidance", "nan"), "Guidance is nan"),
        (("--guidance", "inf"), "Guidance is inf"),
        (("--guidance", -1), "Guidance is -1"),
        (("--guidance-start", 0.6, "--guidance-stop", 0.5), "0 <= start <= stop <= 1"),
        (("--guidance-stop", 1.1), "Guidance stop is 1.1"),
        (("--repeats", 0), "Prompt repeats is 0"),
        (("--batch", 0), "Batch is 0"),
        (("--size", "65x64"), "Width is 65"),
        (("--size", "17x16"), "multiples of 2. Nearest: 16 or 18"),
        (("--size", "16x19"), "The height is 19"),
        (("--size", "0x0"), "Width is 0"),
        (("--size", "8192x16"), "Width is 8192"),
        (("--size", "large"), "write it as WIDTHxHEIGHT"),
        (("--size", "16x16x16"), "write it as WIDTHxHEIGHT"),
        (("--size", "16x"), "write it as WIDTHxHEIGHT"),
        (("--size", "-16x16"), "write it as WIDTHxHEIGHT"),
        (("--size", "1e2x16"), "write it as WIDTHxHEIGHT"),
        (("--size", "9" * 5_000), "write it as WIDTHxHEIGHT"),
        (("--size", ""), "write it as WIDTHxHEIGHT"),
        (("--weight", "nan"), "weights [nan]"),
        (("--weight", -1), "weights [-1.0]"),
        (("--weight", 0), "weights [0.0]"),
        (("--weight", 1, "--weight", 2), "1 subjects were given with 2 weights"),
        (("--scheduler", "ddpm"), "choose one of: pndm, ddim"),
        (("--fit", "stretch"), "choose one of: crop, pad, squash"),
        (("--device", "tpu"), "The device 'tpu' is not known"),
        (("--device", "meta"), "The device 'meta' is not available"),
        (("--dtype", "int8"), "The dtype 'int8' is not known"),
        (("--device", "cpu", "--dtype", "float16"), "float16 is slow and inexact"),
    ],
    ids=lambda value: "-".join(str(part)[:12] for part in value) if isinstance(value, tuple) else "",
)  # fmt: skip
def test_values_out_of_range_are_named_with_what_is_allowed(
    arguments: tuple[Any, ...], words: str, generate: Command
) -> None:
    if arguments[0] == "--size" and "65" in arguments[1]:
        words = "multiples of 2"
    assert_refused(generate(*arguments), words)


@pytest.mark.parametrize("option", ["--seed", "--count", "--steps", "--guidance", "--batch", "--repeats", "--weight"])
@pytest.mark.parametrize("value", ["many", "", "0x10", "1,5"])
def test_words_are_no_numbers(option: str, value: str, generate: Command) -> None:
    assert_not_understood(generate(option, value), f"Invalid value for '{option}'")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "Commands"),
        (("draw",), "No such command 'draw'"),
        (("generate", "--colour", "red"), "No such option: --colour"),
        (("generate", "--seed"), "--seed"),
        (("generate", "dog.png"), "unexpected extra argument"),
        (("encode",), "Missing argument"),
        (("convert", "mini"), "Missing argument"),
    ],
)
def test_a_command_that_is_not_understood_is_explained(
    arguments: tuple[str, ...], words: str, blipdiff: Command
) -> None:
    ended = blipdiff(*arguments)
    assert ended.code == 2
    assert words.lower() in (ended.err + ended.out).lower()
    assert "Traceback" not in ended.err


def test_no_subject_is_asked_for(blipdiff: Command) -> None:
    assert_refused(blipdiff("generate", "--prompt", "on a beach"), "add --subject")


def test_a_weight_that_is_no_number_is_refused_among_several(generate: Command, dog: Path) -> None:
    two = ("--subject", dog, "--subject", dog)
    for weight in ("nan", "inf", "-1"):
        assert_refused(generate(*two, "--weight", 1, "--weight", weight), "each must be 0 or more")
    assert_refused(generate(*two, "--weight", 0, "--weight", 0), "one above 0")
    assert_refused(generate(*two, "--weight", 1), "2 subjects were given with 1 weights")


# Models and cards


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
        assert_refused(generate("--subject", card), "dog.safetensors is no subject card, or a damaged one")
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


# Where pictures go


def test_an_output_folder_that_cannot_be_is_told_before_anything_is_drawn(
    generate: Command, blipdiff: Command, model: Path, dog: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / ("x" * 300)):
        ended = generate("--output", folder, "--model", "nowhere")
        assert_refused(ended, "cannot be written")
    card = tmp_path / "file" / "dog.safetensors"
    assert_refused(
        blipdiff("encode", dog, "--category", "dog", "--model", "nowhere", "--output", card), "cannot be written"
    )
    assert_refused(blipdiff("convert", model, tmp_path / "file" / "model"), "cannot be written")
    assert (tmp_path / "file").read_bytes() == b""


def test_a_folder_with_other_things_is_not_replaced_by_a_model(blipdiff: Command, model: Path) -> None:
    Path("photos").mkdir()
    Path("photos/holiday.png").write_text("precious")
    ended = blipdiff("convert", model, "photos")
    assert ended.code == 2
    assert "holds other things (holiday.png)" in ended.err
    assert files_below(Path()) == [Path("photos/holiday.png")]


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Files of this process grow no further than `size` bytes: the system refuses to write more."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_takes_no_more_leaves_no_half_of_a_picture_or_card(
    generate: Command, blipdiff: Command, model: Path, dog: Path
) -> None:
    with largest_file(700):
        drawn = generate("--output", "out")
        encoded = blipdiff("encode", dog, "--category", "dog", "--model", model, "--output", "dog.safetensors")
    for ended in (drawn, encoded):
        assert_refused(ended, "cannot be written")
    assert list(Path().iterdir()) == [Path("out")]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 32 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(place)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("a small disk cannot be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_keeps_what_was_finished(generate: Command, small_disk: Path) -> None:
    ended = generate("--output", small_disk, "--count", 40, "--batch", 10, "--seed", 100)
    assert ended.code == 2
    assert "cannot be written: the disk is full" in ended.err
    assert 0 < len(ended.pictures) < 40
    assert sorted(ended.pictures) == sorted(small_disk.iterdir())
    for path in ended.pictures:
        Image.open(path).load()


# Ctrl-C


def test_stopped_while_drawing_keeps_what_was_finished(generate: Command) -> None:
    with at_call("sampling/predictor.py", "__call__", 6, lambda: signal.raise_signal(signal.SIGINT)):
        ended = generate("--count", 4, "--batch", 1, "--seed", 1, "--output", "out", "--scheduler", "ddim")
    assert ended.code == 130
    assert ended.err == "blipdiff: Stopped; what was finished is kept.\n"
    assert ended.pictures == [Path("out/dog-1.png"), Path("out/dog-2.png")]
    assert sorted(Path("out").iterdir()) == ended.pictures


def test_stopped_while_saving_leaves_no_half_of_a_file(generate: Command) -> None:
    with at_call("PIL/PngImagePlugin.py", "_save", 2, lambda: signal.raise_signal(signal.SIGINT)):
        ended = generate("--count", 3, "--seed", 1, "--output", "out")
    assert ended.code == 130
    assert ended.pictures == [Path("out/dog-1.png")]
    assert list(Path("out").iterdir()) == ended.pictures


def test_stopped_while_converting_leaves_nothing(blipdiff: Command, model: Path) -> None:
    with at_call("checkpoints/diffusers_layout.py", "_save_weights", 3, lambda: signal.raise_signal(signal.SIGINT)):
        ended = blipdiff("convert", model, "copy")
    assert ended.code == 130
    assert list(Path().iterdir()) == []


# Pictures that are to be repeated


@pytest.fixture
def drawn(made: tuple[Path, Path]) -> Path:
    """A picture that the tiny model made."""
    return made[0]


@pytest.fixture
def repeat(blipdiff: Command, model: Path) -> Command:
    return lambda path, *arguments: blipdiff("generate", "--model", model, "--like", path, *arguments)


def test_only_a_picture_that_tells_its_settings_is_repeated(
    repeat: Command, generate: Command, dog: Path, tmp_path: Path
) -> None:
    assert_refused(repeat(dog), "carries no settings")
    assert_refused(repeat(tmp_path / "none.png"), "There is no picture")
    assert_refused(repeat(tmp_path), "is not a file")
    (tmp_path / "text.png").write_text("hello")
    assert_refused(repeat(tmp_path / "text.png"), "is not a picture")
    bare = generate("--no-metadata", "--output", tmp_path / "bare").pictures[0]
    assert_refused(repeat(bare), "carries no settings")


def test_a_picture_of_another_model_is_not_repeated(
    repeat: Command, drawn: Path, models: Callable[[int], Path]
) -> None:
    ended = repeat(drawn, "--model", models(1))
    assert_refused(ended, "was made by the model tiny")
    assert "Load that model" in ended.err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"request": {"steps": 10**9}}, "Steps is 1000000000"),
        ({"request": {"guidance": None}}, "Guidance must be a number"),
        ({"request": {"scheduler": "__import__('os').system('true')"}}, "choose one of"),
        ({"request": {"subject": "aGVsbG8="}}, "lacks the picture's subject"),
        ({"request": {"count": 10**12}}, "Pictures is 1000000000000"),
        ({"seed": 10**400}, "is not among the request's"),
        ({"model": {}}, "was made by the model None"),
        ({"place": {"device": "; rm -rf /"}}, "is not known"),
        ({"place": {"device": "cuda:7"}}, "is not available here"),
        ({"place": {"dtype": "float1"}}, "The dtype 'float1' is not known"),
    ],
    ids=str,
)
def test_altered_settings_are_refused(
    change: dict[str, Any], words: str, repeat: Command, drawn: Path, tmp_path: Path
) -> None:
    found = read_metadata(drawn)
    request = found["request"] | change.get("request", {})
    altered = with_metadata(tmp_path / "altered.png", json.dumps(found | change | {"request": request}))
    assert_refused(repeat(altered), words)


@pytest.mark.parametrize("place", ["here", None, [], {}, {"dtype": 5, "device": ["cpu"]}], ids=str)
def test_a_place_that_says_nothing_is_no_hindrance(place: object, repeat: Command, drawn: Path, tmp_path: Path) -> None:
    altered = with_metadata(tmp_path / "altered.png", json.dumps(read_metadata(drawn) | {"place": place}))
    ended = repeat(altered)
    assert ended.code == 0, ended.err


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 50_000, '{"version": 1}', '{"seed": NaN}'])
def test_damaged_settings_are_refused(text: str, repeat: Command, tmp_path: Path) -> None:
    assert_refused(repeat(with_metadata(tmp_path / "altered.png", text)), "altered.png")


@pytest.mark.parametrize(
    "option", [("--prompt", "x"), ("--seed", 1), ("--count", 2), ("--size", "16x16"), ("--category", "dog")]
)
def test_what_would_change_a_repeated_picture_is_refused(
    option: tuple[object, ...], repeat: Command, drawn: Path
) -> None:
    assert_refused(repeat(drawn, *option), f"--like draws a picture as it was; leave out {option[0]}")


# The other commands


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--to", "onnx"), "choose diffusers or lavis"),
        (("--dtype", "int8"), "The dtype 'int8' is not known"),
        (("--vocabulary", "nowhere"), "vocab"),
    ],
)
def test_convert_refuses_what_it_does_not_know(
    arguments: tuple[str, ...], words: str, blipdiff: Command, model: Path
) -> None:
    assert_refused(blipdiff("convert", model, "new", *arguments), words)


def test_convert_refuses_a_model_that_is_not_there(blipdiff: Command, tmp_path: Path) -> None:
    assert_refused(blipdiff("convert", "nowhere", "new"), "There is no model at nowhere")
    (tmp_path / "model.tar.gz").write_bytes(b"no archive")
    assert_refused(blipdiff("convert", tmp_path / "model.tar.gz", "new"), "is damaged")
    (tmp_path / "model.pth").write_bytes(b"no checkpoint")
    assert_refused(blipdiff("convert", tmp_path / "model.pth", "new"), "Give the model that it was trained from")


def test_encode_refuses_weights_that_are_not_its_photos(blipdiff: Command, model: Path, dog: Path) -> None:
    asked = ("encode", dog, dog, "--category", "dog", "--model", model, "--output", "dog.safetensors")
    assert_refused(blipdiff(*asked, "--weight", 1), "2 subjects were given with 1 weights")
    assert_refused(blipdiff(*asked, "--weight", 1, "--weight", "nan"), "each must be 0 or more")
    assert_refused(blipdiff(*asked[:1], dog, *asked[5:]), "--category")


def test_export_without_a_training_says_so_and_fetches_nothing(blipdiff: Command) -> None:
    ended = blipdiff("train", "mini", "--run", "run", "--export-only")
    assert_refused(ended, "There is no trained state in run; train first")


def test_train_refuses_a_recipe_that_is_none(blipdiff: Command, tmp_path: Path) -> None:
    assert_refused(blipdiff("train", "nothing", "--run", "run"), "No training recipe at nothing")
    recipe = tmp_path / "recipe.toml"
    for text, words in (
        ("name = ", "is not valid TOML"),
        ("colour = 1", "unknown keys ['colour']"),
        ('name = "x"\nseed = "y"', "lacks"),
    ):
        recipe.write_text(text)
        assert_refused(blipdiff("train", recipe, "--run", "run"), words)
    assert_refused(blipdiff("train", tmp_path, "--run", "run"), "No training recipe at")


def test_evaluate_refuses_a_folder_without_a_library(blipdiff: Command, model: Path, tmp_path: Path) -> None:
    assert_refused(blipdiff("evaluate", "--data", tmp_path, "--model", model), "holds no complete library")
    assert_refused(blipdiff("evaluate", "--data", tmp_path / "none", "--model", model), "holds no complete library")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--subjects", 0), "is 0; it goes from"),
        (("--steps", 0), "is 0; it goes from 1"),
        (("--seed", -1), "is -1; it goes from 0"),
        (("--guidance", "nan"), "is nan; it goes from"),
        (("--split", "everything"), "is 'everything'; choose one of"),
    ],
)
def test_evaluate_names_values_out_of_range(
    arguments: tuple[object, ...], words: str, blipdiff: Command, tmp_path: Path
) -> None:
    assert_refused(blipdiff("evaluate", "--data", tmp_path, *arguments), words)


def test_a_switch_in_the_environment_that_is_none_is_refused(
    blipdiff: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BLIPDIFF_DOWNLOAD", "maybe")
    assert_refused(blipdiff("doctor"), "BLIPDIFF_DOWNLOAD is 'maybe'")


# This machine


def program(prelude: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own, after some lines of Python."""
    code = f"{prelude}\nimport sys\nfrom app.cli.main import run_blipdiff\nsys.exit(run_blipdiff())"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd=Path(__file__).parents[2])


def test_too_little_memory_is_said(model: Path, dog: Path, tmp_path: Path) -> None:
    limit = "import resource, torch, diffusers, transformers, pipelines.studio"
    limit += "\nused = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()"
    limit += "\nresource.setrlimit(resource.RLIMIT_AS, (used + 400 * 2**20,) * 2)"
    asked = ("generate", "--model", model, "--subject", dog, "--category", "dog", "--steps", 1, "--size", "2048x2048")
    ended = program(limit, *asked, "--dtype", "float32", "--output", tmp_path / "out")
    assert ended.returncode == 2, ended.stderr
    assert ended.stderr == (
        "blipdiff: There is too little memory for this; try a smaller --batch, --size or --dtype.\n"
    )
    assert files_below(tmp_path / "out") == []


def test_a_package_that_only_some_commands_need_is_asked_for(tmp_path: Path) -> None:
    ended = program("import sys\nsys.modules['cv2'] = None", "evaluate", "--data", tmp_path, "--output", tmp_path / "o")
    assert ended.returncode == 2, ended.stderr
    assert ended.stderr == "blipdiff: This needs cv2: pip install 'blipdiff[train]'.\n"
