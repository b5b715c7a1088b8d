"""Whole or not at all."""

from pathlib import Path

import pytest

from blipdiff.errors import OutputError
from blipdiff.outputs import written_file, written_folder


def test_an_interrupted_file_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), written_file(path) as part:
        part.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_finished_file_takes_the_place(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    with written_file(path) as part:
        part.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


def test_an_interrupted_folder_leaves_the_old_one(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "a").write_text("old")
    with pytest.raises(KeyboardInterrupt), written_folder(folder) as part:
        (part / "a").write_text("half")
        raise KeyboardInterrupt
    assert (folder / "a").read_text() == "old"
    assert list(tmp_path.iterdir()) == [folder]


def test_a_finished_folder_takes_the_place_of_an_earlier_copy(tmp_path: Path) -> None:
    for text in ("first", "second"):
        with written_folder(tmp_path / "model") as part:
            (part / "a").write_text(text)
    assert (tmp_path / "model" / "a").read_text() == "second"
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "a.txt", Path("/proc/blipdiff/a.txt"), tmp_path / ("x" * 300) / "a.txt"):
        with pytest.raises(OutputError, match="cannot be written"), written_file(path):
            pytest.fail("nothing should be written")
        with pytest.raises(OutputError, match="cannot be written"), written_folder(path):
            pytest.fail("nothing should be written")


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="disk is full"), written_file(tmp_path / "a.txt"):
        Path("/dev/full").write_text("x" * 10_000)
    assert list(tmp_path.iterdir()) == []
