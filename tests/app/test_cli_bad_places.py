"""Places that cannot be written, and Ctrl-C: what was finished stays, nothing is left in halves."""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.support.command_line import Command, at_call
from tests.support.disks import largest_file
from tests.support.refusals import assert_refused, files_below

pytest_plugins = ["tests.support.command_fixtures"]


# Where pictures go


@pytest.mark.parametrize("command", ["serve", "ui"])
def test_places_that_several_machines_share_are_told_in_a_sentence(
    blipdiff: Command, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = "postgresql://me:secret-word@127.0.0.1:9/studio"
    asked = {
        ("--results", "ftp://there/x"): "Results are not kept at ftp://",
        ("--database", database): "name a place for their pictures",
        ("--database", "mysql://there/x", "--results", "there"): "of the kind 'mysql' is not used",
        ("--database", database, "--results", "there"): "studio at 127.0.0.1 does not answer",
    }
    for options, words in asked.items():
        ended = blipdiff(command, *options)
        assert ended.code == 2 and words in ended.err and ended.err.count("\n") == 1, ended
        assert "secret-word" not in ended.err
    monkeypatch.setenv("BLIPDIFF_RESULTS", "ftp://there/x")
    assert "not kept at ftp://" in blipdiff(command).err
    monkeypatch.setenv("BLIPDIFF_RESULTS", "there")
    monkeypatch.setenv("BLIPDIFF_DATABASE", database)
    assert "does not answer" in blipdiff(command).err


def test_an_output_folder_that_cannot_be_is_told_before_anything_is_drawn(
    generate: Command, blipdiff: Command, model: Path, dog: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    for folder, why in (
        (tmp_path / "file", "a file of that name is in the way"),
        (tmp_path / "file" / "below", "a part of the path is a file, not a folder"),
        (tmp_path / ("x" * 300), "the name is too long"),
    ):
        ended = generate("--output", folder, "--model", "nowhere")
        assert_refused(ended, f"cannot be written: {why}.")
    card = tmp_path / "file" / "dog.safetensors"
    assert_refused(
        blipdiff("encode", dog, "--category", "dog", "--model", "nowhere", "--output", card), "cannot be written"
    )
    assert_refused(blipdiff("convert", model, tmp_path / "file" / "model"), "cannot be written")
    assert (tmp_path / "file").read_bytes() == b""


@pytest.mark.parametrize(
    ("layout", "file", "function"),
    [
        ("diffusers", "checkpoints/weights.py", "save_weights"),
        ("lavis", "checkpoints/lavis_layout.py", "_save_tensors"),
    ],
)
def test_a_folder_with_other_things_is_not_replaced_by_a_model(
    blipdiff: Command, model: Path, layout: str, file: str, function: str
) -> None:
    Path("photos").mkdir()
    Path("photos/holiday.png").write_text("precious")
    with at_call(file, function, 1, lambda: pytest.fail("weights were written first")):
        ended = blipdiff("convert", model, "photos", "--to", layout)
    assert ended.code == 2
    assert "holds other things (holiday.png)" in ended.err
    assert files_below(Path()) == [Path("photos/holiday.png")]


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
    with at_call("checkpoints/weights.py", "save_weights", 3, lambda: signal.raise_signal(signal.SIGINT)):
        ended = blipdiff("convert", model, "copy")
    assert ended.code == 130
    assert list(Path().iterdir()) == []
